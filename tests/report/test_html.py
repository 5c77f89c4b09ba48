from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptlab.optimizer.loop import optimize
from promptlab.records import Prediction, Prompt, Reply
from promptlab.report import changes, markdown
from promptlab.report import html as page
from promptlab.report import replies as replies_of
from promptlab.report import terminal as lines
from promptlab.scoring.evaluation import evaluation_of

from .. import examples
from ..examples import model, task
from ..server import serving

HOSTILE = """</td></table><script>document.title = "pwned"</script><img src=x onerror="document.title='pwned'">
{{ 7 * 7 }} <b>bold</b> & "quotes" 'single' €🙂 \u202e \x00"""


NO_BASELINES = dict.fromkeys(("validation", "test"), ())


@pytest.fixture(scope="module")
def run():
    with serving(examples.answer) as server:
        return optimize(
            task(),
            classifier=model(server.url),
            critic=model(server.url, "critic"),
            iterations=2,
            per_label=6,
        )


def hostile(text: str = HOSTILE):
    rows = [
        Prediction(replace(e, text=text, note=text), Reply(text, "end_turn", (), "m", 1, 1), e.label if n % 2 else None, None if n % 2 else "absent", score=float(n % 2))
        for n, e in enumerate(task().examples[:6])
    ]  # fmt: skip
    return evaluation_of(task(), "test", Prompt(text, text, text, text), rows)


