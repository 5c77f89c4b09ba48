from __future__ import annotations

import functools
import random
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

import promptlab as pl
from promptlab.errors import DataError
from promptlab.records import Example, Model, Prediction, Prompt, Reply
from promptlab.scoring.evaluation import evaluation_of

from ..examples import LABELS, task

MODEL = Model("small", base_url="http://127.0.0.1:1")


def answered(right, *, prompt="base", model=MODEL, of=None, **fields):
    """Make an evaluation of a prompt that is right about some of the examples, by number."""
    rows = []
    for n in range(of or len(right)):
        gold = LABELS[n % 2]
        label = gold if right[n] else LABELS[1 - n % 2]
        reply = Reply(f"It is {label}.", "end_turn", ("text",), "small", 1, 1)
        rows.append(Prediction(Example(f"e{n}", f"text {n}", gold), reply, label))
    return evaluation_of(task(**fields), "test", Prompt(prompt), rows, model)


@functools.cache
def pair(n, fixed, broken, **fields):
    """Make a base and a new evaluation of n examples that differ in some; half the others are right."""
    base = [n % 4 < 2 for n in range(n)]
    new = list(base)
    right = [k for k in range(n) if base[k]]
    wrong = [k for k in range(n) if not base[k]]
    for k in [*right[:broken], *wrong[:fixed]]:
        new[k] = not new[k]
    return answered(base, **fields), answered(new, prompt="new", **fields)


@pytest.mark.parametrize(("fixed", "broken", "verdict"), [
    (30, 5, "better"), (5, 30, "worse"), (20, 18, "inconclusive"), (6, 0, "better"), (0, 6, "worse"),
    (2, 1, "inconclusive"), (0, 0, "inconclusive"),
])  # fmt: skip
def test_the_verdict_is_taken_from_the_bounds(fixed, broken, verdict):
    found = pl.compare(*pair(160, fixed, broken))
    assert verdict == found.verdict
    assert fixed == len(found.fixed)
    assert broken == len(found.broken)
    assert (fixed + broken >= 10) == found.difference.bootstrap
    assert str(found).startswith(f"{verdict}: ")


def test_swapped_prompts_swap_the_verdict():
    base, new = pair(160, 30, 5)
    assert "worse" == pl.compare(new, base).verdict


def test_nothing_is_judged_where_no_request_differs():
    base, other = answered([True] * 40), answered([True] * 30 + [False] * 10)
    found = pl.compare(base, other)
    assert ("unchanged", None) == (found.verdict, found.difference)
    assert found.no_worse
    assert "noise floor: 10 of 40 answers flipped when asked again (25.0%)" in str(found)
    moved = replace(base, classifier=replace(MODEL, base_url="http://127.0.0.1:2"))
    assert "unchanged" == pl.compare(base, moved).verdict


@pytest.mark.parametrize("change", [
    {"prompt": Prompt("other")},
    {"classifier": Model("large")},
    {"classifier": replace(MODEL, extra_body={"temperature": 1})},
])  # fmt: skip
def test_another_prompt_model_or_parameter_is_judged(change):
    base = answered([True, False] * 20)
    assert "inconclusive" == pl.compare(base, replace(base, **change)).verdict


def test_it_says_whether_the_prompts_can_be_swapped():
    assert "safe to swap: yes; macro F1 has risen" in str(pl.compare(*pair(160, 30, 5)))
    assert "safe to swap: no; macro F1 has fallen" in str(pl.compare(*pair(160, 5, 30)))
    assert "safe to swap: yes; macro F1 may have lost up to 0.0" in str(pl.compare(*pair(400, 12, 12)))
    assert "safe to swap: not proven" in str(pl.compare(*pair(160, 20, 18)))


def test_few_flips_are_judged_by_accuracy_and_said_so():
    told = str(pl.compare(*pair(160, 0, 6)))
    assert "is worse than" in told
    assert "in accuracy; only 6 flips, so confirm it on more" in told
    assert "judged: under 10 answers changed" in told


def test_flips_are_shown_side_by_side():
    found = pl.compare(*pair(40, 3, 2))
    assert {"weather", "food"} == set(found.by_label)
    assert (3, 2) == tuple(map(sum, zip(*found.by_label.values(), strict=True)))
    for flip in found.flips:
        assert flip.fixed == (flip.example.id in found.fixed) == (flip.new.label == flip.example.label)
        assert flip.base.reply.text != flip.new.reply.text


