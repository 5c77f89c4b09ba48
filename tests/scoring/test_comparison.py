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
        example = Example(f"e{n}", f"text {n}", gold)
        rows.append(Prediction(example, reply, label, score=float(right[n])))
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
    does = {"better": "OK to merge: ", "worse": "Worse, do not merge: "}
    if not found.no_worse or verdict == "better":
        assert found.headline.startswith(does.get(verdict, "Cannot tell from 160 examples: "))


def test_swapped_prompts_swap_the_verdict():
    base, new = pair(160, 30, 5)
    assert "worse" == pl.compare(new, base).verdict


def test_nothing_is_judged_where_neither_request_nor_score_differs():
    base = answered([True] * 30 + [False] * 10)
    moved = replace(base, classifier=replace(MODEL, base_url="http://127.0.0.1:2"))
    found = pl.compare(base, moved)
    assert ("unchanged", None) == (found.verdict, found.difference)
    assert found.no_worse


def test_the_same_prompt_is_judged_by_its_other_answers():
    base, other = answered([True] * 40), answered([True] * 30 + [False] * 10)
    found = pl.compare(base, other)
    assert str(found).startswith("Worse, do not merge: same prompt, other answers; 10 broken, 0 fixed")
    assert not found.no_worse
    assert "noise floor: 10 of 40 answers flipped when asked again (25.0%)" in str(found)


@pytest.mark.parametrize("change", [
    {"prompt": Prompt("other")},
    {"classifier": Model("large")},
    {"classifier": replace(MODEL, extra_body={"temperature": 1})},
])  # fmt: skip
def test_another_prompt_model_or_parameter_is_judged(change):
    base = answered([True, False] * 20)
    assert "inconclusive" == pl.compare(base, replace(base, **change)).verdict


def test_each_verdict_says_what_to_do():
    """Six comparisons, for engineers without statistics."""
    unchanged = answered([True] * 40)
    marked = pair(400, 12, 12)
    rows = [replace(row, example=replace(row.example, canonical=True)) for row in marked[0].rows[:2]]
    wrong = [replace(rows[0], label="food", score=0.0), rows[1]]
    broken = [
        replace(one, canonical_rows=tuple(some)) for one, some in zip(marked, (rows, wrong), strict=True)
    ]
    cases = {
        "OK to merge: 30 fixed, 5 broken\n": pair(160, 30, 5),
        "Worse, do not merge: 30 broken, 5 fixed (see these three)\n": pair(160, 5, 30),
        "OK to merge: shown to be no worse, since a loss of 0.05 or more of macro F1 can be ruled out; 12 fixed, 12 broken": (
            pair(400, 12, 12)
        ),
        "Cannot tell from 160 examples: 20 fixed, 18 broken\n": pair(160, 20, 18),
        "Unchanged: prompt, model and texts are the same": (unchanged, unchanged),
        "Broken, do not merge: 1 canonical example that the base has right came out wrong: e0; 12 broken, ": broken,
    }
    for sentence, sides in cases.items():
        assert str(pl.compare(*sides)).startswith(sentence)


def test_a_canonical_example_is_broken_only_where_the_base_has_it_right():
    base, new = pair(40, 8, 0)
    right, wrong = (
        replace(base.rows[0], label=label, score=float(label == "weather")) for label in ("weather", "food")
    )

    def verdict(before, after):
        sides = zip((base, new), (before, after), strict=True)
        return pl.compare(*(replace(one, canonical_rows=tuple(rows)) for one, rows in sides)).verdict

    assert "broken" == verdict([right], [wrong])
    assert "better" == verdict([wrong], [wrong]) == verdict([wrong], [right]) == verdict([], [wrong])
    # Of three answers, the majority counts.
    assert "better" == verdict([right], [wrong, right, right])
    assert "broken" == verdict([right, right, wrong], [wrong, right, wrong])
    assert "unchanged" == pl.compare(base, replace(base, canonical_rows=(wrong,))).verdict


def test_flips_of_prompts_that_were_asked_several_times_say_which_are_chance():
    base, new = pair(40, 3, 2)

    def thrice(one, fickle):
        rows = []
        for number, row in enumerate(one.rows):
            other = LABELS[1 - LABELS.index(row.label)]
            third = replace(row, repeat=2)
            if number in fickle:
                third = replace(third, label=other, score=1 - row.score)
            rows += [row, replace(row, repeat=1), third]
        return evaluation_of(task(), "test", one.prompt, rows, MODEL)

    flips = [n for n in range(40) if base.rows[n].correct != new.rows[n].correct]
    found = pl.compare(thrice(base, flips[:1]), thrice(new, flips[1:2]))
    assert [True, True, False, False, False] == [flip.by_chance for flip in found.flips]
    assert "2 of the changes by chance: asked again, the same prompt gave both answers" in str(found)
    assert 40 == found.new.examples
    assert "n = 40, each asked 3 times" == found.new.size


