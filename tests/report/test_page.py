"""The page as a browser shows it: every look, without a mouse, without scripts, with hostile texts."""

from __future__ import annotations

import difflib
import functools
import itertools
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright
from sklearn.metrics import confusion_matrix

from benchmarks.speed import page as large
from promptlab.gate.decide import decide
from promptlab.optimizer.loop import optimize
from promptlab.records import Demonstration, Prediction, Prompt, Reply
from promptlab.report import html
from promptlab.scoring.comparison import compare
from promptlab.scoring.evaluation import evaluation_of

from .. import examples
from ..conftest import ROOT
from ..examples import LABELS, model, task
from ..server import serving
from .test_markdown import judged

pytestmark = pytest.mark.thorough  # a browser takes half a minute
SCREENSHOTS = ROOT / ".promptlab/screenshots"
WIDE, NARROW = {"width": 1200, "height": 800}, {"width": 390, "height": 844}
LOOKS = {
    "wide": {"viewport": WIDE},
    "narrow": {"viewport": NARROW},
    "dark": {"viewport": WIDE, "color_scheme": "dark"},
    "narrow-dark": {"viewport": NARROW, "color_scheme": "dark"},
    "no-script": {"viewport": WIDE, "java_script_enabled": False},
}
OTHER = dict(zip(LABELS, reversed(LABELS), strict=True))
HOSTILE = (
    "</script><script>window.ran = 1</script><!-- <img src=x onerror='window.ran = 2'> "
    "<a href='javascript:window.ran=3'>x</a> <svg onload=window.ran=4> ]]> \u2028 {{ 7 * 7 }} "
    "\" onmouseover=\"window.ran=5\" x=' <iframe srcdoc='<script>parent.ran=6</script>'> a\u202eb\u2066c"
)
SHOWN = HOSTILE.replace("\u202e", "(U+202E)").replace("\u2066", "(U+2066)")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Drive Debian's chromium; without it the tests fail in CI and are skipped elsewhere."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if not found and os.environ.get("CI"):
        pytest.fail("chromium is not installed; .ci/run installs it from Debian's packages")
    if not found:
        pytest.skip("chromium is not installed (Debian: apt-get install chromium)")
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield started
        started.close()


def answered(prompt: str, split: str, answer: Callable[[int], str], text: str = "", count: int = 600):
    """Answer the examples of a split, by number: "right", "wrong" or "none". The replies are synthetic."""
    about = task(count)
    rows = []
    for number, one in enumerate(about.split(split)):
        label = {"right": one.label, "wrong": OTHER[one.label], "none": None}[answer(number)]
        said = f"Reply {number} of {prompt}. {text} <label>{label}</label>"
        reply = Reply(said, "end_turn", ("text",), "m", 1, 1)
        example = replace(one, text=f"{one.text} {text}", note=text)
        missing = None if label else "absent"
        rows.append(Prediction(example, reply, label, missing, score=float(label == one.label)))
    return evaluation_of(about, split, Prompt(f"{prompt} {text}"), rows)


def old_answer(number: int) -> str:
    return "right" if number % 3 else "wrong"


def new_answer(number: int) -> str:
    return "none" if number % 11 == 5 else "right" if number % 7 else "wrong"


@functools.cache
def decision(text: str = ""):
    """Judge a prompt of which a canonical example broke, on 240 examples of test."""
    base, new = (answered(*one, text) for one in (("old", "test", old_answer), ("new", "test", new_answer)))
    (marked,) = answered("old", "train", lambda _: "right", text).rows[:1]
    marked = replace(marked, example=replace(marked.example, id="canonical-1", canonical=True))
    broken = replace(marked, label=OTHER[marked.label], score=0.0)
    base = replace(base, canonical_rows=(marked,), name="old")
    new = replace(new, canonical_rows=(broken,), name="new")
    pair = replace(judged(), base=base, new=new, whole=new)
    (found,) = decide([pair], strict=False)
    return found


@pytest.fixture(scope="module")
def run():
    with serving(examples.answer) as server:
        models = {"classifier": model(server.url), "critic": model(server.url, "critic")}
        return optimize(task(), **models, iterations=2, per_label=6)