class Tags(HTMLParser):
    """Collects the tags of a page, and what would load something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        """Note a tag; none may hold a handler of events."""
        self.tags.append(tag)
        self.loads += [v for k, v in attrs if k in ("src", "srcset", "data", "action", "background")]
        self.loads += [v for k, v in attrs if k == "href" and not v.startswith("#")]
        assert not [k for k, _ in attrs if k.startswith("on")]


@pytest.mark.parametrize("result", ["run", "evaluation"])
def test_a_page_loads_nothing_and_runs_its_own_script_alone(run, result):
    text = page.render(run if result == "run" else hostile(), "recorded")
    tags = Tags(text)
    assert 2 == tags.tags.count("script")
    (data, script) = re.findall(r"<script([^>]*)>(.*?)</script>", text, re.DOTALL)
    assert (' type="application/json" id="data"', "") == (data[0], script[0])
    allowed = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{}'; base-uri 'none'; form-action 'none'"
    assert f'content="{policy.format(allowed)}"' in text
    assert "innerHTML" not in script[1]
    assert [] == tags.loads
    assert "@import" not in text
    assert "url(" not in text


def test_every_text_is_escaped():
    text = page.render(hostile(), HOSTILE)
    plain = page.render(hostile("x"), "x")
    assert Tags(plain).tags == Tags(text).tags


@given(st.text(min_size=1))
def test_no_text_adds_a_tag(text):
    assert Tags(page.render(hostile("x"), "x")).tags == Tags(page.render(hostile(text), text)).tags


def embedded(text: str) -> dict:
    """Return the data of a page."""
    return json.loads(re.search(r'id="data">(.*?)</script>', text)[1])


def replies(data: dict) -> list[list[tuple]]:
    """Return id, text, answer and reply of each answer, evaluation by evaluation."""
    return [
        [(*data["examples"][row[0]][:2], data["answers"][row[2]], data["texts"][row[1]]) for row in rows]
        for rows in data["evaluations"]
    ]


def test_a_page_holds_every_prompt_and_reply_once(run):
    text = page.render(run, "recorded on a day")
    data, plain = embedded(text), html.unescape(text)
    held = {one for rows in replies(data) for one in rows}
    asked = [row for result in run.evaluations for row in result.rows]
    assert {(row.example.id, row.example.text, row.answer, row.reply.text) for row in asked} == held
    for kind in ("texts", "answers"):
        assert len(set(data[kind])) == len(data[kind])
    assert len({row.example.id for row in asked}) == len(data["examples"])
    for step in run.history:
        assert step.verdict in plain
        for one in step.candidates:
            assert f'<pre data-file="system.md">\n{one.prompt.system}</pre>' in plain
    assert "recorded on a day" in plain
    for claim in run.history[0].critique.claims:
        assert claim.why in plain


@pytest.mark.parametrize("order", [1, -1])
def test_what_is_a_part_of_another_evaluation_is_not_listed_again(run, order):
    whole = run.finalists[0].validation
    part = replace(whole, rows=whole.rows[:5])
    each = [replace(run.finalists[0], validation=one) for one in (whole, part)][::order]
    told = replace(run, history=(replace(run.history[0], candidates=tuple(each)),), finalists=())
    found = replies_of.of_run(told).evaluations
    assert [whole] == [one for one in found if one.prompt == whole.prompt and one.split == whole.split]


def test_each_evaluation_has_a_title_of_its_own(run):
    text = page.render(run, "")
    titles = re.findall(r'<option value="\d+">(.*?)</option>', text)
    assert len(embedded(text)["evaluations"]) == len(titles) == len(set(titles))
    assert f"{run.test.subject} on test, {run.test.size}" == titles[0]


def test_a_page_without_texts_shows_ids_only(run):
    text = page.render(run, "recorded", texts=False)
    data, plain = embedded(text), html.unescape(text)
    example = run.test.rows[0].example
    assert next(one[1] for one in data["examples"] if one[0] == example.id).startswith("(withheld ")
    assert run.best.system in plain
    texts = {row.example.text for result in run.evaluations for row in result.rows}
    assert [] == [one for one in texts if one in plain]
    for rows in replies(data):
        assert all(reply.startswith("(withheld ") for *_, reply in rows)
    for claim in run.history[0].critique.claims:
        assert claim.why not in plain


def test_of_a_graded_task_labels_and_answers_are_withheld_too():
    rows = [
        Prediction(replace(e, label={"name": "Ms Smith"}), Reply("r", "end_turn", (), "m", 1, 1), {"name": "Ms Jones"})
        for e in task().examples[:6]
    ]  # fmt: skip
    graded = replace(task(), labels=(), metric="score", score=lambda example, answer: 0.0)
    result = evaluation_of(graded, "test", Prompt("x"), rows)
    assert "Smith" in page.render(result, "recorded")
    shown = page.render(result, "recorded", texts=False)
    assert "Smith" not in shown
    assert "Jones" not in shown


@given(st.text())
def test_no_embedded_text_ends_the_script(text):
    said = page.render(hostile(text), "")
    shown = re.sub(markdown.TURNING, lambda sign: f"(U+{ord(sign[0]):04X})", text)
    assert {shown} == set(embedded(said)["texts"])
    data = re.search(r'id="data">(.*?)</script>', said, re.DOTALL)[1]
    assert [] == [sign for sign in "<>&\u2028\u2029" if sign in data]


def test_the_same_run_gives_the_same_page(run):
    assert page.render(run, "recorded") == page.render(run, "recorded")


@given(st.text(), st.text())
def test_a_diff_holds_both_texts(old, new):
    pieces = list(changes.diff(old, new))
    assert old == "".join(text for kind, text in pieces if kind != "added")
    assert new == "".join(text for kind, text in pieces if kind != "removed")


def test_a_diff_marks_only_the_words_that_changed():
    found = [(kind, text.strip()) for kind, text in changes.diff("Say yes or no.", "Say yes or never.")]
    assert [("same", "Say yes or"), ("removed", "no."), ("added", "never.")] == found


def test_demonstrations_that_were_added_are_marked_as_wholes(run):
    shown = [(f"text {n}", f"reply {n}") for n in range(3)]
    best = replace(run.first, demonstrations=shown[1:])
    first = replace(run.first, demonstrations=shown[:2])
    last = replace(run.history[0].candidates[0], prompt=best)
    history = (replace(run.history[0], candidates=(last,), kept=(last,)),)
    told = replace(run, first=first, best=best, history=history)
    text = page.render(told, "")
    one, two, three = (f"text {n}\n→ reply {n}\n\n" for n in range(3))
    assert f"<pre>\n<del>{one}</del>{two}<ins>{three}</ins></pre>" in text
    assert "system.md: unchanged</h3>" in text


def test_texts_with_little_in_common_follow_one_another():
    old, new = "a cat sat on the mat", "one dog ran in the rain"
    assert [("removed", old), ("added", new)] == list(changes.diff(old, new))


def test_a_page_shows_no_key(tmp_path, run):
    key = "sk-" + "a1B2" * 9
    (row, *others) = run.test.rows
    told = replace(row, example=replace(row.example, text=f"what is {key}?"))
    page.write(tmp_path / "page.html", replace(run.test, rows=(told, *others)), "")
    assert key not in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "what is [masked " in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_run_is_told_iteration_by_iteration(run):
    text = html.unescape(page.render(run, "recorded"))
    assert len(run.history) == text.count('<details id="i')
    assert lines.conclusion(run)[1:] in text
    assert 1 == text.count("selected, so its figure here is optimistic")
    assert run.comparison.headline in text


def test_an_iteration_is_one_line(run):
    line = lines.iteration(run.history[0], 2)
    assert re.match(
        r"iteration 1/2  \d+ new prompts  iteration 1 \(\w{8}\) of rewritten is best: macro F1 1.000 on 20",
        line,
    )
    assert "\n" not in line


def test_a_run_without_improvement_says_so(run):
    same = replace(run, best=run.first, test=run.test_first)
    said = list(lines.run(same, dict.fromkeys(range(3), 0.0), NO_BASELINES))
    assert "no better prompt was found: the first is still the best" in said
    text = page.render(same, "")
    assert "No better prompt was found: the first is still the best" in text
    assert f"From {run.test_first.subject} to " in text
    assert f"to {run.test_first.subject}.</p>" not in text


def scored(run, right):
    """Return the run's test evaluation with so many right answers of each label, of 50."""
    rows = []
    for n in range(100):
        example = replace(run.test.rows[0].example, id=str(n), label=task().labels[n % 2])
        label = example.label if n // 2 < right else task().labels[1 - n % 2]
        rows.append(
            replace(run.test.rows[0], example=example, label=label, score=float(label == example.label))
        )
    return evaluation_of(task(), "test", Prompt(f"{right} right"), rows)


