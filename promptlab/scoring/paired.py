"""The difference of two prompts on the same examples, from a table of counts.

The difference of a metric is bootstrapped in pairs within gold labels: of each gold label as many pairs
of answers are drawn as it has (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13).
With few flips most resamples look alike, and with flips that fill a label all do; then the difference in
accuracy has a score interval (Tango, Statistics in Medicine 17, 1998, 891-908).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal, NamedTuple

from promptlab.records import Metric
from promptlab.scoring.intervals import ALIKE, FEW, RESAMPLES, Interval

if TYPE_CHECKING:
    import numpy

Verdict = Literal["better", "worse", "inconclusive", "unchanged"]

CONFIDENCE = 0.95
POWER = 0.8


@dataclass(frozen=True)
class PairedCounts:
    """What two prompts, a base and a new one, answered about the same examples.

    Attributes:
        cells: (gold, base's answer, new one's answer, examples), sorted; labels are numbered, and the
            number after the last is no label.
        labels: how many labels there are.
        metric: what is compared; "f1" is that of the label `positive`.
    """

    cells: tuple[tuple[int, int, int, int], ...]
    labels: int
    metric: Metric = "macro_f1"
    positive: int | None = None

    @property
    def n(self) -> int:
        """How many examples there are."""
        return sum(count for *_, count in self.cells)

    @property
    def fixed(self) -> int:
        """How many examples the new prompt alone has right."""
        return sum(count for gold, base, new, count in self.cells if base != gold == new)

    @property
    def broken(self) -> int:
        """How many examples the base alone has right."""
        return sum(count for gold, base, new, count in self.cells if base == gold != new)


class Difference(NamedTuple):
    """How much better the new prompt is, and how far that may be off by chance.

    Attributes:
        metric: what differs; the accuracy where there are few flips, else the table's metric.
        point: the new prompt's figure minus the base's.
        low: the true difference is above it, with `confidence`.
        high: the true difference is below it, with `confidence`.
        error: standard error of `point`.
        p: the chance of a difference as far from zero as `point` if the prompts were equal, one-sided.
        bootstrap: False where the score interval is used.
    """

    metric: Metric
    point: float
    low: float
    high: float
    error: float
    p: float
    bootstrap: bool

    @property
    def verdict(self) -> Verdict:
        """Say "better" or "worse" where zero lies outside the bounds, on that side; else "inconclusive"."""
        if self.low > 0:
            return "better"
        return "worse" if self.high < 0 else "inconclusive"


def difference(table: PairedCounts, confidence: float = CONFIDENCE) -> Difference:
    """Estimate a difference; each end of its interval is a one-sided bound of its own."""
    import numpy

    draws = _draws(table) if table.fixed + table.broken >= FEW else None
    if draws is None or draws.std() < ALIKE:
        point = (table.fixed - table.broken) / table.n
        error = math.sqrt((table.fixed + table.broken) / table.n - point**2) / math.sqrt(table.n)
        low, high = tango(table.fixed, table.broken, table.n, confidence)
        p = 1 - NormalDist().cdf(abs(_score(0.0, table.fixed, table.broken, table.n)))
        return Difference("accuracy", point, low, high, error, p, bootstrap=False)
    error = float(draws.std(ddof=1))
    low, high = numpy.percentile(draws, [100 * (1 - confidence), 100 * confidence])
    ends = ((draws <= 0).sum(), (draws >= 0).sum())
    p = float(min(ends) + 1) / (RESAMPLES + 1)
    return Difference(table.metric, _point(table), float(low), float(high), error, p, bootstrap=True)


def _point(table: PairedCounts) -> float:
    """Compute the difference of the metric itself."""
    import numpy

    once = numpy.asarray([[count] for *_, count in table.cells])
    return float(_differences(table, lambda cells: once[cells].T)[0])


@functools.lru_cache(maxsize=32)
def _draws(table: PairedCounts) -> numpy.ndarray:
    """Compute the difference in each resample; the same for the same table everywhere."""
    import numpy

    random = numpy.random.RandomState(0)  # its stream never changes, numpy promises

    def draw(cells: list[int]) -> numpy.ndarray:
        counts = numpy.asarray([table.cells[cell][3] for cell in cells])
        return random.multinomial(counts.sum(), counts / counts.sum(), RESAMPLES)

    return _differences(table, draw)


def _differences(table: PairedCounts, draw: Callable[[list[int]], numpy.ndarray]) -> numpy.ndarray:
    """Compute the metric's difference from counts of shape (draws, cells), given by `draw` for each label."""
    import numpy

    hits, said = [numpy.zeros(1)] * 2, [numpy.zeros(1)] * 2
    support = numpy.zeros(table.labels)
    columns = numpy.eye(table.labels + 1)[:, :-1]  # one for a label, none for no label
    for gold in sorted({cell[0] for cell in table.cells}):
        numbers = [number for number, cell in enumerate(table.cells) if cell[0] == gold]
        drawn = draw(numbers)
        support[gold] = sum(table.cells[number][3] for number in numbers)
        for prompt in (0, 1):
            answers = columns[[table.cells[number][1 + prompt] for number in numbers]]
            counts = drawn @ answers
            said[prompt] = said[prompt] + counts
            hits[prompt] = hits[prompt] + counts * columns[gold]
    base, new = (_figure(table, *counts, support) for counts in zip(hits, said, strict=True))
    return numpy.asarray(new - base)


