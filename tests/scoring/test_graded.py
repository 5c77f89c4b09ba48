"""Tasks whose answers are graded: the mean score instead of labels, everywhere."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

import promptlab as pl
from promptlab.records import Prediction, Reply
from promptlab.report import terminal
from promptlab.scoring.evaluation import evaluation_of, majority, predict
from promptlab.scoring.weights import share_interval

from ..examples import LABELS, task


def examples(count=60, **fields):
    """Make examples that should give two fields."""
    gold = [{"kind": LABELS[n % 2], "day": str(n)} for n in range(count)]
    return tuple(
        pl.Example(f"e{n:03}", f"Sentence {n} of a day.", one, **fields) for n, one in enumerate(gold)
    )


def extract(reply):
    """Read a JSON object."""
    try:
        return json.loads(reply)
    except ValueError:
        return pl.Unreadable("no JSON")


def share(example, answer):
    """Score the share of the fields that are right."""
    return sum(answer.get(key) == value for key, value in example.label.items()) / len(example.label)


def graded(**fields):
    """Make a graded task."""
    given = {"name": "fields", "examples": examples(), "brief": "Pull out kind and day.", "extract": extract}
    return pl.Task(**given | {"score": share, "answer_format": '{"kind": KIND, "day": DAY}'} | fields)


def said(text, stop_reason="end_turn"):
    return Reply(text, stop_reason, ("text",), "m", 1, 1)


def result(scores, of=None, **fields):
    """Make an evaluation whose answers have these scores, by number."""
    of = of or graded()
    rows = [Prediction(e, said("{}"), {}, score=s) for e, s in zip(of.examples, scores, strict=False)]
    return evaluation_of(of, "test", fields.pop("prompt", pl.Prompt("one")), rows)


def test_an_answer_scores_what_the_function_says_and_none_scores_nothing():
    of = graded()
    example = of.examples[0]
    replies = ['{"kind": "weather", "day": "0"}', '{"kind": "food", "day": "0"}', "well", ""]
    rows = [predict(of, example, said(text)) for text in replies]
    assert [1.0, 0.5, 0.0, 0.0] == [row.score for row in rows]
    assert [None, None, "no JSON", "empty"] == [row.missing for row in rows]
    assert [True, False, False, False] == [row.correct for row in rows]
    assert {"no JSON": 0.25, "empty": 0.25}.items() <= evaluation_of(
        of, "test", pl.Prompt(), rows
    ).missing.items()


def test_a_reply_that_was_cut_off_counts_only_where_its_form_is_complete():
    of = graded(
        extract=lambda reply: reply.split("=")[1] if reply.endswith(";") else None, score=lambda e, a: 1.0
    )
    assert "truncated" == predict(of, of.examples[0], said("a=b;", "max_tokens")).missing
    assert None is predict(of, of.examples[0], said("a=b;")).missing


@pytest.mark.parametrize("bad", [1.5, -0.1, float("nan"), "1", None])
def test_a_score_that_is_no_share_is_refused_with_the_example_and_the_answer(bad):
    of = graded(score=lambda example, answer: bad)
    with pytest.raises(
        pl.ScorerError, match=r"task 'fields', example 'e000': score returned .*, expected 0 to 1"
    ):
        predict(of, of.examples[0], said("{}"))


@pytest.mark.parametrize("score", [numpy.float32(0.5), Fraction(1, 2)])
def test_numbers_of_other_libraries_are_scores(score):
    of = graded(score=lambda example, answer: score)
    assert 0.5 == predict(of, of.examples[0], said("{}")).score


def test_a_scorer_that_raises_is_named_with_the_example():
    of = graded(score=lambda example, answer: answer["nothing"])
    with pytest.raises(
        pl.ScorerError, match=r"example 'e000': score raised KeyError\('nothing'\) on the answer \{\}"
    ):
        predict(of, of.examples[0], said("{}"))


BAD = {
    "labels too": (
        {"labels": LABELS},
        r"a task with a score has no labels.*found labels \('weather', 'food'\)",
    ),
    "another metric": ({"metric": "accuracy"}, r"metric 'accuracy'"),
    "neither": ({"score": None}, r"labels are \(\), expected two or more; or a graded task, with score="),
}


@pytest.mark.parametrize("case", BAD)
def test_a_task_is_graded_or_a_classification(case):
    fields, message = BAD[case]
    with pytest.raises(pl.DataError, match=message):
        graded(**fields)
    with pytest.raises(pl.DataError, match="metric is 'score', expected one of macro_f1, accuracy, f1"):
        task(metric="score")


def test_the_figures_are_mean_score_fully_right_and_unreadable():
    one = result([1.0, 0.5, 0.5, 0.0])
    assert [("score", 0.5), ("accuracy", 0.25), ("without_label", 0.0)] == [
        (f.key, f.value) for f in one.figures
    ]
    assert (0.5, "mean score", 0.5) == (one.primary, one.primary_name, one.score)
    assert one.primary_interval == one.intervals.score
    assert share_interval(1, 4).high == pytest.approx(one.intervals.accuracy.high, abs=0.03)
    assert share_interval(0, 4).high == pytest.approx(one.intervals.without_label.high, abs=0.03)
    with pytest.raises(pl.PromptlabError, match="is graded, so it has no macro F1"):
        _ = one.macro_f1
    assert "mean score 0.500 (95% interval " in repr(one)
    assert {"score": 0.5, "accuracy": 0.25, "n": 4}.items() <= terminal.figures(one).items()


@given(st.lists(st.booleans(), min_size=4, max_size=40))
def test_scores_of_0_and_1_have_the_interval_of_a_share(right):
    found = result([float(one) for one in right]).intervals
    expected = share_interval(sum(right), len(right))
    assert tuple(expected) == pytest.approx(tuple(found.score), abs=0.03)  # other draws
    assert found.score == found.accuracy


def test_an_interval_is_about_as_wide_as_students():
    """With many scores that are neither 0 nor 1, of known spread."""
    scores = [(n * 37 % 101) / 100 for n in range(400)]
    of = graded(examples=examples(400))
    interval = result(scores, of).intervals.score
    mean = sum(scores) / 400
    deviation = (sum((s - mean) ** 2 for s in scores) / 399) ** 0.5
    assert 2 * 1.966 * deviation / 20 == pytest.approx(interval.high - interval.low, rel=0.05)


def test_prompts_are_compared_by_their_scores():
    low, high = result([0.25, 0.5] * 30), result([0.75, 0.5] * 30, prompt=pl.Prompt("two"))
    found = pl.compare(low, high)
    assert ("better", 30, 0) == (found.verdict, len(found.fixed), len(found.broken))
    assert "OK to merge: 30 higher, 0 lower" == found.headline
    assert (
        "Worse, do not merge: 30 lower, 0 higher (see these three)"
        == str(pl.compare(high, low)).split("\n")[0]
    )
    assert "worse" == pl.compare(high, low).verdict
    assert "by true label" not in str(found)


def test_of_several_answers_the_median_counts_and_of_an_even_number_the_lower():
    rows = result([0.75, 0.0, 0.5, 1.0]).rows
    assert (0.5, 0.5) == (majority(rows[:3]).score, majority(rows).score)


def test_a_canonical_example_breaks_where_its_score_falls():
    rows = [
        Prediction(e, said("{}"), {}, score=s)
        for e, s in zip(examples(2, canonical=True), (1.0, 0.5), strict=True)
    ]
    fell = [rows[0], replace(rows[1], score=0.25)]
    base, new = result([0.5] * 60), result([0.75] * 60, prompt=pl.Prompt("two"))
    found = pl.compare(replace(base, canonical_rows=tuple(rows)), replace(new, canonical_rows=tuple(fell)))
    assert ("broken", ("e001",)) == (found.verdict, found.canonical_broken)
    assert "1 canonical example scored lower than with the base: e001" in found.headline
    rose = [rows[0], replace(rows[1], score=0.75)]
    assert (
        "better"
        == pl.compare(
            replace(base, canonical_rows=tuple(rows)), replace(new, canonical_rows=tuple(rose))
        ).verdict
    )


def test_the_split_and_the_draws_go_by_hash_alone():
    of = graded()
    assert {"train": {"all": 23}, "validation": {"all": 14}, "test": {"all": 23}} == of.counts
    drawn = of.minibatch(pl.Prompt(), per_label=7, seed=1, iteration=1)
    assert 7 == len(drawn)
    assert drawn != of.minibatch(pl.Prompt(), per_label=7, seed=1, iteration=2)


def test_what_a_graded_split_can_show_is_known_beforehand():
    assert 0.1 < pl.detectable(graded()) < 0.5


def test_there_is_no_baseline_for_a_graded_task():
    with pytest.raises(pl.PromptlabError, match="is graded: there are no labels"):
        pl.baseline(graded())