@pytest.fixture(scope="module")
def pages(tmp_path_factory, run) -> dict[str, Path]:
    """Write a page of each kind."""
    folder = tmp_path_factory.mktemp("pages")
    found = decision()
    results = {
        "run": run,
        "evaluation": found.comparison.new,
        "decision": found,
        "hostile": decision(HOSTILE),
    }
    for name, result in results.items():
        html.write(folder / f"{name}.html", result, "recorded on a day")
    return {name: folder / f"{name}.html" for name in results}


@pytest.fixture
def opened(browser, pages) -> Iterator[Callable[..., Page]]:
    """Open pages in a look; they must load nothing else, raise nothing and complain of nothing."""
    contexts, trouble = [], []

    def go(name: str, look: str = "wide") -> Page:
        contexts.append(browser.new_context(**LOOKS[look], reduced_motion="reduce"))
        page = contexts[-1].new_page()
        page.set_default_timeout(10_000)
        page.on("request", lambda one: trouble.append(one.url) if one.url != pages[name].as_uri() else None)
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("console", lambda message: trouble.append(message.text))
        page.on("dialog", lambda dialog: trouble.append(dialog.message))
        page.goto(pages[name].as_uri())
        return page

    yield go
    for context in contexts:
        context.close()
    assert [] == trouble


def ids(page: Page) -> list[str]:
    """Return the ids of the replies that are shown."""
    return [
        text.removesuffix(", canonical")
        for text in page.locator("#rows td:first-child small").all_inner_texts()
    ]


def press(page: Page, name: str) -> None:
    """Choose a filter."""
    page.get_by_role("group", name="Show").get_by_role("button", name=re.compile(f"^{name} \\d+$")).click()


EXPECTED = {
    "Broken": lambda base, new: base.correct and not new.correct,
    "Fixed": lambda base, new: new.correct and not base.correct,
    "Wrong": lambda base, new: not new.correct,
    "Without a label": lambda base, new: new.label is None,
    "All": lambda base, new: True,
}


def test_a_filter_shows_those_replies_alone_and_how_many_they_are(opened):
    page, found = opened("decision"), decision().comparison
    sides = [*zip(found.base.canonical_rows, found.new.canonical_rows, strict=True)]
    sides += zip(found.base.rows, found.new.rows, strict=True)
    for name, holds in EXPECTED.items():
        press(page, name)
        expected = [new.example.id for base, new in sides if holds(base, new)]
        assert expected[:50] == ids(page)
        shown = f"1 to {min(50, len(expected))} of {len(expected)} replies"
        expect(page.locator("#count")).to_have_text(shown)
        pressed = page.get_by_role("button", pressed=True)
        assert [f"{name} {len(expected)}"] == pressed.all_inner_texts()


def test_it_opens_on_what_was_broken_canonical_examples_first(opened):
    page = opened("decision")
    assert ["Broken"] == [*set(page.locator("#rows .badge").all_inner_texts())]
    expect(page.locator("#rows tr").first).to_contain_text("canonical-1, canonical")
    expect(page.locator("#rows tr").first).to_contain_text("old (")


def test_without_a_base_it_opens_on_what_is_wrong(opened):
    page = opened("evaluation")
    assert set(page.locator("#rows .badge").all_inner_texts()) <= {"Wrong", "Without a label"}
    assert [] == page.get_by_role("button", name="Broken").all()


def test_a_label_and_a_search_narrow_what_is_shown(opened):
    page, new = opened("decision"), decision().comparison.new
    press(page, "All")
    page.get_by_role("combobox", name="Label", exact=True).select_option(LABELS[1])
    expected = [row.example.id for row in new.rows if row.example.label == LABELS[1]]
    assert expected[:50] == ids(page)
    (one,) = [row.example for row in new.rows if row.example.id == expected[7]]
    page.get_by_label("Search").fill(f"  {one.text.split(' about')[0].upper()} ")
    expect(page.locator("#count")).to_have_text("1 to 1 of 1 replies")
    assert [one.id] == ids(page)
    page.get_by_label("Search").fill("Reply 23 of")
    expect(page.locator("#count")).to_have_text("1 to 1 of 1 replies")
    page.get_by_label("Search").fill("nothing that occurs")
    expect(page.locator("#count")).to_have_text("No reply matches.")
    assert [] == ids(page)


