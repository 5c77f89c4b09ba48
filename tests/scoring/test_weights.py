from __future__ import annotations

import csv
from collections import Counter
from dataclasses import replace

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sklearn

from promptlab.records import METRICS
from promptlab.scoring import weights
from promptlab.scoring.weights import Answers, Interval, Row, difference, intervals, share_interval

from ..conftest import ROOT


def answers(cells, labels=2, **fields):
    """Count examples that are given as {(gold, answer of each prompt): number}."""
    units = [((Row(gold, tuple(((one, 1.0),) for one in said)),), n) for (gold, *said), n in cells.items()]
    return Answers(tuple(sorted(units)), labels, **fields)


@st.composite
def tables(draw, prompts=2):
    """Draw cells of two to four labels, each of which has examples."""
    labels = draw(st.integers(2, 4))
    said = st.tuples(*[st.integers(0, labels)] * prompts)
    counts = st.dictionaries(said, st.integers(1, 30), min_size=1, max_size=6)
    cells = {(gold, *one): n for gold in range(labels) for one, n in draw(counts).items()}
    return cells, labels, draw(st.sampled_from(METRICS[:3])), draw(st.integers(0, labels - 1))


def written_out(cells):
    """Write cells out, example by example, as columns."""
    return zip(*[cell for cell, n in cells.items() for _ in range(n)], strict=True)


def figure(gold, said, labels, metric, positive):
    """Compute a metric with scikit-learn."""
    if metric == "accuracy":
        return sklearn.accuracy_score(gold, said)
    f1s = sklearn.f1_score(gold, said, labels=range(labels), average=None, zero_division=0)
    return f1s.mean() if metric == "macro_f1" else f1s[positive]


@given(tables())
def test_the_difference_is_scikit_learns(table):
    cells, labels, metric, positive = table
    gold, base, new = written_out(cells)
    expected = figure(gold, new, labels, metric, positive) - figure(gold, base, labels, metric, positive)
    found = difference(answers(cells, labels, metric=metric, positive=positive))
    assert expected == pytest.approx(found.point)
    assert found.low < found.point < found.high or found.error < 1e-9


@given(tables(prompts=1))
def test_every_figure_lies_in_its_interval(table):
    cells, labels, _, _ = table
    gold, said = written_out(cells)
    found = intervals(answers(cells, labels))
    expected = sklearn.precision_recall_fscore_support(gold, said, labels=range(labels), zero_division=0)
    for one, *figures in zip(found.labels, *expected[:3], strict=True):
        for name, value in zip(("precision", "recall", "f1"), figures, strict=True):
            low, high = getattr(one, name)
            assert 0 <= low <= value + 1e-9
            assert value - 1e-9 <= high <= 1
    assert found.accuracy.low <= sklearn.accuracy_score(gold, said) <= found.accuracy.high
    assert found.macro_f1.low <= figure(gold, said, labels, "macro_f1", 0) <= found.macro_f1.high


@pytest.mark.parametrize(("right", "n"), [(8, 10), (30, 40), (0, 25), (200, 400)])
def test_a_share_has_the_beta_distribution_of_its_weights(right, n):
    """The reference is scipy's: examples weigh (n - 2) / n each, pseudo-examples 4/3 on each side."""
    left = (n - 2) / n
    expected = stats.beta(right * left + 4 / 3, (n - right) * left + 4 / 3)
    shift = right / n - expected.mean()
    found = share_interval(right, n)
    assert expected.ppf(0.025) + shift == pytest.approx(found.low, abs=0.02) or found.low == 0
    assert expected.ppf(0.975) + shift == pytest.approx(found.high, abs=0.02)


@pytest.mark.thorough
def test_with_many_examples_the_bounds_are_those_of_scipys_bootstrap():
    cells = {
        (0, 0, 0): 160,
        (0, 0, 1): 36,
        (0, 1, 0): 16,
        (0, 2, 0): 12,
        (1, 1, 1): 120,
        (1, 1, 0): 32,
        (1, 0, 1): 24,
    }
    gold, base, new = map(numpy.array, written_out(cells))
    numbers = [numpy.flatnonzero(gold == label) for label in (0, 1)]

    def statistic(*picked):
        rows = numpy.concatenate(picked).astype(int)
        return numpy.diff([figure(gold[rows], one[rows], 2, "macro_f1", 0) for one in (base, new)])[0]

    reference = stats.bootstrap(
        numbers,
        statistic,
        vectorized=False,
        n_resamples=800,
        confidence_level=0.9,
        method="percentile",
        rng=numpy.random.default_rng(0),
    )
    found = difference(answers(cells))
    expected = reference.confidence_interval
    assert (expected.low, expected.high) == pytest.approx((found.low, found.high), abs=0.006)
    assert reference.standard_error == pytest.approx(found.error, rel=0.08)


