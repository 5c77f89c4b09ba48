from __future__ import annotations

import math

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats
from sklearn import metrics as sklearn
from statsmodels.stats import contingency_tables

from promptlab.records import METRICS
from promptlab.scoring import paired
from promptlab.scoring.paired import PairedCounts, detectable, difference, mcnemar, needed, tango

from ..conftest import ROOT

few = st.integers(0, 30)


@st.composite
def tables(draw, most=4):
    """Draw a table in which every gold label is met, of two labels up to `most`."""
    count = draw(st.integers(2, most))
    answer = st.integers(0, count)
    pairs = st.dictionaries(st.tuples(answer, answer), st.integers(1, 30), min_size=1, max_size=6)
    cells = [(gold, *pair, n) for gold in range(count) for pair, n in draw(pairs).items()]
    return PairedCounts(
        tuple(sorted(cells)), count, draw(st.sampled_from(METRICS)), draw(st.integers(0, count - 1))
    )


def written_out(table):
    """Write a table out as rows (gold, base, new)."""
    return [tuple(cell[:3]) for cell in table.cells for _ in range(cell[3])]


def figure(table, rows, prompt):
    """Compute the metric with scikit-learn from rows."""
    gold, said = [row[0] for row in rows], [row[1 + prompt] for row in rows]
    if table.metric == "accuracy":
        return sklearn.accuracy_score(gold, said)
    f1s = sklearn.f1_score(gold, said, labels=range(table.labels), average=None, zero_division=0)
    return f1s.mean() if table.metric == "macro_f1" else f1s[table.positive]


@given(few, few)
def test_mcnemar_is_statsmodels_and_scipys(fixed, broken):
    reference = contingency_tables.mcnemar([[5, broken], [fixed, 5]], exact=True).pvalue
    assert reference == pytest.approx(mcnemar(fixed, broken))
    if fixed + broken:
        assert stats.binomtest(fixed, fixed + broken).pvalue == pytest.approx(mcnemar(fixed, broken))


def likeliest_broken_share(fixed, broken, n, d):
    """Maximize the likelihood of the share of broken examples, given the difference, by brute force."""

    def loss(q):
        parts = ((fixed, q + d), (broken, q), (n - fixed - broken, 1 - 2 * q - d))
        return -sum(count * math.log(max(share, 1e-300)) for count, share in parts if count)

    ends = (max(0.0, -d), (1 - d) / 2)
    return optimize.minimize_scalar(loss, bounds=ends, method="bounded", options={"xatol": 1e-12}).x


@settings(max_examples=40)
@given(st.integers(0, 12), st.integers(0, 12), st.integers(30, 200), st.sampled_from([0.9, 0.95, 0.99]))
def test_at_tangos_bounds_the_score_statistic_is_z(fixed, broken, n, confidence):
    low, high = tango(fixed, broken, n, confidence)
    z = stats.norm.ppf(confidence)
    for d, expected in ((low, z), (high, -z)):
        q = likeliest_broken_share(fixed, broken, n, d)
        score = (fixed - broken - n * d) / math.sqrt(n * (2 * q + d * (1 - d)))
        assert score == pytest.approx(expected, abs=2e-3)


def test_tangos_bounds_without_a_flip_are_those_of_a_share_of_nothing():
    low, high = tango(0, 0, 100)
    z = stats.norm.ppf(0.95)
    assert z**2 / (100 + z**2) == pytest.approx(high) == pytest.approx(-low)


@given(st.integers(0, 20), st.integers(0, 20), st.integers(40, 100))
def test_swapping_the_prompts_turns_tangos_bounds_round(fixed, broken, n):
    low, high = tango(fixed, broken, n)
    assert (-high, -low) == pytest.approx(tango(broken, fixed, n))
    assert low <= (fixed - broken) / n <= high


@given(tables())
def test_the_difference_is_scikit_learns(table):
    rows = written_out(table)
    found = difference(table)
    if found.bootstrap:
        assert figure(table, rows, 1) - figure(table, rows, 0) == pytest.approx(found.point)
        assert table.fixed + table.broken >= 10
    else:
        assert (table.fixed - table.broken) / table.n == found.point
        assert "accuracy" == found.metric
    assert found.low <= found.high


@settings(max_examples=25)
@given(tables(most=2))
def test_swapping_the_prompts_turns_the_difference_round(table):
    turned = PairedCounts(
        tuple(sorted((g, b, a, n) for g, a, b, n in table.cells)), 2, table.metric, table.positive
    )
    one, other = difference(table), difference(turned)
    assert one.point == pytest.approx(-other.point)
    assert one.low == pytest.approx(-other.high, abs=0.02)