def _figure(
    table: PairedCounts, hits: numpy.ndarray, said: numpy.ndarray, support: numpy.ndarray
) -> numpy.ndarray:
    """Compute the metric: F1 = 2 TP / (2 TP + FP + FN), 0 where nothing is to be divided by."""
    import numpy

    f1s = 2 * hits / numpy.maximum(support + said, 1)
    figures: dict[str, numpy.ndarray] = {
        "macro_f1": f1s.mean(axis=1),
        "accuracy": hits.sum(axis=1) / support.sum(),
        "f1": f1s[:, table.positive or 0],
    }
    return figures[table.metric]


def mcnemar(fixed: int, broken: int) -> float:
    """Compute McNemar's exact p, two-sided: twice the smaller tail of Binomial(fixed + broken, 1/2).

    Source: McNemar, Psychometrika 12, 1947, 153-157, in its exact form.
    """
    flips = fixed + broken
    tail = sum(math.comb(flips, k) for k in range(min(fixed, broken) + 1))
    return min(1.0, 2 * tail / (1 << flips))


def tango(fixed: int, broken: int, n: int, confidence: float = CONFIDENCE) -> Interval:
    """Give Tango's score bounds of the difference in accuracy, each one-sided at `confidence`.

    They are the differences d at which (fixed - broken - n d) / sqrt(n (2 q + d (1 - d))) is z and -z,
    q being the most likely share of broken examples if d is true.
    """
    z = NormalDist().inv_cdf(confidence)
    point = (fixed - broken) / n
    low = _root(lambda d: _score(d, fixed, broken, n) - z, -1.0, point)
    high = _root(lambda d: _score(d, fixed, broken, n) + z, point, 1.0)
    return Interval(low, high)


def _score(d: float, fixed: int, broken: int, n: int) -> float:
    a, b = 2 * n, (2 * n - fixed + broken) * d - fixed - broken
    q = (math.sqrt(max(0.0, b * b + 4 * a * broken * d * (1 - d))) - b) / (2 * a)
    apart, variance = fixed - broken - n * d, n * (2 * q + d * (1 - d))
    if variance > 0:
        return apart / math.sqrt(variance)
    return math.copysign(math.inf, apart) if apart else 0.0


def _root(falling: Callable[[float], float], low: float, high: float) -> float:
    """Find the root of a falling function by bisection, to the precision of floats."""
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if falling(middle) > 0 else (low, middle)
    return (low + high) / 2


def needed(table: PairedCounts, found: Difference) -> int | None:
    """Return how many examples would decide, with a power of 0.8, if the difference is what it looks like.

    The standard error falls with the root of n, so n' = n ((z_confidence + z_power) error / point)^2.
    None where there is no difference to be seen.
    """
    if not found.point:
        return None
    apart = (_z(CONFIDENCE) + _z(POWER)) * found.error / abs(found.point)
    return math.ceil(table.n * max(1.0, apart**2))


def detectable(n: int, discordance: float, power: float = POWER) -> float | None:
    """Return the smallest difference in accuracy that n examples show, 95% one-sided, with some power.

    It is the d at which the score test of the flips has that power: with m flips, m being
    Binomial(n, discordance), it shows d if more than (m + z_0.95 sqrt(m)) / 2 of them go one way, which
    Binomial(m, (1 + d / discordance) / 2) of them do. Connor (Biometrics 43, 1987, 207-211) gives the
    normal approximation. None where not even flips that all go one way are enough.
    """
    import numpy
    from scipy.stats import binom

    fewest, most = binom.ppf((1e-12, 1 - 1e-12), n, discordance)  # the others hardly ever occur
    flips = numpy.arange(fewest, most + 1)
    likely = binom.pmf(flips, n, discordance)
    silent = numpy.floor((flips + _z(CONFIDENCE) * numpy.sqrt(flips)) / 2)  # so many do not show it

    def short(d: float) -> float:
        return power - float(likely @ binom.sf(silent, flips, (1 + d / discordance) / 2))

    return None if short(discordance) > 0 else _root(short, 0.0, discordance)


def _z(share: float) -> float:
    return NormalDist().inv_cdf(share)