@settings(max_examples=25)
@given(tables())
def test_swapping_the_prompts_turns_the_difference_round(table):
    cells, labels, metric, positive = table
    turned = {(gold, new, base): n for (gold, base, new), n in cells.items()}
    one, other = (
        difference(answers(some, labels, metric=metric, positive=positive)) for some in (cells, turned)
    )
    assert one.point == pytest.approx(-other.point)
    assert one.low == pytest.approx(-other.high, abs=0.05)  # other draws


def test_one_more_broken_example_never_softens_the_verdict():
    """No method takes over at some number of flips."""
    for broken_label, right in ((0, 95), (1, 5)):
        verdicts = []
        for broken in range(right + 1):
            cells = Counter({(0, 0, 0): 95, (1, 1, 1): 5})
            cells[broken_label, broken_label, broken_label] -= broken
            cells[broken_label, broken_label, 1 - broken_label] += broken
            verdicts.append(difference(answers(+cells)).verdict)
        assert verdicts == sorted(verdicts)  # "inconclusive" sorts before "worse"
        assert "worse" == verdicts[-1]


def test_answers_about_a_rare_label_that_all_break_are_a_loss():
    """95 + 5 examples, macro F1 .882 -> .496: once called safe, since 5 flips were judged by accuracy."""
    cells = {(0, 0, 0): 94, (0, 1, 1): 1, (1, 1, 0): 5}
    found = difference(answers(cells))
    assert "worse" == found.verdict
    assert found.low < -0.3


def test_few_examples_of_a_label_leave_much_open():
    low, high = intervals(answers({(0, 0): 2, (0, 1): 3, (1, 0): 3, (1, 1): 92})).macro_f1
    assert low < 0.55
    assert high > 0.82


def test_a_perfect_score_is_not_certain():
    found = intervals(answers({(0, 0): 30, (1, 1): 30}))
    assert 1.0 == found.macro_f1.high == found.labels[0].f1.high
    assert 0.9 < found.macro_f1.low < 0.97
    assert 0.0 == found.without_label.low < found.without_label.high < 0.08


def test_answers_that_are_all_alike_are_no_certainty():
    found = intervals(answers({(0, 0): 10, (1, 0): 10}))
    assert found.macro_f1.high - found.macro_f1.low > 0.2
    assert Interval(0.0, 1.0) == found.labels[1].precision  # it was never answered: a share of nothing


# -- groups and repeats -------------------------------------------------------------------------