def test_the_bootstrap_agrees_with_scipys():
    """The reference draws rows one by one, label by label."""
    cells = (
        (0, 0, 0, 40),
        (0, 0, 1, 9),
        (0, 1, 0, 4),
        (0, 2, 0, 3),
        (1, 1, 1, 30),
        (1, 1, 0, 8),
        (1, 0, 1, 6),
    )
    table = PairedCounts(tuple(sorted(cells)), 2)
    labels = [[row for row in written_out(table) if row[0] == gold] for gold in (0, 1)]

    def statistic(*picked):
        gold, *said = numpy.array(
            [labels[gold][int(n)] for gold, numbers in enumerate(picked) for n in numbers]
        ).T
        base, new = (
            [2 * ((gold == k) & (one == k)).sum() / ((gold == k).sum() + (one == k).sum()) for k in (0, 1)]
            for one in said
        )
        return numpy.mean(new) - numpy.mean(base)

    numbers = [numpy.arange(len(rows)) for rows in labels]
    reference = stats.bootstrap(
        numbers,
        statistic,
        vectorized=False,
        n_resamples=1500,
        confidence_level=0.9,
        method="percentile",
        rng=numpy.random.default_rng(0),
    )
    found = difference(table)
    expected = reference.confidence_interval
    assert (expected.low, expected.high) == pytest.approx((found.low, found.high), abs=0.012)
    assert reference.standard_error == pytest.approx(found.error, rel=0.06)


@given(tables())
def test_the_same_table_gives_the_same_bounds(table):
    once = difference(table)
    paired._draws.cache_clear()
    assert once == difference(table)


@settings(max_examples=30)
@given(st.integers(30, 2000), st.sampled_from([0.05, 0.15, 0.3]))
def test_a_detectable_difference_is_about_connors(n, discordance):
    """The reference is the normal approximation: power from the difference."""
    least = detectable(n, discordance)
    if n * discordance < 20:
        return
    z, spread = stats.norm.ppf(0.95), math.sqrt(discordance - least**2)
    power = stats.norm.cdf((least * math.sqrt(n) - z * math.sqrt(discordance)) / spread)
    assert 0.8 == pytest.approx(power, abs=0.06)


def test_a_detectable_difference_is_detected_as_often_as_it_says():
    """The reference draws pull requests and counts."""
    random = numpy.random.default_rng(0)
    for n, discordance in ((100, 0.05), (160, 0.15)):
        least = detectable(n, discordance)
        flips = random.binomial(n, discordance, 20_000)
        broken = random.binomial(flips, (1 + least / discordance) / 2)
        shown = (2 * broken - flips) / numpy.sqrt(numpy.maximum(flips, 1)) > stats.norm.ppf(0.95)
        assert 0.8 == pytest.approx(shown.mean(), abs=0.01)


def test_flips_of_whole_labels_are_no_certainty():
    found = difference(PairedCounts(((0, 0, 1, 12), (1, 0, 1, 12)), 2))
    assert not found.bootstrap
    assert found.low < 0 < found.high


def test_more_examples_show_smaller_differences():
    assert detectable(100, 0.15) > detectable(400, 0.15) > detectable(400, 0.05) > 0
    assert detectable(10, 0.05) is None
    assert detectable(100, 0.05) <= 0.05
    assert 0.5 < detectable(10, 1.0) < 1.0


def test_what_would_decide_decides():
    cells = ((0, 0, 0, 40), (0, 0, 1, 8), (0, 1, 0, 5), (1, 1, 1, 40), (1, 1, 0, 8), (1, 0, 1, 6))
    table = PairedCounts(cells, 2)
    found = difference(table)
    assert "inconclusive" == found.verdict
    times = math.ceil(needed(table, found) / table.n)
    larger = PairedCounts(tuple((*cell[:3], cell[3] * times) for cell in cells), 2)
    assert "worse" == difference(larger).verdict
    level = PairedCounts(((0, 0, 0, 40), (0, 0, 1, 8), (0, 1, 0, 8), (1, 1, 1, 40)), 2, "accuracy")
    assert needed(level, difference(level)) is None


@pytest.mark.thorough
@pytest.mark.parametrize("n", [100, 160, 400])
def test_simulated_pull_requests_are_judged_as_the_table_says(n):
    from benchmarks.power.simulate import rows

    committed = (ROOT / "benchmarks/power/table.csv").read_text(encoding="utf-8").splitlines()
    found = rows(n)
    assert [line for line in committed if line.startswith(f"{n},")] == found
    for cells in (line.split(",") for line in found):
        if float(cells[2]) == 0:
            assert int(cells[3]) == 2000
            assert float(cells[4]) <= 0.065
