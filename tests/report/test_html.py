from __future__ import annotations

import html
import os
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptlab.optimizer.loop import optimize
from promptlab.records import Prediction, Prompt, Reply
from promptlab.report import changes
from promptlab.report import html as page
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
def test_a_page_loads_nothing_and_runs_nothing(run, result):
    text = page.render(run if result == "run" else hostile(), "recorded")
    tags = Tags(text)
    assert "script" not in tags.tags
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


def test_a_page_shows_every_prompt_reply_and_verdict(run):
    text = html.unescape(page.render(run, "recorded on a day"))
    cells = r'<tr class="(right|wrong)"><td>(.*?)</td><td class="text">(.*?)</td>.*<td class="text">(.*?)</td></tr>'
    shown = set(re.findall(cells, text))
    for result in run.evaluations:
        for row in result.rows:
            verdict = "right" if row.correct else "wrong"
            assert (verdict, row.example.id, row.example.text, row.reply.text) in shown
    for step in run.history:
        assert f"<p>{step.verdict}</p>" in text
    assert f"<h3>Best prompt {run.best.id} (new) against first {run.first.id} (base)</h3>" in text
    assert "recorded on a day" in text
    for claim in run.history[0].critique.claims:
        assert claim.why in text


def test_a_page_without_texts_shows_ids_only(run):
    text = html.unescape(page.render(run, "recorded", texts=False))
    example, label = run.test.rows[0].example, "(withheld"
    assert f'<td>{example.id}</td><td class="text">{label}' in text
    assert run.best.system in text
    for result in run.evaluations:
        for row in result.rows:
            assert row.example.text not in text
            assert f'<td class="text">{row.reply.text}' not in text
    for claim in run.history[0].critique.claims:
        assert claim.why not in text


def test_of_a_graded_task_labels_and_answers_are_withheld_too():
    rows = [
        Prediction(replace(e, label={"name": "Ms Smith"}), Reply("r", "end_turn", (), "m", 1, 1), {"name": "Ms Jones"})
        for e in task().examples[:6]
    ]  # fmt: skip
    graded = replace(task(), labels=(), metric="score", score=lambda example, answer: 0.0)
    shown = page.render(evaluation_of(graded, "test", Prompt("x"), rows), "recorded", texts=False)
    assert "Smith" not in shown
    assert "Jones" not in shown


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


def browser() -> str:
    """Return Debian's chromium; without it the test fails in CI and is skipped elsewhere."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if not found and os.environ.get("CI"):
        pytest.fail("chromium is not installed; .ci/run installs it from Debian's packages")
    return found or pytest.skip("chromium is not installed (Debian: apt-get install chromium)")


def opened(path) -> str:
    """Open a page in a real browser and return the document as the browser has it."""
    switches = "--headless --no-sandbox --disable-gpu --disable-background-networking --no-first-run"
    command = [
        browser(),
        *switches.split(),
        f"--user-data-dir={path.parent}/profile",
        "--dump-dom",
        path.as_uri(),
    ]
    return subprocess.run(command, capture_output=True, check=True, timeout=120).stdout.decode()


def test_a_browser_shows_hostile_text_as_text(tmp_path):
    path = tmp_path / "page.html"
    path.write_text(page.render(hostile(), HOSTILE), encoding="utf-8")
    document = opened(path)
    assert "<title>topics: test</title>" in document
    assert document.count("<script>") == 0
    assert "&lt;script&gt;" in document
    assert "€🙂" in document
    assert "{{ 7 * 7 }}" in document


def test_a_page_shows_no_key(tmp_path, run):
    key = "sk-" + "a1B2" * 9
    (row, *others) = run.test.rows
    told = replace(row, example=replace(row.example, text=f"what is {key}?"))
    page.write(tmp_path / "page.html", replace(run.test, rows=(told, *others)), "")
    assert key not in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "what is [masked " in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_browser_shows_flips_side_by_side(tmp_path, run):
    path = tmp_path / "page.html"
    path.write_text(page.render(run, "recorded"), encoding="utf-8")
    document = opened(path)
    assert run.comparison.fixed
    assert f"{len(run.comparison.fixed)} fixed</summary>" in document
    assert html.escape(str(run.comparison).splitlines()[0]) in document


def test_a_browser_shows_a_run(tmp_path, run):
    path = tmp_path / "page.html"
    path.write_text(page.render(run, "recorded"), encoding="utf-8")
    document = opened(path)
    assert len(run.history) == document.count('<h2 id="i')
    shown = [row for step in run.history for row in step.parents[0].minibatch.rows]
    assert all(html.escape(row.reply.text, quote=False) in document for row in shown)
    assert html.escape(lines.conclusion(run)) in document
    assert 1 == document.count("selected, optimistic")


def test_an_iteration_is_one_line(run):
    line = lines.iteration(run.history[0], 2)
    assert re.match(r"iteration 1/2  \d+ new prompts  \w{8} of rewritten is best: macro F1 1.000 on 20", line)
    assert "\n" not in line


def test_a_run_without_improvement_says_so(run):
    same = replace(run, best=run.first, test=run.test_first)
    said = list(lines.run(same, dict.fromkeys(range(3), 0.0), NO_BASELINES))
    assert "no better prompt was found: the first is still the best" in said
    assert "no better prompt was found" in page.render(same, "")


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
    assert said in html.unescape(page.render(result, ""))


def test_a_run_shows_how_many_examples_of_each_label_each_split_has(run):
    said = list(lines.run(run, dict.fromkeys(range(3), 0.0), NO_BASELINES))
    document = re.sub(r"<.*?>", " ", page.render(run, ""))
    for split, counts in task().counts.items():
        row = f"{split} {' '.join(map(str, counts.values()))}"
        assert row in [" ".join(line.split()) for line in said]
        assert row in " ".join(document.split())


def test_every_figure_has_its_interval():
    result = hostile("x")
    shown = "\n".join(lines.evaluation(result, ()))
    document = page.render(result, "")
    ends = result.intervals
    for one in (ends.macro_f1, ends.accuracy, ends.without_label, *(label.f1 for label in ends.labels)):
        assert f"({one})" in shown
        assert f"({one})" in document