def test_a_column_sorts_both_ways_and_says_so(opened):
    page = opened("decision")
    press(page, "All")
    texts = [row.example.text for row in decision().comparison.new.rows]
    number = functools.partial(re.search, r"\d+")
    ordered = sorted(texts, key=lambda text: int(number(text)[0]))
    heading = page.get_by_role("columnheader", name="Text")
    heading.get_by_role("button").click()
    expect(heading).to_have_attribute("aria-sort", "ascending")
    shown = page.locator("#rows td[data-head=Text] .text")
    first = [text.strip() for text in shown.all_inner_texts() if "day 0." not in text]
    assert [text.strip() for text in ordered if "day 0." not in text][: len(first)] == first
    heading.get_by_role("button").click()
    expect(heading).to_have_attribute("aria-sort", "descending")
    assert ordered[-1].strip() == shown.first.inner_text().strip()
    assert 1 == page.locator("[aria-sort]").count()


def test_replies_are_shown_a_page_at_a_time(opened):
    page, new = opened("decision"), decision().comparison.new
    press(page, "All")
    seen = ids(page)
    while page.get_by_role("button", name="Next page").is_enabled():
        page.get_by_role("button", name="Next page").click()
        seen += ids(page)
    assert ["canonical-1", *(row.example.id for row in new.rows)] == seen
    page.get_by_role("button", name="Previous page").click()
    assert seen[-len(seen) % 50 - 50 :][:1] != ids(page)[:1]
    press(page, "Fixed")
    expect(page.locator("#page")).to_have_text(
        "Page 1 of 1" if page.locator("#rows tr").count() < 50 else "Page 1 of 2"
    )


def test_each_evaluation_of_a_run_can_be_chosen(opened, run):
    page = opened("run")
    choice = page.get_by_role("combobox", name="Prompt and split")
    titles = choice.locator("option").all_inner_texts()
    assert f"{run.test.subject} on test, {run.test.size}" == titles[0]
    assert len(titles) == len(set(titles))
    each = {one.subject: one for one in run.evaluations if one.split == "validation"}
    for subject, one in each.items():
        choice.select_option(next(title for title in titles if title.startswith(f"{subject} on validation")))
        press(page, "All")
        assert {row.example.id for row in one.rows} <= set(ids(page))


def long_reply(tmp_path, browser):
    (row, *others) = decision().comparison.new.mistakes
    said = replace(row, reply=replace(row.reply, text="word " * 300))
    new = decision().comparison.new
    html.write(tmp_path / "page.html", replace(new, rows=(said, *others)), "")
    page = browser.new_page(viewport=WIDE)
    page.goto((tmp_path / "page.html").as_uri())
    return page


def test_a_long_text_is_cut_until_it_is_asked_for(tmp_path, browser):
    page = long_reply(tmp_path, browser)
    text, more = page.locator("#rows .cut"), page.get_by_role("button", name="Show all")
    cut = text.bounding_box()["height"]
    more.click()
    less = page.get_by_role("button", name="Show less")
    assert 2 * cut < page.locator("#rows .text", has_text="word word").bounding_box()["height"]
    assert "true" == less.get_attribute("aria-expanded")
    less.click()
    assert cut == text.bounding_box()["height"]
    page.close()


def sides(page: Page, file: str) -> tuple[str, str]:
    """Read a file of both prompts out of the difference that is shown."""
    pre = page.locator(f"#difference h3:has-text('{file}') + pre")
    pieces = pre.evaluate("one => [...one.childNodes].map(n => [n.nodeName, n.textContent])")
    kept = [("".join(text for name, text in pieces if name != gone)) for gone in ("INS", "DEL")]
    return kept[0], kept[1]


