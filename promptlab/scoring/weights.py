"""How far a figure may be off by chance: it is computed again from examples with random weights.

Each example, or each group of examples, gets a random weight, together with all answers to it. A figure of
the weighted examples is drawn 2,000 times, and what the draws span is its interval: Rubin's Bayesian
bootstrap (Annals of Statistics 9, 1981, 130-134) within each label. Few examples need three things more:

- Pseudo-examples, which say that what has not been seen may occur: both prompts right, one right, the other
  right, none right (Agresti and Min, Statistics in Medicine 24, 2005, 729-740, add half a pair of each). They
  weigh 2/3 each, shared equally by the labels, and a wrong answer is shared by the other labels.
- A weight has the shape (m - 2) / m, with m units of a label, not 1: it makes the variance of a mean s^2 / m.
  Where units are groups, which differ more, it is smaller still, by (M - 8) / M with M groups in all.
- The draws are moved to where their mean is the figure itself, since pseudo-examples pull it to the middle.

benchmarks/power measures how often the intervals and the verdicts are right.
"""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from promptlab.records import Metric

if TYPE_CHECKING:
    import numpy

Verdict = Literal["better", "worse", "broken", "inconclusive", "unchanged"]

CONFIDENCE = 0.95
DRAWS = 2_000  # and of a single prompt up to 10,000, where that costs no more: its ends lie further out
AT_ONCE = 250  # draws; more would need much memory with thousands of groups
PSEUDO = 2 / 3  # weight of each kind of pseudo-example; the largest with which 3 flips of 100 can be "worse"
LOST = 2  # units of a label that the shape of the weights is short of
LOST_IN_GROUPS = 8  # groups, of all, that it is short of too


class Row(NamedTuple):
    """An example: its label, and for each prompt the answers with their shares, which add up to 1."""

    gold: int
    answers: tuple[tuple[tuple[int, float], ...], ...]


Unit = tuple[Row, ...]  # examples that are weighted together


@dataclass(frozen=True)
class Answers:
    """What one prompt, or a base and a new one, answered.

    Attributes:
        units: each distinct unit and how often it occurs, sorted. Labels are numbered, and the number after
            the last is no label.
        labels: how many labels there are.
        metric: what is estimated; "f1" is that of the label `positive`.
    """

    units: tuple[tuple[Unit, int], ...]
    labels: int
    metric: Metric = "macro_f1"
    positive: int | None = None

    @property
    def n(self) -> int:
        """How many examples there are."""
        return sum(len(unit) * times for unit, times in self.units)


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
    """The intervals of an evaluation's figures; of each label's, in the task's order.

    Of a graded task, `macro_f1` repeats `score`.
    """

    macro_f1: Interval
    accuracy: Interval
    score: Interval
    without_label: Interval
    labels: tuple[LabelIntervals, ...]


class Difference(NamedTuple):
    """How much better the new prompt is, and how far that may be off by chance.

    Attributes:
        point: the new prompt's figure minus the base's.
        low: the true difference is above it, with `confidence`.
        high: the true difference is below it, with `confidence`.
        error: standard error of `point`.
        p: the chance that the new prompt is not better, one-sided.
    """

    point: float
    low: float
    high: float
    error: float
    p: float

    @property
    def verdict(self) -> Verdict:
        """Say "better" or "worse" where zero lies outside the bounds, on that side; else "inconclusive"."""
        if self.low > 0:
            return "better"
        return "worse" if self.high < 0 else "inconclusive"


class Counts(NamedTuple):
    """Weighted counts of one prompt's answers, each draw in a row, each label in a column."""

    hits: numpy.ndarray  # right answers about examples of the label
    said: numpy.ndarray  # answers with the label; the last column counts those without one
    support: numpy.ndarray  # examples of the label, the same in every draw: shape (labels,)

    def figure(self, name: str, label: int | None = None) -> numpy.ndarray:
        """Compute a figure as scikit-learn does: 0 where nothing is to be divided by. Shape (draws,).

        `name` is "accuracy", or "precision", "recall" or "f1" of a label, or "macro_f1", that of all labels.
        """
        import numpy

        if name == "accuracy":
            return numpy.asarray(self.hits.sum(axis=1) / self.support.sum())
        said, support = self.said[:, :-1], numpy.broadcast_to(self.support, self.hits.shape)
        below = {"precision": said, "recall": support}.get(name, (support + said) / 2)  # TP + (FP + FN) / 2
        shares = self.hits / numpy.where(below > 0, below, 1)
        return numpy.asarray(shares.mean(axis=1) if label is None else shares[:, label])


