"use strict";
// What models and people wrote reaches the page through textContent alone.
const find = id => document.getElementById(id);
const data = JSON.parse(find("data").textContent);
const PAGE = 50, LONG = 320, LINES = 6;  // rows; characters and lines from which a text is cut
const state = {mark: data.start, key: "", down: false, page: 0};

function make(tag, text, attributes = {}) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

// -- what changed between two prompts ---------------------------------------------------------

const MOST = 2e7;  // cells of the table of common words; larger texts are shown one after the other

function pieces(text, name) {
  return text.match(name === "demonstrations.jsonl" ? /[^]+?(?:\n\n|$)/g : /\s+|\S+/g) || [];
}

function difference(a, b, whole) {
  let start = 0, end = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start++;
  while (end < a.length - start && end < b.length - start && a.at(-1 - end) === b.at(-1 - end)) end++;
  const n = a.length - start - end, m = b.length - start - end;
  const apart = [["del", a.join("")], ["ins", b.join("")]];
  if (n * m > MOST) return apart;
  const common = Array.from({length: n + 1}, () => new Uint32Array(m + 1));
  for (let i = n - 1; i >= 0; i--)
    for (let j = m - 1; j >= 0; j--)
      common[i][j] = a[start + i] === b[start + j] ? common[i + 1][j + 1] + 1 : Math.max(common[i + 1][j], common[i][j + 1]);
  const found = [["span", a.slice(0, start).join("")]];
  const add = (kind, word) => found.at(-1)[0] === kind ? found.at(-1)[1] += word : found.push([kind, word]);
  for (let i = 0, j = 0; i < n || j < m;) {
    if (i < n && j < m && a[start + i] === b[start + j]) { add("span", a[start + i++]); j++; }
    else if (j === m || (i < n && common[i + 1][j] >= common[i][j + 1])) add("del", a[start + i++]);
    else add("ins", b[start + j++]);
  }
  add("span", a.slice(a.length - end).join(""));
  const count = words => words.filter(word => word.trim()).length;
  const same = found.reduce((sum, [kind, text]) => sum + (kind === "span" ? count(text.split(/\s+/)) : 0), 0);
  return whole || 2 * same >= 0.4 * (count(a) + count(b)) ? found : apart;
}

function showDifference() {
  const [old, next] = [...document.querySelectorAll("select.prompt")].map(one => find(one.value));
  const texts = [old, next].map(one => Object.fromEntries([...one.querySelectorAll("pre")].map(pre => [pre.dataset.file, pre.textContent])));
  find("pair").textContent = `From ${old.dataset.name} to ${next.dataset.name}.`;
  find("difference").replaceChildren(...Object.keys({...texts[0], ...texts[1]}).flatMap(name => {
    if (texts[0][name] === texts[1][name]) return [make("h3", `${name}: unchanged`, {class: "file"})];
    const [a, b] = texts.map(text => pieces(text[name] || "", name)), pre = make("pre");
    pre.append(...difference(a, b, name === "demonstrations.jsonl").filter(([, text]) => text).map(([kind, text]) => make(kind, text)));
    return [make("h3", name, {class: "file"}), pre];
  }));
}

// -- the replies ------------------------------------------------------------------------------

const NAMES = Object.fromEntries([...document.querySelectorAll("[data-mark]")].map(one => [one.dataset.mark, one.firstChild.textContent.trim()]));

function result(row) {
  return row[3] ? NAMES[row[3][0]] : "Right";
}

const KEYS = {
  result, text: row => data.examples[row[0]][1], label: row => data.examples[row[0]][2],
  answer: row => data.answers[row[2]], reply: row => data.texts[row[1]],
};

const {compare} = new Intl.Collator("en", {numeric: true});

function chosen() {
  const rows = data.evaluations[find("evaluation").value], words = find("search").value.trim().toLowerCase();
  const label = find("label")?.value;
  return rows.filter(([example, reply, answer]) => {
    const [id, text, gold, note] = data.examples[example];
    if (label && gold !== label) return false;
    return !words || [id, text, note, data.texts[reply], data.answers[answer]].some(one => one.toLowerCase().includes(words));
  });
}

