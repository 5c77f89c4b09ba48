"""Each verdict, and what becomes of it: the table in docs/gate.md."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from promptlab.gate.answers import ByMain
from promptlab.gate.base import Pair, Place
from promptlab.gate.decide import decide
from promptlab.models.profiles import CLAUDE

from ..conftest import ROOT
from ..scoring.test_comparison import answered, pair

TABLE = (ROOT / "docs/gate.md").read_text(encoding="utf-8")


def rows() -> dict[str, tuple[str, ...]]:
    """Return the rows of the table by their first cell: plain, strict, the value in JUnit."""
    found = re.findall(r"^\| (.+?) \| .+? \| (.+?) \| (.+?) \| (.*?) ?\|$", TABLE, re.MULTILINE)
    return {first: tuple(others) for first, *others in found}


def judged(base, new, **fields) -> Pair:
    """Make a pair of two evaluations."""
    place = Place(ROOT, ROOT, ROOT, CLAUDE, None, "pytest", "tests/test_x.py::test_y")
    made = Pair("t", place, base, new, new, (), False, True, (), (), (), "prompt", "main (0)", ({}, {}))
    return replace(made, **fields)


def canonical(evaluation, right):
    """Give an evaluation a canonical example."""
    (row,) = answered([right]).rows
    return replace(evaluation, canonical_rows=(row,))


SAME = answered([True, False] * 40)
BETTER, WORSE, ABOUT, UNSURE = pair(160, 30, 5), pair(160, 5, 30), pair(1600, 20, 18), pair(160, 20, 22)
CASES = {
    "broken": judged(canonical(BETTER[0], True), canonical(BETTER[1], False)),
    "worse": judged(*WORSE),
    "contested": judged(*BETTER, main=ByMain(*WORSE, (), (), ("e1",), ())),
    "leaks": judged(*BETTER, leaks=("e1",)),
    "unreadable": judged(None, None, unreadable=("x",), known=False),
    "incomplete": judged(None, None, alone=tuple(f"e{n}" for n in range(40)), whole=SAME),
    "inconclusive, shown to be no worse by .05": judged(*ABOUT),
    "inconclusive": judged(*UNSURE),
    "better, shown to be no worse by .05 by main's labels too": judged(
        *BETTER, main=ByMain(*ABOUT, (), (), ("e1",), ())
    ),
    "unchanged, under other rules": judged(
        SAME, SAME, same=True, main=ByMain(SAME, SAME, (), (), ("e1",), ())
    ),
    "unchanged": judged(SAME, SAME, same=True),
    "new": judged(None, None, known=False),
}


@pytest.mark.parametrize("row", CASES)
def test_a_verdict_has_the_outcome_that_the_table_says(row):
    one = replace(CASES[row], whole=CASES[row].whole or SAME)
    plain, strict = (decide([one], strict=strict)[0] for strict in (False, True))
    assert rows()[row][:2] == (plain.outcome, strict.outcome)
    verdict = row.partition(",")[0]
    assert verdict == plain.verdict == strict.verdict
    assert rows()[row][2] == (verdict if plain.outcome != "no test" else "")
    assert str(plain.lines[0]).startswith(f"{verdict}: ")


def test_the_table_has_these_rows_and_two_for_what_was_not_judged():
    others = {"recorded and not judged", "nothing judged", "verdict"}
    assert {*CASES, *others} == rows().keys()


@pytest.mark.parametrize("row", CASES)
def test_ok_to_merge_is_said_of_nothing_that_is_not_shown_to_be_no_worse(row):
    one = replace(CASES[row], whole=CASES[row].whole or SAME)
    (found,) = decide([one], strict=True)
    said = str(found.lines[0])
    if "OK to merge" in said or "safe to merge" in said:
        assert found.comparison.no_worse
        assert found.outcome in ("passes", "warns")


def test_what_main_calls_worse_too_fails_without_strict():
    both = judged(*WORSE, main=ByMain(*WORSE, (), (), ("e1",), ()))
    assert "fails" == decide([both], strict=False)[0].outcome


def test_worse_by_the_branch_alone_is_contested_as_well():
    one = judged(*WORSE, main=ByMain(*ABOUT, (), (), ("e1",), ()))
    assert ["warns", "fails"] == [decide([one], strict=strict)[0].outcome for strict in (False, True)]


def test_strict_wants_main_to_show_it_too():
    """Better by the branch's labels, and main's cannot tell."""
    one = judged(*BETTER, main=ByMain(*UNSURE, (), (), ("e1",), ()))
    assert ["passes", "fails"] == [decide([one], strict=strict)[0].outcome for strict in (False, True)]
