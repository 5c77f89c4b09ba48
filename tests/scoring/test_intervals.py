from __future__ import annotations

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sklearn

from promptlab.scoring.intervals import Interval, f1_of, intervals, resample, wilson

counts = st.integers(0, 60)
tables = st.tuples(st.tuples(counts, counts, counts), st.tuples(counts, counts, counts)).filter(
    lambda table: sum(map(sum, table)) > 0
)


def rows(table) -> tuple[list[int], list[int]]:
    """Write a table of counts out as gold and answered labels; 2 stands for none."""
    cells = [(gold, said, n) for gold, row in enumerate(table) for said, n in enumerate(row)]
    pairs = [(gold, said) for gold, said, n in cells for _ in range(n)]
    return [gold for gold, _ in pairs], [said for _, said in pairs]


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_scipys(pair):
    count, n = pair
    expected = stats.binomtest(count, n).proportion_ci(0.95, method="wilson")
    assert (expected.low, expected.high) == pytest.approx(wilson(count, n), abs=1e-12)


def test_a_share_of_nothing_can_be_anything():
    assert Interval(0.0, 1.0) == wilson(0, 0)


@given(tables)
def test_f1_is_scikit_learns(table):
    gold, said = rows(table)
    expected = sklearn.f1_score(gold, said, labels=[0, 1], average=None, zero_division=0)
    assert list(expected) == pytest.approx(list(f1_of(numpy.array([table]))[0]))


@given(tables, st.integers(0, 3))
def test_every_resample_has_as_many_examples_of_each_label(table, seed):
    drawn = resample(table, 20, seed=seed)
    assert (20, 2, 3) == drawn.shape
    assert (drawn.sum(axis=2) == numpy.sum(table, axis=1)).all()
    assert (resample(table, 20, seed=seed) == drawn).all()


def test_answers_that_are_all_alike_are_no_certainty():
    low, high = intervals(((10, 0, 0), (10, 0, 0))).macro_f1
    assert low <= 1 / 3 <= high
    assert high - low > 0.3


def test_rows_can_be_drawn_in_other_numbers():
    drawn = resample(((5, 5, 0), (0, 9, 1)), 10, sizes=(7, 30))
    assert (drawn.sum(axis=2) == (7, 30)).all()
    assert (drawn[:, 0, 2] == 0).all()


@given(tables)
def test_every_figure_lies_in_its_interval(table):
    gold, said = rows(table)
    found = intervals(table)
    precision, recall, f1, _ = sklearn.precision_recall_fscore_support(
        gold, said, labels=[0, 1], zero_division=0
    )
    for i, one in enumerate(found.labels):
        assert one.precision.low - 1e-9 <= precision[i] <= one.precision.high + 1e-9
        assert one.recall.low - 1e-9 <= recall[i] <= one.recall.high + 1e-9
        assert 0 <= one.f1.low <= f1[i] + 0.02  # a bootstrap is not centred on the figure
        assert f1[i] - 0.02 <= one.f1.high <= 1
    assert found.accuracy.low <= sklearn.accuracy_score(gold, said) + 1e-9
    assert 0 <= found.macro_f1.low <= found.macro_f1.high <= 1


def test_the_bootstrap_agrees_with_drawing_rows():
    table = ((40, 18, 2), (11, 49, 0))
    gold, said = map(numpy.array, rows(table))
    random = numpy.random.default_rng(1)
    drawn = []
    for _ in range(1000):
        picks = numpy.concatenate([random.choice(numpy.flatnonzero(gold == label), 60) for label in (0, 1)])
        drawn.append(sklearn.f1_score(gold[picks], said[picks], labels=[0, 1], average="macro"))
    found = intervals(table)
    error = numpy.std(f1_of(resample(table)).mean(axis=1))
    assert numpy.std(drawn) == pytest.approx(error, rel=0.08)
    assert list(numpy.percentile(drawn, [2.5, 97.5])) == pytest.approx(list(found.macro_f1), abs=0.015)


def test_a_perfect_score_is_not_certain():
    found = intervals(((30, 0, 0), (0, 30, 0)))
    assert 1.0 == found.macro_f1.high == found.labels[0].f1.high
    assert wilson(60, 60).low == pytest.approx(found.macro_f1.low)
    assert found.labels[0].f1.low < 0.95


def test_an_interval_reads_as_a_range():
    assert "0.412 to 0.634" == str(Interval(0.4123, 0.6341))