def test_any_two_prompts_can_be_compared_word_by_word(opened, run):
    page = opened("run")
    names = page.get_by_role("combobox", name="From", exact=True).locator("option").all_inner_texts()
    prompts = {one.subject: one.prompt for one in run.evaluations}
    assert next(iter(prompts)) == names[0]
    assert 2 < len(names)
    for old, new in itertools.pairwise([*names, names[0], *reversed(names)]):
        page.get_by_role("combobox", name="From", exact=True).select_option(old)
        page.get_by_role("combobox", name="To", exact=True).select_option(new)
        expect(page.locator("#pair")).to_have_text(f"From {old} to {new}.")
        for part in ("system", "suffix"):
            before, after = (getattr(prompts[name], part) for name in (old, new))
            if before != after:
                assert (before, after) == sides(page, f"{part}.md")


def difference(page: Page, old: str, new: str) -> list[list[str]]:
    return page.evaluate("([a, b]) => difference(pieces(a, ''), pieces(b, ''))", [old, new])


def test_the_words_that_changed_are_marked_and_no_others(opened):
    page = opened("run")
    found = [one for one in difference(page, "Say yes or no.", "Say yes or never.") if one[1]]
    assert [["span", "Say yes or "], ["del", "no."], ["ins", "never."]] == found
    old, new = "one two three four five six seven", "two three 3 four five 5 seven eight"
    found = difference(page, old, new)
    matcher = difflib.SequenceMatcher(None, old.split(), new.split(), autojunk=False)
    same = sum(size for *_, size in matcher.get_matching_blocks())
    assert same == sum(len(text.split()) for kind, text in found if kind == "span")


def test_demonstrations_come_and_go_as_wholes(opened):
    one, two, three = (f"What is {n}?\n→ <label>{n}</label>\n\n" for n in "abc")
    page = opened("run")
    compare = "([a, b]) => difference(...[a, b].map(one => pieces(one, 'demonstrations.jsonl')), true)"
    found = [piece for piece in page.evaluate(compare, [one + two, two + three]) if piece[1]]
    assert [["del", one], ["span", two], ["ins", three]] == found


def test_texts_with_little_in_common_follow_one_another(opened):
    page = opened("run")
    old, new = "a cat sat on the mat " * 3, "one dog ran in the rain " * 3
    assert [["del", old], ["ins", new]] == difference(page, old, new)


@pytest.mark.parametrize("kind", ["run", "decision"])
def test_heat_maps_count_as_scikit_learn_does(opened, run, kind):
    page, found = opened(kind), decision().comparison
    results = (run.test_first, run.test) if kind == "run" else (found.base, found.new)
    for result in results:
        table = page.get_by_role("group", name=f"Confusion matrix of {result.subject} on test").first
        rows = table.locator("tbody tr").all()
        counts = [[int(text) for text in row.locator("td").all_inner_texts()] for row in rows]
        gold, said = (
            [str(x) for x in some]
            for some in zip(*((r.example.label, r.label) for r in result.rows), strict=True)
        )
        expected = confusion_matrix(gold, said, labels=[*LABELS, "None"])[:-1]
        assert expected.tolist() == counts
        shades = [
            row.locator("td").evaluate_all("all => all.map(one => getComputedStyle(one).backgroundColor)")
            for row in rows
        ]
        for numbers, colours in zip(counts, shades, strict=True):
            assert (len(set(numbers)) == 1) == (len(set(colours)) == 1)


def test_the_picture_shows_each_figure_where_its_axis_has_it(opened, run):
    page = opened("run")
    tested = page.get_by_role("table", name="Test: held out, looked at once")
    for result in (run.test_first, run.test):
        row = tested.get_by_role("row", name=result.subject)
        expect(row).to_contain_text(f"{result.primary:.3f}({result.primary_interval})")
        ticks = tested.locator("thead .tick").evaluate_all(
            "all => all.map(one => [+one.textContent, one.getBoundingClientRect().x + one.getBoundingClientRect().width / 2])"
        )
        (low, left), (high, right) = ticks[0], ticks[-1]
        dot = row.locator("circle").bounding_box()
        at = low + (high - low) * (dot["x"] + dot["width"] / 2 - left) / (right - left)
        assert result.primary == pytest.approx(at, abs=0.01)