@pytest.mark.parametrize(("first", "best", "said"), [
    (25, 45, "the prompt was improved: macro F1 on test 0.500 -> 0.900"),
    (25, 26, "no improvement is shown: macro F1 on test 0.500 -> 0.520, and test cannot tell the two apart"),
    (26, 25, "no improvement is shown: macro F1 on test 0.520 -> 0.500, and test cannot tell the two apart"),
    (45, 25, "the prompt was made worse: macro F1 on test 0.900 -> 0.500"),
])  # fmt: skip
def test_a_run_claims_no_more_than_test_shows(run, first, best, said):
    result = replace(run, test_first=scored(run, first), test=scored(run, best))
    assert said == lines.conclusion(result)
    assert said in lines.run(result, dict.fromkeys(range(3), 0.0), NO_BASELINES)
    assert f'<p class="lead">{said[0].upper()}{said[1:]}</p>' in html.unescape(page.render(result, ""))


def test_a_run_shows_how_many_examples_of_each_label_each_split_has(run):
    said = list(lines.run(run, dict.fromkeys(range(3), 0.0), NO_BASELINES, verbose=True))
    document = re.sub(r"<.*?>", " ", page.render(run, ""))
    for split, counts in task().counts.items():
        row = f"{split} {' '.join(map(str, counts.values()))}"
        assert row in [" ".join(line.split()) for line in said]
        assert row in " ".join(document.split())


def test_every_figure_has_its_interval():
    result = hostile("x")
    shown = "\n".join(lines.evaluation(result, (), verbose=True))
    document = page.render(result, "")
    ends = result.intervals
    for one in (ends.macro_f1, ends.accuracy, ends.without_label, *(label.f1 for label in ends.labels)):
        assert f"({one})" in shown
        assert f"({one})" in document
