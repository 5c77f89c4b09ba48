"""Confidence intervals of an evaluation's figures, from a table of counts.

The table has a row for each gold label and a column for each answered label, the last one for none.
Figures without a simple distribution are bootstrapped within gold labels: each row is drawn again as
often as it has examples (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13). Shares
get the score interval (Wilson, JASA 22, 1927, 209-212).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy

CONFIDENCE = 0.95
RESAMPLES = 10_000
FEW = 10  # with fewer mistakes than this, most resamples look alike and a bootstrap is too narrow
ALIKE = 1e-9  # a standard deviation below it is rounding

Confusion = tuple[tuple[int, ...], ...]


class Interval(NamedTuple):
    """The two ends of a two-sided 95% confidence interval."""

    low: float
    high: float

    def __str__(self) -> str:
        """Show it as in the tables: "0.412 to 0.634"."""
        return f"{self.low:.3f} to {self.high:.3f}"

    def around(self, figure: float) -> str:
        """Show it behind its figure: "0.523 (0.412 to 0.634)"."""
        return f"{figure:.3f} ({self})"


@dataclass(frozen=True)
class LabelIntervals:
    """The intervals of one label's precision, recall and F1."""

    precision: Interval
    recall: Interval
    f1: Interval


@dataclass(frozen=True)
class Intervals:
    """The intervals of an evaluation's figures; of each label's, in the task's order."""

    macro_f1: Interval
    accuracy: Interval
    without_label: Interval
    labels: tuple[LabelIntervals, ...]


@functools.lru_cache(maxsize=256)
def intervals(table: Confusion) -> Intervals:
    """Compute the intervals of all figures that a table of counts gives.

    With fewer than ten mistakes, or where all resamples agree, the macro F1 has the interval of the
    accuracy, moved to where the macro F1 is; F1 has one by way of TP / (TP + FP + FN), a share of which it is a function.
    """
    import numpy

    draws = resample(table)
    f1s = f1_of(draws)
    macro_f1 = f1s.mean(axis=1)
    point = f1_of(numpy.asarray([table]))[0]
    n, right = sum(map(sum, table)), sum(row[i] for i, row in enumerate(table))
    accuracy = wilson(right, n)
    if n - right < FEW or macro_f1.std() < ALIKE:
        shift = float(point.mean()) - right / n
        whole = Interval(max(0.0, accuracy.low + shift), min(1.0, accuracy.high + shift))
    else:
        whole = percentiles(macro_f1)
    return Intervals(
        macro_f1=whole,
        accuracy=accuracy,
        without_label=wilson(sum(row[-1] for row in table), n),
        labels=tuple(_of_label(table, i, f1s[:, i]) for i in range(len(table))),
    )


def _of_label(table: Confusion, i: int, f1s: numpy.ndarray) -> LabelIntervals:
    hit, support, said = table[i][i], sum(table[i]), sum(row[i] for row in table)
    involved = support + said - hit
    jaccard = wilson(hit, involved)
    few = involved - hit < FEW or f1s.std() < ALIKE
    f1 = Interval(*(2 * end / (1 + end) for end in jaccard)) if few else percentiles(f1s)
    return LabelIntervals(wilson(hit, said), wilson(hit, support), f1)


def resample(
    table: Sequence[Sequence[int]],
    resamples: int = RESAMPLES,
    *,
    sizes: Sequence[int] | None = None,
    seed: int = 0,
) -> numpy.ndarray:
    """Draw each row of counts again, as often as it counts or as `sizes` says.

    Returns:
        Counts of shape (resamples, rows, columns), the same for the same table and seed everywhere:
        numpy promises that the stream of RandomState never changes.
    """
    import numpy

    random = numpy.random.RandomState(seed)
    rows = [(numpy.asarray(row), sum(row)) for row in table]
    drawn = [
        random.multinomial(total if sizes is None else sizes[i], row / max(total, 1), resamples)
        for i, (row, total) in enumerate(rows)
    ]
    return numpy.stack(drawn, axis=1)


def f1_of(tables: numpy.ndarray) -> numpy.ndarray:
    """Compute the F1 of each label from tables of shape (n, labels, labels + 1): shape (n, labels).

    F1 = 2 TP / (2 TP + FP + FN), and 0 where nothing is to be divided by, as in scikit-learn.
    """
    import numpy

    hits = numpy.diagonal(tables, axis1=1, axis2=2)
    involved = tables.sum(axis=2) + tables[:, :, :-1].sum(axis=1)  # support + answered: 2 TP + FP + FN
    return numpy.asarray(2 * hits / numpy.maximum(involved, 1))


def percentiles(values: numpy.ndarray, confidence: float = CONFIDENCE) -> Interval:
    """Return the central interval that holds a share `confidence` of the values."""
    import numpy

    low, high = numpy.percentile(values, [50 * (1 - confidence), 50 * (1 + confidence)])
    return Interval(float(low), float(high))


def wilson(count: int, n: int, confidence: float = CONFIDENCE) -> Interval:
    """Give Wilson's score interval of the share count / n; 0 to 1 where n is 0."""
    if not n:
        return Interval(0.0, 1.0)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, extra = count / n, z * z / n
    middle = (share + extra / 2) / (1 + extra)
    half = z / (1 + extra) * math.sqrt(share * (1 - share) / n + extra / n / 4)
    # At the ends the formula gives exactly 0 or 1 and rounding does not.
    return Interval(0.0 if count == 0 else middle - half, 1.0 if count == n else middle + half)
