"""Each verdict, and what becomes of it: the table in docs/gate.md."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from promptlab.errors import PromptlabError
from promptlab.gate.answers import ByMain, Change
from promptlab.gate.base import Pair, Place
from promptlab.gate.decide import compared, decide
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


SAYS = {
    "broken": "Broken, do not merge: ",
    "worse": "Worse, do not merge: ",
    "leaks": "Leaks, do not merge: ",
    "inconclusive, shown to be no worse by .05": "OK to merge: shown to be no worse, since ",
    "inconclusive": "Cannot tell from 160 examples",
    "better, shown to be no worse by .05 by main's labels too": "OK to merge: 30 fixed, 5 broken",
}


@pytest.mark.parametrize("row", CASES)
def test_a_verdict_has_the_outcome_that_the_table_says(row):
    one = replace(CASES[row], whole=CASES[row].whole or SAME)
    plain, strict = (decide([one], strict=strict)[0] for strict in (False, True))
    assert rows()[row][:2] == (plain.outcome, strict.outcome)
    verdict = row.partition(",")[0]
    assert verdict == plain.verdict == strict.verdict
    assert rows()[row][2] == (verdict if plain.outcome != "no test" else "")
    assert plain.headline.startswith(SAYS.get(row, f"{verdict.capitalize()}: "))
    assert plain.headline == str(plain.lines[0]).partition(" (see")[0]
    assert ("no worse" if "shown to be no worse, since" in plain.headline else verdict) == plain.called


def test_the_table_has_these_rows_and_two_for_what_was_not_judged():
    others = {"recorded and not judged", "nothing judged", "verdict"}
    assert {*CASES, *others} == rows().keys()


@pytest.mark.parametrize("row", CASES)
def test_ok_to_merge_is_said_of_nothing_that_is_not_shown_to_be_no_worse(row):
    one = replace(CASES[row], whole=CASES[row].whole or SAME)
    (found,) = decide([one], strict=True)
    said = str(found.lines[0])
    assert ("OK to merge" in said) == (row in SAYS and SAYS[row].startswith("OK to merge"))
    if "OK to merge" in said:
        assert found.comparison.no_worse
        assert "passes" == found.outcome


def test_no_worse_has_to_be_shown_by_main_s_labels_too():
    one = judged(*ABOUT, main=ByMain(*UNSURE, (), (), ("e1",), ()))
    found, strict = (decide([one], strict=strict)[0] for strict in (False, True))
    assert ("inconclusive", "warns", "fails") == (found.called, found.outcome, strict.outcome)
    assert "Cannot tell: shown to be no worse by this branch's labels and reading, and not by main's" == (
        found.headline
    )


def test_what_main_calls_worse_too_fails_without_strict():
    both = judged(*WORSE, main=ByMain(*WORSE, (), (), ("e1",), ()))
    assert "fails" == decide([both], strict=False)[0].outcome


def test_worse_by_the_branch_alone_is_contested_as_well():
    one = judged(*WORSE, main=ByMain(*ABOUT, (), (), ("e1",), ()))
    assert ["warns", "fails"] == [decide([one], strict=strict)[0].outcome for strict in (False, True)]


def test_the_release_is_named_and_no_loss_since_it_is_what_counts():
    (one,) = decide([judged(*UNSURE, anchor=True)], strict=True)
    assert "No loss since the release is shown: 20 fixed, 22 broken" == str(one.lines[0])
    assert "  judged against the release main (0), so that small losses do not add up" in map(str, one.lines)
    assert "passes" == one.outcome


def test_of_main_s_comparison_verdict_and_figures_are_shown():
    one = decide([judged(*BETTER, main=ByMain(*ABOUT, (), (), ("e1", "e2"), ("e3",)))], strict=False)[0]
    said = one.explanation.splitlines()
    start = said.index("  by main's labels and reading: no worse")
    assert said[start + 1].startswith("  macro F1 ")
    assert "  new, or in another group: 1 examples: e3" == said[start + 2]
    assert "  no longer judged, and wrong by main's reading: 2 examples: e1, e2" == said[start + 3]


@pytest.mark.parametrize(("lacking", "verdict"), [(16, "better"), (17, "incomplete")])
def test_nine_of_ten_examples_have_to_be_recorded_on_both_sides(lacking, verdict):
    one = judged(*BETTER, alone=tuple(f"x{n}" for n in range(lacking)))
    (found,) = decide([one], strict=False)
    assert verdict == found.verdict
    shown = ", ".join(f"x{n}" for n in range(lacking))
    assert (
        f"  not compared: {lacking} of 160 examples are not recorded on both sides: {shown}"
        in found.explanation
    )


@pytest.mark.parametrize("count", [20, 21])
def test_twenty_ids_are_named(count):
    one = judged(*ABOUT, alone=tuple(f"x{n}" for n in range(count)))
    named = ", ".join(f"x{n}" for n in range(20)) + (", ..." if count > 20 else "")
    assert f"both sides: {named}\n" in decide([one], strict=False)[0].explanation


@pytest.mark.parametrize("fields", [
    {"base": None}, {"new": None}, {"unreadable": ("x",)}, {"alone": tuple(f"x{n}" for n in range(17))},
])  # fmt: skip
def test_what_cannot_be_judged_cannot_be_compared(fields):
    with pytest.raises(PromptlabError):
        compared(replace(judged(*BETTER), **fields), 0.05)
    assert 0.1 == compared(judged(*BETTER), 0.1).margin


def test_the_same_prompt_is_said_to_be_the_same():
    (one,) = decide([judged(None, None, same=True, whole=SAME)], strict=False)
    assert "Unchanged: prompt and model are the same, so there is nothing to judge" == str(one.lines[0])


def test_what_was_relabelled_is_a_table_for_the_terminal_and_no_text_of_it_elsewhere():
    """With the figures under both labels; texts are hostile."""
    changes = tuple(Change(f"e{n}", f"text\n\x1b[2J {n}", "food", "weather") for n in range(7))
    (one,) = decide([judged(*WORSE, main=ByMain(*WORSE, changes, (), (), ()))], strict=False)
    said = list(map(str, one.said(verbose=False, examples=True)))
    start = said.index("  relabelled: 7")
    assert [
        "        main's  this branch's",
        r"    e0  food    weather        'text \x1b[2J 0'",
        r"    e1  food    weather        'text \x1b[2J 1'",
    ] == said[start + 1 : start + 4]
    assert "    and 2 more" == said[start + 7]
    assert 2 == sum("macro F1 0.500 -> 0.344 on 160 test examples" in line for line in said)
    assert ["  relabelled: 7"] == [
        line for line in map(str, one.lines) if "text" in line or "relabelled" in line
    ]
    assert "e0" not in one.headline


def test_strict_wants_main_to_show_it_too():
    """Better by the branch's labels, and main's cannot tell."""
    one = judged(*BETTER, main=ByMain(*UNSURE, (), (), ("e1",), ()))
    assert ["warns", "fails"] == [decide([one], strict=strict)[0].outcome for strict in (False, True)]


def test_looks_and_leaks_do_not_count_against_a_release_that_is_fixed():
    """Beside it, the base is judged, where both do."""
    pairs = judged(*BETTER, anchor=True, looks=2000), judged(*BETTER, anchor=True, leaks=("e1",))
    better, leaking = (decide([one], strict=False)[0] for one in pairs)
    assert ("better", False) == (better.verdict, better.failed)
    assert not leaking.failed