def test_three_that_the_prompt_breaks_are_shown_canonical_ones_first():
    """Texts are hostile: none of their controls reaches the terminal."""
    base, new = pair(160, 2, 12)
    hostile = replace(base.rows[4].example, text="a \x1b[31mred\u202e\n text", canonical=True)
    assert (True, False) == (base.rows[4].correct, new.rows[4].correct)
    base, new = (
        replace(one, rows=(*one.rows[:4], replace(one.rows[4], example=hostile), *one.rows[5:]))
        for one in (base, new)
    )
    marked = [replace(one, canonical_rows=one.rows[4:5]) for one in (base, new)]
    first, figures, *lines = pl.compare(*marked).lines()
    assert "e4; 12 broken, 2 fixed (see these three)" == first.partition("wrong: ")[2]
    assert "  macro F1 0.500 -> 0.438 on 160 test examples: " in figures
    assert [
        r"  e4, canonical: 'a \x1b[31mred\u202e text'",
        "    label weather; base weather, new food",
        "  e0: 'text 0'",
        "    label weather; base weather, new food",
        "  e1: 'text 1'",
        "    label food; base food, new weather",
        "  and 9 more broken",
    ] == lines
    assert [first.partition(" (see")[0], figures] == list(pl.compare(*marked).lines(examples=False))


def test_what_is_compared_has_its_name_and_models_theirs_where_they_differ():
    base, new = pair(160, 20, 18)
    base, new = replace(base, name="first"), replace(new, name="iteration 2")

    def named(*sides):
        return str(pl.compare(*sides)).split("\n")[1].partition(" examples: ")[2]

    first, second = f"first ({base.prompt.id})", f"iteration 2 ({new.prompt.id})"
    assert f"{first} -> {second}" == named(base, new)
    large = replace(new, classifier=replace(MODEL, name="large"))
    assert f"{first} with small -> {second} with large" == named(base, large)
    assert "small -> large" == named(base, replace(base, classifier=replace(MODEL, name="large")))


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
    assert re.search(
        r"<failed: no worse than prompt \w+ by 0.05: macro F1 .* at worst it changed by -0", repr(shown)
    )
    assert not new.no_worse_than(base, margin=0.001)
    assert answered([False] * 5).no_worse_than(answered([False] * 5), margin=0.0001)


@pytest.mark.parametrize("metric", ["macro_f1", "accuracy", "f1"])
def test_the_task_says_which_metric_is_judged(metric):
    base, new = pair(160, 30, 5, metric=metric, positive="food")
    found = pl.compare(base, new)
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


def test_how_many_examples_would_tell_is_said_only_where_the_data_say_so():
    found = pl.compare(*pair(160, 23, 14))
    few, many = found.needed
    assert 160 < few < 400 < many
    assert found.no_worse
    assert re.search(
        r"\n  whether it is better: cannot tell from 160 examples; about \d+ to [\d,]+ would\n", str(found)
    )
    unsure = pl.compare(*pair(160, 23, 35))
    said = r"^Cannot tell from 160 examples; about \d+ to [\d,]+ would: 23 fixed, 35 broken$"
    assert re.search(said, unsure.headline)
    for sides in (
        pair(160, 20, 18),
        pair(160, 12, 12),
        pair(160, 30, 5),
    ):  # no difference to be seen, or decided
        assert pl.compare(*sides).needed is None


def test_equal_prompts_are_seldom_told_a_number():
    """More examples cannot settle what is equal; it was said of half of them."""
    random_ = random.Random(0)
    told = 0
    for _ in range(100):
        fixed = sum(random_.random() < 0.5 for _ in range(24))
        found = pl.compare(*pair(160, fixed, 24 - fixed))
        told += found.needed is not None
    assert told <= 15


@pytest.mark.thorough
@settings(max_examples=10)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=6))
def test_gains_share_the_chance_of_error_as_in_statsmodels_and_losses_do_not(flips):
    pairs = [pair(160, *few) for few in flips]
    found = pl.compare_all(pairs)
    alone = [pl.compare(*one) for one in pairs]
    decided = multipletests([one.difference.p for one in alone], alpha=0.05, method="holm")[0]
    for one, by_itself, gained in zip(found, alone, decided, strict=True):
        assert (one.verdict == "better") == (gained and by_itself.verdict == "better")
        assert (one.verdict == "worse") == (by_itself.verdict == "worse")
        assert one.difference == by_itself.difference


def test_unchanged_tasks_take_no_share_of_the_chance_of_error():
    close = pair(160, 3, 0)
    same = (answered([True] * 20), answered([True] * 20))
    assert "better" == pl.compare(*close).verdict
    assert "better" == pl.compare_all([close, same, same])[0].verdict
    (shared, _) = pl.compare_all([close, pair(160, 3, 3)])
    assert ("inconclusive", 2) == (shared.verdict, shared.together)
    assert "of 2 prompts judged together, one may look so by chance" in str(shared)
    assert shared.no_worse


def test_what_a_split_can_show_is_known_before_a_call_is_paid(monkeypatch):
    monkeypatch.setattr("promptlab.scoring.power.ROUNDS", (40, 80))
    few, many = pl.detectable(task(80)), pl.detectable(task(800))
    assert few > many > pl.detectable(task(800), discordance=0.05) > 0
    assert many < pl.detectable(task(800), split="validation")
    with pytest.raises(DataError, match="discordance is 0, expected a share"):
        pl.detectable(task(80), discordance=0)


def test_the_same_evaluations_give_the_same_words():
    rights = [[random.Random(seed).random() < 0.7 for _ in range(100)] for seed in (1, 2)]
    base, new = answered(rights[0]), answered(rights[1], prompt="new")
    assert str(pl.compare(base, new)) == str(pl.compare(base, new))