def difference(answers: Answers, confidence: float = CONFIDENCE, draws: int = DRAWS) -> Difference:
    """Estimate the difference of two prompts; each end of its interval is a one-sided bound of its own."""
    import numpy

    point, drawn = _difference(answers, draws)
    low, high = numpy.quantile(drawn, [1 - confidence, confidence])
    p = float((drawn <= 0).sum() + 1) / (draws + 1)
    return Difference(point, float(low), float(high), float(drawn.std(ddof=1)), p)


@functools.lru_cache(maxsize=32)
def _difference(answers: Answers, draws: int) -> tuple[float, numpy.ndarray]:
    """Return the difference of the metric, and its draws."""
    label = answers.positive if answers.metric == "f1" else None
    figures = ([one.figure(answers.metric, label) for one in counts(answers, some)] for some in (0, draws))
    (point,), drawn = (new - base for base, new in figures)
    return float(point), drawn - drawn.mean() + point


@functools.lru_cache(maxsize=256)
def intervals(answers: Answers) -> Intervals:
    """Compute the 95% intervals of all figures of one prompt."""
    draws = min(5 * DRAWS, max(DRAWS, 100 * DRAWS // len(answers.units) // AT_ONCE * AT_ONCE))
    (once,), (drawn,) = counts(answers, 0), counts(answers, draws)
    labels = range(answers.labels)

    def of(name: str, label: int | None = None) -> Interval:
        if name == "precision" and not once.said[0, label]:
            return Interval(0.0, 1.0)  # a share of nothing
        return _interval(float(once.figure(name, label)[0]), drawn.figure(name, label))

    each = (LabelIntervals(of("precision", one), of("recall", one), of("f1", one)) for one in labels)
    return Intervals(of("macro_f1"), of("accuracy"), of("accuracy"), _without_label(answers), tuple(each))


def _without_label(answers: Answers) -> Interval:
    """Compute the interval of the share of answers that have no label, whatever the examples' labels are."""

    def row(row: Row) -> Row:
        (answered,) = row.answers
        none = sum(share for answer, share in answered if answer == answers.labels)
        return Row(0, (((0, none), (1, 1 - none)),))

    units: Counter[Unit] = Counter()
    for unit, times in answers.units:
        units[tuple(sorted(map(row, unit)))] += times
    (once,), (drawn,) = (counts(Answers(tuple(sorted(units.items())), 1), some) for some in (0, DRAWS))
    return _interval(float(once.figure("accuracy")[0]), drawn.figure("accuracy"))


def share_interval(count: int, n: int) -> Interval:
    """Compute the 95% interval of the share count / n, n being 1 or more."""
    units = tuple(((Row(0, (((answer, 1.0),),)),), times) for answer, times in enumerate((count, n - count)))
    return intervals(Answers(tuple(one for one in units if one[1]), 1)).accuracy


def _interval(point: float, draws: numpy.ndarray) -> Interval:
    import numpy

    ends = numpy.quantile(draws, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    low, high = numpy.clip(ends - draws.mean() + point, 0, 1)
    return Interval(float(low), float(high))


def counts(answers: Answers, draws: int) -> tuple[Counts, ...]:
    """Count each prompt's answers with random weights, in a row each draw; 0 draws: as they are, in one row.

    The draws are the same for the same answers everywhere: numpy promises that the stream of RandomState
    never changes.
    """
    import numpy

    rows, times = _rows(answers), numpy.array([times for _, times in answers.units])
    if not draws:
        return _count(answers, rows, times[None, :])
    units = numpy.bincount(rows.gold, times[rows.unit], answers.labels)  # of each label
    left = _left(units, LOST)
    shapes = numpy.ones(len(times))
    numpy.minimum.at(shapes, rows.unit, left[rows.gold])  # of a group with several labels the smallest
    if answers.n > times.sum():
        shapes = shapes * _left(times.sum(), LOST_IN_GROUPS)
    sizes = rows.support / numpy.maximum(units, 1)
    rows, weights = _with_pseudo(rows, sizes, prompts=len(rows.said))
    shapes = numpy.concatenate([times * shapes, weights])
    random = numpy.random.RandomState(0)
    some = [
        _count(answers, rows, random.standard_gamma(shapes, (AT_ONCE, len(shapes))))
        for _ in range(draws // AT_ONCE)
    ]
    found = []
    for each in zip(*some, strict=True):
        hits, said = (numpy.concatenate([getattr(one, name) for one in each]) for name in ("hits", "said"))
        found.append(Counts(hits, said, rows.support))
    return tuple(found)


def _left(units: numpy.ndarray, lost: int) -> numpy.ndarray:
    """Return the share of the units that is left without the lost ones, of which half a unit is the least."""
    import numpy

    return numpy.asarray(numpy.maximum(units - lost, 0.5) / numpy.maximum(units, 1))


class _Rows(NamedTuple):
    """The examples of one label in one unit, in arrays; a row is weighted as its unit is."""

    unit: numpy.ndarray  # numbers
    gold: numpy.ndarray  # numbers
    said: tuple[numpy.ndarray, ...]  # how often each answer was given, of each prompt: (rows, labels + 1)
    support: numpy.ndarray  # examples of each label


def _rows(answers: Answers) -> _Rows:
    import numpy

    found: dict[tuple[int, int], list[Row]] = {}
    for number, (unit, _) in enumerate(answers.units):
        for row in unit:
            found.setdefault((number, row.gold), []).append(row)
    said = numpy.zeros((len(answers.units[0][0][0].answers), len(found), answers.labels + 1))
    for number, rows in enumerate(found.values()):
        for row in rows:
            for prompt, shares in enumerate(row.answers):
                for answer, share in shares:
                    said[prompt, number, answer] += share
    unit, gold = numpy.array(list(found)).T
    times = numpy.array([times for _, times in answers.units])
    support = numpy.bincount(gold, said[0].sum(axis=1) * times[unit], answers.labels)
    return _Rows(unit, gold, tuple(said), support)


def _with_pseudo(rows: _Rows, sizes: numpy.ndarray, prompts: int) -> tuple[_Rows, numpy.ndarray]:
    """Add the pseudo-examples, as large as a unit of their label is; return them and their weights."""
    import numpy

    labels = len(sizes)
    right = numpy.eye(labels, labels + 1)
    wrong = 1 - right
    wrong[:, -1] = labels == 1  # where there is one label alone, what is not right has none
    wrong /= wrong.sum(axis=1, keepdims=True)
    kinds = list(itertools.product((right, wrong), repeat=prompts))
    extra = numpy.arange(labels * len(kinds))
    said = (sizes[:, None] * numpy.stack(each) for each in zip(*kinds, strict=True))
    return _Rows(
        numpy.concatenate([rows.unit, rows.unit.max() + 1 + extra]),
        numpy.concatenate([rows.gold, extra % labels]),
        tuple(
            numpy.concatenate([a, b.reshape(-1, labels + 1)]) for a, b in zip(rows.said, said, strict=True)
        ),
        rows.support,
    ), numpy.full(len(extra), PSEUDO * 4 / len(kinds) / labels)


def _count(answers: Answers, rows: _Rows, weights: numpy.ndarray) -> tuple[Counts, ...]:
    """Count with some weights of the units, (draws, units); each label keeps its number of examples."""
    import numpy

    is_of = numpy.eye(answers.labels)[rows.gold]
    each = weights[:, rows.unit]
    total = (each * rows.said[0].sum(axis=1)) @ is_of
    each = each * (rows.support / numpy.where(total > 0, total, 1))[:, rows.gold]
    return tuple(Counts(each @ (said[:, :-1] * is_of), each @ said, rows.support) for said in rows.said)
