"""What main's tests made of the recorded replies, and a branch's answers judged by it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from promptlab.errors import RecordingError
from promptlab.gate import answers
from promptlab.records import Model, Prompt

from ..examples import task
from ..scoring.test_comparison import MODEL, answered

OTHER = Model("other")
TASK = task(metric="accuracy")
BASE = answered([True, False, True, True, False, True])
BASE = replace(BASE, metric="accuracy", canonical_rows=BASE.rows[:2])


@pytest.fixture
def main(tmp_path):
    """Return what main's tests read, as it comes out of its file."""
    given = answers.answers("t: e", "cassettes/e.jsonl", "prompt", ["a.csv"], TASK, BASE)
    other = replace(given, title="a: e")
    answers.write(tmp_path / "new/answers.jsonl", [given, other])
    found = answers.read(tmp_path / "new/answers.jsonl")
    assert {"a: e": other, "t: e": given} == found
    assert ["a: e", "t: e"] == list(found)
    return given


def changed(result, **fields):
    """Change the examples of rows, by their id; None leaves one out."""
    given = {row.example.id: fields.get(row.example.id, {}) for row in result.rows}
    rows = [
        replace(row, example=replace(row.example, **given[row.example.id]))
        for row in result.rows
        if given[row.example.id] is not None
    ]
    return replace(result, rows=tuple(rows))


def by_main(main, result, old=BASE):
    return answers.by_main(main, TASK, Prompt("base"), MODEL, old.rows, result)


def test_nothing_differs_where_the_branch_has_the_same_examples_and_reading(main):
    new = answered([True] * 6, prompt="new", model=OTHER)
    found = by_main(main, replace(new, canonical_rows=new.rows[:2]))
    assert not found.differs
    assert BASE.rows == tuple(
        replace(a, reply=b.reply) for a, b in zip(found.base.rows, BASE.rows, strict=True)
    )
    assert [1.0] * 6 == [row.score for row in found.new.rows]
    assert (Prompt("base"), MODEL, "accuracy") == (
        found.base.prompt,
        found.base.classifier,
        found.base.metric,
    )
    assert (Prompt("new"), OTHER, "accuracy") == (found.new.prompt, found.new.classifier, found.new.metric)
    assert ("weather", "food") == found.new.labels
    assert pytest.approx(4 / 6) == found.base.accuracy
    assert ["e0", "e1"] == [row.example.id for row in found.base.canonical_rows]
    assert [True, False] == [row.correct for row in found.base.canonical_rows]
    assert [True, True] == [row.correct for row in found.new.canonical_rows]


def test_what_a_branch_changes_is_told_and_judged_by_main(main):
    new = answered([True] * 7, prompt="new")
    new = changed(new, e0={"label": "food"}, e1={"text": "another"}, e2=None, e3={"group": "g"})
    found = by_main(main, new)
    assert (("e0", "text 0", "weather", "food"),) == found.relabelled
    assert () == found.reread
    assert ("e1", "e2", "e0", "e1") == found.gone, "canonical examples last"
    assert ("e1", "e3", "e6") == found.others
    assert found.differs
    assert ["weather", "food"] * 3 == [row.example.label for row in found.new.rows]
    assert [True, False, False, True, True, True] == [row.correct for row in found.new.rows]
    assert [None, answers.GONE, answers.GONE, None, None, None] == [row.missing for row in found.new.rows]
    assert [answers.GONE, answers.GONE] == [row.missing for row in found.new.canonical_rows]
    assert pytest.approx(2 / 6) == found.new.without_label


def test_with_the_same_prompt_what_is_gone_is_left_out(main):
    found = by_main(main, changed(answered([True] * 6), e1=None))
    assert ["e0", "e2", "e3", "e4", "e5"] == [row.example.id for row in found.base.rows]
    assert ["e0", "e2", "e3", "e4", "e5"] == [row.example.id for row in found.new.rows]
    assert () == found.new.canonical_rows
    assert by_main(main, changed(answered([True] * 6), **{f"e{n}": None for n in range(6)})) is None


def test_replies_that_are_read_otherwise_are_told(main):
    old = replace(BASE, rows=(replace(BASE.rows[0], label=None, missing="absent"), *BASE.rows[1:]))
    found = by_main(main, answered([True] * 6, prompt="new"), old)
    assert (("e0", "It is weather.", "weather", "(absent)"),) == found.reread


def test_a_text_that_is_no_unicode_comes_back(tmp_path):
    row = answers.Row("e", "\ud800", "l", None, "a", None, 0, 1.0)
    given = answers.answers("t", "r", "p", [], TASK, BASE)
    given = replace(given, rows=(row,), positive="food")
    answers.write(tmp_path / "a.jsonl", [given])
    assert {"t": given} == answers.read(tmp_path / "a.jsonl")


@pytest.mark.parametrize("text", ["{", "null", '{"title": "t"}'])
def test_a_file_that_is_none_is_named(tmp_path, text):
    (tmp_path / "a.jsonl").write_text(text + "\n")
    with pytest.raises(RecordingError, match=r"a\.jsonl: expected what --promptlab-answers writes"):
        answers.read(tmp_path / "a.jsonl")


def test_notes_lie_beside_it_a_line_each(tmp_path):
    assert [] == answers.read_notes(tmp_path / "a.jsonl")
    answers.write_notes(tmp_path / "a.jsonl", ["one", "two\nlines \ud800"])
    assert ["one", "two lines ?"] == answers.read_notes(tmp_path / "a.jsonl")
