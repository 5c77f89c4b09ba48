"""What pull requests do to a prompt, recorded; tests/gate/test_gate.py makes a repository of them.

The prompts were chosen by what they do to this model, so that each verdict occurs: they show the gate,
and nothing about prompts. `worse` asks for one word and loses the tag, `better` is another description, and
`reworded` says the same in other words, but gets two canonical examples wrong that `main` has right.
"""

import pytest

import promptlab as pl

from .task import HERE, WARM, fixed, task


def test_one_question_has_a_typo():
    changed = [a.id for a, b in zip(task.examples, fixed.examples, strict=True) if a.text != b.text]
    assert ["q009"] == changed
    assert "test" == next(name for name, of in task.splits.items() if any(e.id == "q009" for e in of))


@pytest.mark.parametrize("name", ["main", "better", "worse", "reworded"])
def test_each_prompt_is_recorded(lab, name):
    result = lab.evaluate(task, HERE / name, name=name, classifier=WARM)
    assert len(task.split("test")) == result.scores.n
    assert len(task.canonical) == len(result.canonical.rows)


@pytest.mark.parametrize("name", ["better", "worse"])
def test_a_real_change_is_larger_than_what_can_be_detected(lab, name):
    base, new = (lab.evaluate(task, HERE / one, name=one, classifier=WARM) for one in ("main", name))
    found = pl.compare(base, new)
    assert abs(new.primary - base.primary) > pl.detectable(task, discordance=len(found.flips) / base.scores.n)
    assert name == found.difference.verdict


@pytest.mark.parametrize("name", ["worse", "reworded"])
def test_canonical_examples_that_break_are_a_verdict_of_their_own(lab, name):
    base, new = (lab.evaluate(task, HERE / one, name=one, classifier=WARM) for one in ("main", name))
    assert "broken" == pl.compare(base, new).verdict


def test_the_same_prompt_recorded_twice_is_judged_by_its_answers(lab):
    """A canonical example, asked once, came out wrong by chance the second time."""
    once = lab.evaluate(task, HERE / "main", name="main", classifier=WARM)
    again = lab.evaluate(task, HERE / "main", name="again", classifier=WARM)
    found = pl.compare(once, again)
    assert ("broken", "inconclusive") == (found.verdict, found.difference.verdict)
    assert "same prompt, other answers" in found.headline
    assert 0 < len(found.flips)


def test_the_question_is_recorded_without_its_typo(lab):
    result = lab.evaluate(fixed, HERE / "main", name="fixed", classifier=WARM)
    assert len(fixed.split("test")) == result.scores.n