def together(cells, size, **fields):
    """Put each `size` equal examples in a group."""
    alone = answers(cells, **fields)
    return replace(alone, units=tuple((unit * size, n // size) for unit, n in alone.units))


def test_copies_in_a_group_count_as_one():
    cells = {(0, 0, 0): 160, (0, 0, 1): 24, (0, 1, 1): 16, (1, 1, 1): 160, (1, 0, 1): 40}
    quarter = {cell: n // 4 for cell, n in cells.items()}
    alone, copies, few = (difference(one) for one in (answers(cells), together(cells, 4), answers(quarter)))
    assert alone.point == pytest.approx(copies.point) == pytest.approx(few.point)
    assert few.error == pytest.approx(copies.error, rel=0.12)
    assert copies.error > 1.8 * alone.error
    assert copies.error > 1.02 * few.error  # groups differ more than examples do


def test_a_group_may_hold_several_labels_and_a_label_one_group():
    pair = tuple(sorted([Row(0, (((0, 1.0),), ((0, 1.0),))), Row(1, (((1, 1.0),), ((0, 1.0),)))]))
    found = difference(Answers(((pair, 6),), 3))
    assert numpy.isfinite([found.low, found.high, found.error]).all()
    assert found.low < found.point < 0


def test_several_answers_to_an_example_count_by_their_shares():
    sides = (((0, 2 / 3), (1, 1 / 3)), ((0, 1.0),))
    found = difference(Answers((((Row(0, sides),), 30), ((Row(1, (((1, 1.0),),) * 2),), 30)), 2, "accuracy"))
    assert (1 - 2 / 3) / 2 == pytest.approx(found.point)
    once = difference(answers({(0, 0, 0): 20, (0, 1, 0): 10, (1, 1, 1): 30}, metric="accuracy"))
    assert found.error < once.error  # what was chance in asking has been averaged


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=5, max_size=40))
def test_scores_between_0_and_1_are_judged_by_their_mean(pairs):
    rows = [Row(0, tuple(((0, n / 4), (1, 1 - n / 4)) for n in pair)) for pair in pairs]
    units = Counter((row,) for row in rows)
    found = difference(Answers(tuple(sorted(units.items())), 1, "accuracy"))
    base, new = numpy.mean(pairs, axis=0) / 4
    assert new - base == pytest.approx(found.point)
    assert found.low <= found.point <= found.high


@given(tables())
def test_the_same_answers_give_the_same_bounds(table):
    cells, labels, metric, positive = table
    once = difference(answers(cells, labels, metric=metric, positive=positive))
    weights._difference.cache_clear()
    shuffled = dict(sorted(cells.items(), reverse=True))
    assert once == difference(answers(shuffled, labels, metric=metric, positive=positive))


def test_an_interval_reads_as_a_range():
    assert "0.412 to 0.634" == str(Interval(0.4123, 0.6341))


# -- the simulation -----------------------------------------------------------------------------

TABLE = ROOT / "benchmarks/power/table.csv"

#: How often a loss was found in balanced rows before the present method: (n, flips, loss).
BEFORE = {
    ("100", "0.05", 0.05): 0.880, ("100", "0.15", 0.05): 0.360, ("100", "0.15", 0.1): 0.865,
    ("100", "0.3", 0.1): 0.530, ("100", "0.3", 0.2): 0.985, ("160", "0.05", 0.05): 0.990,
    ("160", "0.15", 0.05): 0.445, ("160", "0.15", 0.1): 0.975, ("160", "0.3", 0.1): 0.785,
    ("400", "0.15", 0.05): 0.825, ("400", "0.3", 0.05): 0.530, ("400", "0.3", 0.1): 0.980,
}  # fmt: skip


def committed():
    with TABLE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_no_verdict_in_the_table_is_wrong_more_often_than_it_says():
    for row in committed():
        loss = float(row["worse by"])
        assert int(row["pull requests"]) >= 2000
        if loss == 0:
            assert float(row["worse"]) <= 0.065, row
            assert float(row["better"]) <= 0.065, row
            assert float(row["covered"]) >= 0.93, row
        elif loss == 0.05:
            assert float(row["no worse shown"]) <= 0.065, row
        elif loss not in (0.1, 0.15, 0.2):  # what `detectable` gave
            assert 0.75 <= float(row["worse"]) <= 0.9, row


def test_a_true_loss_is_found_as_often_as_before():
    found = {
        (row["n"], row["flips"], float(row["worse by"])): float(row["worse"])
        for row in committed()
        if row["data"] == "two labels balanced"
    }
    for case, power in BEFORE.items():
        assert found[case] >= power - 0.03, case


def test_few_runs_of_merges_pass_that_each_lose_a_little():
    """All ten pass the release in one run of ten at most."""
    with TABLE.with_name("merges.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert ["100", "160", "400"] == [row["n"] for row in rows]
    assert max(float(row["all pass against it and a release"]) for row in rows) <= 0.1


def test_after_a_lucky_base_an_equal_prompt_is_seldom_worse_when_both_are_asked_again():
    with TABLE.with_name("lucky.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert ["100", "160", "400"] == [row["n"] for row in rows]
    assert min(float(row["worse than the best of twenty recordings"]) for row in rows) > 0.25
    assert max(float(row["worse than the base asked again"]) for row in rows) <= 0.1


@pytest.mark.thorough
def test_the_table_of_lucky_bases_is_what_its_simulation_prints(capsys, monkeypatch):
    from benchmarks.power import lucky, merges

    monkeypatch.setattr(merges, "SIZES", (100,))
    merges.print_shares("lucky", lucky.COLUMNS, lucky.called_worse)
    assert TABLE.with_name("lucky.csv").read_text().splitlines()[:2] == capsys.readouterr().out.splitlines()


SAMPLE = (
    ("two labels, balanced", 100, 2),
    ("5% and 95%, a strong base", 160, 2),
)


@pytest.mark.thorough
@pytest.mark.parametrize(("name", "n", "many"), SAMPLE)
def test_simulated_pull_requests_are_judged_as_the_table_says(name, n, many):
    from benchmarks.power.simulate import MARGIN, kinds, row

    kind = next(kind for kind in kinds() if (kind.name, kind.n) == (name, n))
    found = [row(kind, loss) for loss in [0.0, MARGIN, *kind.losses][:many]]
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    start = ",".join(found[0].split(",")[:3])
    assert found == [line for line in lines if line.startswith(f"{start},")][: len(found)]