@settings(max_examples=20)
@given(st.permutations(range(40)))
def test_the_order_of_the_examples_plays_no_part(order):
    base, new = pair(40, 8, 4)
    shuffled = replace(new, rows=tuple(new.rows[n] for n in order))
    assert pl.compare(base, new).difference == pl.compare(base, shuffled).difference


def test_other_examples_cannot_be_compared():
    base, new = pair(40, 3, 2)
    with pytest.raises(
        DataError, match=r"2 examples are in one of the two evaluations only: e38, e39\. Evaluate both"
    ):
        pl.compare(replace(base, rows=base.rows[:38]), new)
    row = base.rows[0]
    other = replace(row, example=replace(row.example, label="food"))
    with pytest.raises(
        DataError, match="example 'e0' is 'food' in one evaluation and 'weather' in the other"
    ):
        pl.compare(replace(base, rows=(other, *base.rows[1:])), new)
    with pytest.raises(DataError, match="confidence is 95, expected a share"):
        pl.compare(base, new, confidence=95)


def test_no_worse_is_true_only_where_it_is_shown():
    base, new = pair(400, 12, 12)
    assert new.no_worse_than(base, margin=0.05)
    assert pl.compare(base, new, margin=0.05).no_worse
    few_base, few_new = pair(40, 3, 3)
    shown = few_new.no_worse_than(few_base)
    assert not shown
    assert re.search(r"<failed: no worse than prompt \w+ by 0.05: .* the accuracy changed by -0", repr(shown))
    assert not new.no_worse_than(base, margin=0.001)
    assert answered([False] * 5).no_worse_than(answered([False] * 5), margin=0.0001)


@pytest.mark.parametrize("metric", ["macro_f1", "accuracy", "f1"])
def test_the_task_says_which_metric_is_judged(metric):
    base, new = pair(160, 30, 5, metric=metric, positive="food")
    found = pl.compare(base, new)
    assert metric == found.difference.metric
    assert new.primary - base.primary == pytest.approx(found.difference.point)
    assert new.primary == getattr(new, metric)
    assert f"{new.primary_name} {base.primary:.3f} -> {new.primary:.3f}" in str(found)
    low, high = new.primary_interval
    assert low < new.primary < high


def test_a_metric_that_does_not_exist_is_refused():
    with pytest.raises(DataError, match="metric is 'auc', expected one of macro_f1, accuracy, f1"):
        task(metric="auc")
    with pytest.raises(DataError, match="metric 'f1' is that of one label: say which with positive="):
        task(metric="f1")


def test_what_would_decide_is_told():
    found = pl.compare(*pair(160, 20, 14))
    assert found.needed > 160
    assert 920 == round(found.needed, -1)
    assert "about 920 test examples in all (here 160) would probably settle it" in str(found)
    assert "too close to settle in practice" in str(pl.compare(*pair(160, 20, 19)))
    assert pl.compare(*pair(160, 30, 5)).needed is None
    assert pl.compare(*pair(160, 12, 12)).needed is None
    assert "no number of examples would show one" in str(pl.compare(*pair(160, 12, 12)))


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=6))
def test_several_tasks_share_the_chance_of_error_as_in_statsmodels(flips):
    pairs = [pair(160, *few) for few in flips]
    found = pl.compare_all(pairs)
    ps = [pl.compare(*one).difference.p for one in pairs]
    decided = multipletests(ps, alpha=0.05, method="holm")[0]
    assert list(decided) == [one.verdict != "inconclusive" for one in found]


def test_unchanged_tasks_take_no_share_of_the_chance_of_error():
    close = pair(160, 0, 3)
    same = (answered([True] * 20), answered([True] * 20))
    assert "worse" == pl.compare(*close).verdict
    (alone, *_) = pl.compare_all([close, same, same])
    assert ("worse", 0.95) == (alone.verdict, alone.confidence)
    (shared, _) = pl.compare_all([close, pair(160, 3, 3)])
    assert ("inconclusive", 0.975) == (shared.verdict, shared.confidence)


def test_what_a_split_can_show_is_known_before_a_call_is_paid():
    few, many = pl.detectable(task(80)), pl.detectable(task(800))
    assert few > many > pl.detectable(task(800), discordance=0.05) > 0
    assert many < pl.detectable(task(800), split="validation")
    with pytest.raises(DataError, match="discordance is 0, expected a share"):
        pl.detectable(task(80), discordance=0)


def test_the_same_evaluations_give_the_same_words():
    rights = [[random.Random(seed).random() < 0.7 for _ in range(100)] for seed in (1, 2)]
    base, new = answered(rights[0]), answered(rights[1], prompt="new")
    assert str(pl.compare(base, new)) == str(pl.compare(base, new))
