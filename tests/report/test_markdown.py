from __future__ import annotations

import html
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from promptlab.gate.answers import ByMain, Change
from promptlab.gate.base import Pair, Place
from promptlab.gate.decide import Failure, Line, decide
from promptlab.gate.git import BaseError, commit
from promptlab.models.profiles import CLAUDE
from promptlab.plugin.console import harmless, shielded
from promptlab.plugin.results import Results
from promptlab.records import Model, Prompt, Reply
from promptlab.report.html import render
from promptlab.report.markdown import LIMIT, MARKER, document, literal
from promptlab.scoring.evaluation import evaluation_of, predict

from ..conftest import ROOT
from ..examples import task

MODEL = Model("synthetic")
HOSTILE = (
    "</pre></details><script>alert(1)</script>",
    "| a | b |\n|---|---|\n",
    "@everyone #12 GH-3 owner/repo#4",
    "::error file=x::y\n##[error]z",
    "[link](https://evil.example) ![i](x) <img src=x onerror=y> www.evil.example",
    "`code` **bold** __b__ ~~s~~ $x$ \\| &lt;",
    "- [ ] task\n1. one\n> quote\n# head",
    "\u202ereversed\u0000\ud800",
)


def judged(text="fine", count=80, title="topics: test", notes=(), label=None):
    """Judge a prompt that has every second example wrong, with a hostile text wherever one may stand."""
    about = task(count)
    examples = about.split("test")

    def rows(prompt, right):
        return [
            predict(
                about,
                one,
                Reply(
                    f"{text} <label>{one.label if right(n) else about.labels[0]}</label>",
                    "end_turn",
                    ("text",),
                    "m",
                    1,
                    1,
                ),
            )
            for n, one in enumerate(examples)
        ]

    base = evaluation_of(about, "test", Prompt("old"), rows("old", lambda n: True), MODEL)
    new = evaluation_of(about, "test", Prompt(f"new {text}"), rows("new", lambda n: n % 4), MODEL)
    place = Place(ROOT, ROOT, ROOT, CLAUDE, None, "pytest", "tests/test_x.py::test_y")
    headers = ({}, {})
    return Pair(
        title, place, base, new, new, (), False, True, (), tuple(notes), (), "prompt", "main (0)", headers
    )


class Tags(HTMLParser):
    """Collects the tags of a rendered text, and what is text in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        """Keep a tag's name."""
        self.tags.add(tag)

    def handle_data(self, data):
        """Keep a text."""
        self.text += data


BLOCKS = {"h2", "h3", "ul", "li", "p", "strong", "table", "thead", "tbody", "tr", "th", "td"}
FOLDS = {"code", "details", "summary", "pre", "b", "del", "ins", "sub"}


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(text):
    """The reference is a renderer of GitHub's dialect; a person is called by @ and a name, a thread by # and a number."""
    failures = [Failure(text, Line(text, text))]
    pair = judged(text, notes=[text])
    changes = (Change(text, text, text, text),) * 2
    main = ByMain(pair.base, pair.new, changes, changes, (text,), (text,))
    shown = document(decide([replace(pair, main=main)], strict=False), failures)
    tables = shown.split("\nRelabelled:\n")[1].split("<details")[0].splitlines()
    rows = [line for line in tables if line.startswith("| ")]
    assert (6, {3}) == (len(rows), {line.count(" | ") for line in rows}), "two heads, two rows each"
    rendered = Tags(MarkdownIt("gfm-like", {"linkify": True, "html": True}).render(shown))
    assert BLOCKS | FOLDS >= rendered.tags
    assert not re.search(r"@\w|#\d|(?i:gh-\d)|[\u202a-\u202e\u2066-\u2069]", rendered.text)
    assert 7 * sum(line.startswith(("| fixed", "| **broken**")) for line in shown.splitlines()) + 7 == sum(
        line.count(" | ") + 1
        for line in shown.splitlines()
        if line.startswith(("| fixed", "| **broken**", "| | example"))
    )


@given(st.text() | st.sampled_from(HOSTILE))
@example("1. a")
@example("10) a")
def test_a_literal_is_one_line_that_reads_as_the_text(text):
    shown = literal(text)
    assert "\n" not in shown
    assert not re.search(r"[<>|`*_\[\]\\]", shown)
    back = html.unescape(shown).replace("\u200b", "")
    assert " ".join(text.split()).replace("\u200b", "") == re.sub(
        r"\(U\+(20[0-9A-F]{2})\)", lambda found: chr(int(found[1], 16)), back
    )


def test_a_control_that_turns_letters_around_is_named():
    shown = literal("a \u202etxet\u2069 b")
    assert "a (U+202E)txet(U+2069) b" == html.unescape(shown)


@pytest.mark.parametrize("count", [1, 30, pytest.param(400, marks=pytest.mark.thorough)])
def test_it_stays_under_the_limit_whatever_is_judged(count):
    pairs = [judged("x" * 5_000, title=f"topics: {n}") for n in range(count)]
    decisions = decide(pairs, strict=False)
    shown = document(decisions)
    assert len(shown.encode()) <= LIMIT
    assert shown.startswith(MARKER)
    assert f"{count} " in shown.splitlines()[1]  # with many, one chance of error is shared
    assert len(document(decisions, limit=1_000_000).encode()) <= 1_000_000


def test_two_results_under_one_title_are_both_judged():
    """As two workers find them that read one recording with different extractors."""
    worse = judged()
    same = replace(worse, base=worse.new, whole=worse.base)
    results = Results(pairs=[same])
    results.merge(Results(pairs=[worse]))
    results.merge(Results(pairs=[replace(worse)]))
    assert [same, worse] == results.pairs
    for pairs in ([same, worse], [worse, same]):
        found = {one.pair.base.prompt.system.split()[0]: one.verdict for one in decide(pairs, strict=False)}
        assert {"new": "unchanged", "old": "worse"} == found
        assert [one.failed for one in decide(pairs, strict=False)] == [one is worse for one in pairs]


def test_a_comment_holds_the_verdict_first_and_folds_the_flips():
    shown = document(
        decide([judged()], strict=False),
        [],
        ["distinct prompts judged on the test split of topics so far: 2"],
    )
    order = [
        shown.index(one)
        for one in (
            "evaluations fail",
            "Worse, do not merge",
            "| macro F1 |",
            "word by word",
            "broken</summary>",
            "the chance that it is called worse is about 5%",
            "distinct prompts",
        )
    ]
    assert sorted(order) == order


def test_lines_on_github_are_no_commands(monkeypatch):
    assert ["a"] == list(shielded(["a"]))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    first, *lines, last = shielded(["::error::x"])
    assert ["::error::x"] == lines
    assert first.removeprefix("::stop-commands::") == last.strip(":")
    assert not re.search(r"##\[|^\s*::", harmless("  ::error::x ##[error]"))


def test_the_page_and_the_comment_tell_words_apart_alike():
    assert "new" in render(judged().whole, "")


def test_git_that_is_not_there_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BaseError, match="git cannot be run"):
        commit(tmp_path, "main")