def test_a_run_names_each_candidate_by_its_iteration(opened, run):
    page = opened("run")
    chosen = page.get_by_role("table", name="Validation: where prompts were chosen")
    shown = chosen.locator("tbody th.who").evaluate_all("all => all.map(one => one.firstChild.textContent)")
    start = run.history[0].parents[0]
    candidates = [start, *(one for step in run.history for one in step.candidates), *run.finalists]
    assert [(one.validation or one.minibatch).subject for one in candidates] == shown


@pytest.mark.parametrize("look", ["wide", "narrow"])
def test_hostile_texts_run_nothing_and_are_shown_as_they_are(opened, look):
    page = opened("hostile", look)
    press(page, "All")
    for control in page.locator("select:visible").all():
        control.select_option(index=1)
    for summary in page.locator("summary").all():
        summary.click()
    for kind in ("Text", "Reply"):
        expect(page.locator(f"#rows td[data-head={kind}]").first).to_contain_text(
            SHOWN.split("\u2028")[0].strip()
        )
    page.locator("#rows tr").first.hover()
    assert page.evaluate("window.ran") is None
    assert 0 == page.locator("img, iframe, a, main script, main svg[onload], [onmouseover], [srcdoc]").count()
    assert SHOWN.split(" \u2028")[0] in page.locator("pre").first.evaluate("one => one.textContent")
    assert "\u202e" not in page.content()


def test_the_policy_refuses_any_other_script(opened, pages, browser, tmp_path):
    text = (
        pages["run"].read_text(encoding="utf-8").replace("</main>", "<script>window.ran = 1</script></main>")
    )
    (tmp_path / "page.html").write_text(text, encoding="utf-8")
    page = browser.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    assert page.evaluate("window.ran") is None
    expect(page.locator("#count")).to_be_visible()  # the page's own has run
    page.close()


def test_everything_is_reached_and_used_by_the_keyboard(opened):
    page = opened("decision")
    reached, order = set(), []
    for _ in range(150):
        page.keyboard.press("Tab")
        what = page.evaluate(
            "(() => { const one = document.activeElement; if (one === document.body) return null; "
            "one.dataset.seen = 1; const style = getComputedStyle(one); "
            "return [one.textContent.trim().slice(0, 30), style.outlineStyle, parseFloat(style.outlineWidth)] })()"
        )
        if what is None:
            break
        order.append(what)
        reached.add(what[0])
    assert [] == [what for what in order if what[1] == "none" or what[2] < 1]
    visible = "select, input, button:not([disabled]), summary, [tabindex]"
    unseen = page.evaluate(
        "what => [...document.querySelectorAll(what)].filter(one => one.checkVisibility() && !one.dataset.seen).map(one => one.outerHTML)",
        visible,
    )
    assert [] == unseen
    page.get_by_role("button", name="Fixed").focus()
    page.keyboard.press("Enter")
    assert {"Fixed"} == set(page.locator("#rows .badge").all_inner_texts())
    page.get_by_role("button", name="Reply", exact=True).focus()
    page.keyboard.press("Space")
    expect(page.get_by_role("columnheader", name="Reply")).to_have_attribute("aria-sort", "ascending")
    page.get_by_label("Search").focus()
    page.keyboard.type("Reply 3 of")
    expect(page.locator("#count")).to_have_text("1 to 1 of 1 replies")


@pytest.mark.parametrize("kind", ["run", "evaluation", "decision"])
def test_without_scripts_the_page_says_what_matters(opened, run, kind):
    page, found = opened(kind, "no-script"), decision()
    expect(page.locator(".lead")).to_be_visible()
    expect(page.locator(".picture circle").first).to_be_visible()
    expect(page.locator(".matrix").first).to_be_visible()
    assert 0 == page.locator("[data-script]:visible").count()
    shown = ids(page)
    assert 0 < len(shown) <= 20
    if kind == "decision":
        assert ["canonical-1", *found.comparison.broken][: len(shown)] == shown
        assert {"Broken"} == set(page.locator("#rows .badge").all_inner_texts())
    for summary in page.locator("summary:has-text('characters')").all():
        summary.click()
    prompts = [run.first, run.best] if kind == "run" else [found.comparison.new.prompt]
    texts = page.locator("pre[data-file='system.md']").evaluate_all("all => all.map(one => one.textContent)")
    assert {one.system for one in prompts} <= set(texts)