function long(text) {
  const shown = make("div", text, {class: "text"});
  if (text.length <= LONG && text.split("\n").length <= LINES) return [shown];
  const more = make("button", "Show all", {type: "button", class: "more", "aria-expanded": "false"});
  shown.classList.add("cut");
  more.onclick = () => {
    const open = !shown.classList.toggle("cut");
    more.textContent = open ? "Show less" : "Show all";
    more.setAttribute("aria-expanded", open);
  };
  return [shown, more];
}

function cell(head, ...children) {
  const half = head === "Label" || head === "Answered" ? "half" : "";
  const found = make("td", undefined, {role: "cell", class: half, ...(head && {"data-head": head})});
  found.append(...children);
  return found;
}

function line(row) {
  const [example, reply, answer, marks, score, repeat] = row;
  const [id, text, gold, note, canonical] = data.examples[example];
  const shown = make("tr", undefined, {role: "row", class: marks[0] || ""});
  const graded = find("label") ? [] : [make("small", ` ${score.toFixed(2)}`)];
  const before = data.before[example], said = long(data.texts[reply]);
  if (before && "bf".includes(marks[0] || "-")) {
    const box = make("div", undefined, {class: "before"});
    box.append(make("small", `${data.base} answered ${data.answers[before[1]]}`), ...long(data.texts[before[0]]));
    said.push(box);
  }
  shown.append(
    cell("", make("span", result(row), {class: "badge"}), ...graded, make("br"), make("small", id + (canonical ? ", canonical" : "") + (repeat ? `, answer ${repeat + 1}` : ""))),
    cell("Text", ...long(text), ...(note ? [make("small", note)] : [])),
    cell("Label", gold), cell("Answered", data.answers[answer]), cell("Reply", ...said),
  );
  return shown;
}

function show() {
  const all = chosen(), rows = all.filter(row => row[3].includes(state.mark));
  if (state.key) {
    const key = KEYS[state.key], sign = state.down ? -1 : 1;
    rows.sort((a, b) => sign * compare(key(a), key(b)));
  }
  const pages = Math.max(1, Math.ceil(rows.length / PAGE));
  state.page = Math.min(state.page, pages - 1);
  const from = state.page * PAGE, some = rows.slice(from, from + PAGE);
  find("rows").replaceChildren(...some.map(line));
  find("count").textContent = rows.length ? `${from + 1} to ${from + some.length} of ${rows.length} replies` : "No reply matches.";
  find("page").textContent = `Page ${state.page + 1} of ${pages}`;
  find("previous").disabled = !state.page;
  find("next").disabled = state.page === pages - 1;
  for (const button of document.querySelectorAll("[data-mark]")) {
    button.setAttribute("aria-pressed", button.dataset.mark === state.mark);
    button.querySelector("span").textContent = all.filter(row => row[3].includes(button.dataset.mark)).length;
  }
}

function again(change = {}) {
  Object.assign(state, {page: 0}, change);
  show();
}

function sortable(head) {
  const button = make("button", head.textContent, {type: "button"});
  button.onclick = () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    document.querySelector("[aria-sort]")?.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    again({key: head.dataset.key, down});
  };
  head.replaceChildren(button);
}

function turn(by) {
  again({page: state.page + by});
  document.querySelector(".replies").scrollIntoView();
}

document.querySelectorAll("[data-script]").forEach(one => { one.hidden = false; });
document.querySelectorAll("[data-key]").forEach(sortable);
document.querySelectorAll("select.prompt").forEach(one => { one.onchange = showDifference; });
document.querySelectorAll("[data-mark]").forEach(one => { one.onclick = () => again({mark: one.dataset.mark}); });
find("evaluation").onchange = () => {
  const has = mark => chosen().some(row => row[3].includes(mark));
  again({mark: [state.mark, "b", "w"].find(has) ?? ""});
};
if (find("label")) find("label").onchange = () => again();
let waiting;
find("search").oninput = () => { clearTimeout(waiting); waiting = setTimeout(again, 120); };
find("next").onclick = () => turn(1);
find("previous").onclick = () => turn(-1);
find("about").textContent = find("about").dataset.note;
show();