def test_the_words_are_compared_without_scripts_too(opened, run):
    page = opened("run", "no-script")
    assert (run.first.system, run.best.system) == sides(page, "system.md")


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("kind", ["run", "evaluation", "decision", "hostile"])
def test_each_look_is_readable_and_accessible(opened, kind, look):
    """A screenshot of each is kept in .promptlab/screenshots."""
    page = opened(kind, look)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{kind}-{look}.png", full_page=True)
    for text in page.locator("#rows td[data-head=Text]").all()[:3]:
        assert 200 < text.bounding_box()["width"]
    if look == "no-script":
        return
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    assert page.viewport_size["width"] >= page.evaluate("document.documentElement.scrollWidth")
    report = Axe().run(page)
    assert 0 == report.violations_count, report.generate_report()


def graded():
    rows = []
    for number, one in enumerate(task().examples[:12]):
        example = replace(one, label={"day": str(number), "kind": HOSTILE})
        reply = Reply("r", "end_turn", (), "m", 1, 1)
        rows.append(Prediction(example, reply, {"day": "1"}, score=number / 11))
    about = replace(task(), labels=(), metric="score", score=lambda example, answer: 0.0)
    return evaluation_of(about, "test", Prompt("x", demonstrations=(Demonstration("a", "b"),)), rows)


def test_a_graded_task_shows_scores_and_no_matrix(browser, tmp_path):
    html.write(tmp_path / "page.html", graded(), "")
    page = browser.new_page(viewport=WIDE)
    page.goto((tmp_path / "page.html").as_uri())
    assert 0 == page.locator(".matrix").count()
    press(page, "All")
    assert f"{5 / 11:.2f}" in page.locator("#rows tr").nth(5).inner_text()
    assert 0 == Axe().run(page).violations_count
    page.close()


def test_fixed_and_broken_are_those_of_the_comparison(opened):
    found = compare(decision().comparison.base, decision().comparison.new)
    page = opened("decision")
    press(page, "Fixed")
    assert [*found.fixed][:50] == ids(page)
    press(page, "Broken")
    assert ["canonical-1", *found.broken][:50] == ids(page)


def test_another_evaluation_opens_on_what_is_wrong_if_nothing_broke_there(opened):
    page, base = opened("decision"), decision().comparison.base
    page.get_by_role("combobox", name="Prompt and split").select_option(index=1)
    wrong = [row.example.id for row in base.rows if not row.correct]
    assert wrong[:50] == ids(page)
    assert {"Wrong"} == set(page.locator("#rows .badge").all_inner_texts())


def test_ten_thousand_replies_in_ten_iterations_are_searched_in_one_small_file(browser, tmp_path):
    html.write(tmp_path / "page.html", large.run(), "synthetic")
    assert 25e6 > (tmp_path / "page.html").stat().st_size
    page = browser.new_page(viewport=WIDE)
    page.goto((tmp_path / "page.html").as_uri())
    press(page, "All")
    expect(page.locator("#count")).to_have_text(f"1 to 50 of {large.EXAMPLES} replies")
    page.get_by_label("Search").fill("test-434")
    expect(page.locator("#count")).to_have_text("1 to 1 of 1 replies")
    page.close()


def test_answers_to_the_same_example_are_told_apart(browser, tmp_path):
    new = decision().comparison.new
    rows = tuple(replace(row, repeat=number) for row in new.mistakes[:2] for number in range(3))
    html.write(tmp_path / "page.html", replace(new, rows=rows, canonical_rows=()), "")
    page = browser.new_page(viewport=WIDE)
    page.goto((tmp_path / "page.html").as_uri())
    first, other = (row.example.id for row in new.mistakes[:2])
    each = [
        first,
        f"{first}, answer 2",
        f"{first}, answer 3",
        other,
        f"{other}, answer 2",
        f"{other}, answer 3",
    ]
    assert each == ids(page)
    page.close()
