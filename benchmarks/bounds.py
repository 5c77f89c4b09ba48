"""What a prompt has to reach on test: computed from validation, and written down before test was read."""

import math

import numpy
from scipy.stats import binomtest

from promptlab.scoring.evaluation import Evaluation


def threshold(validation: Evaluation, test: dict[str, int]) -> float:
    """Compute the figure that a prompt as good as it was on validation reaches 19 times in 20.

    That is its macro F1, or of a graded task its mean score, on validation minus 1.645 standard errors of the
    difference between the two splits, rounded down to 0.01. Test is not read: its standard error is that of as
    many examples of each label (`test`), answered as those of validation were.
    """
    if not validation.labels:
        deviation = numpy.std([row.score for row in validation.rows], ddof=1)
        errors = [deviation / math.sqrt(n) for n in (validation.examples, *test.values())]
    else:
        rows = numpy.array(validation.scores.confusion)
        errors = [_error(rows, sizes) for sizes in (rows.sum(axis=1), tuple(test.values()))]
    return math.floor(100 * (validation.primary - 1.645 * math.hypot(*errors))) / 100


def _error(rows: numpy.ndarray, sizes: tuple[int, ...]) -> float:
    """Bootstrap the standard error of the macro F1, drawing as many answers about each label as `sizes` says."""
    random = numpy.random.RandomState(0)
    drawn = [random.multinomial(n, row / row.sum(), 10_000) for row, n in zip(rows, sizes, strict=True)]
    tables = numpy.stack(drawn, axis=1)
    said = tables.sum(axis=2) + tables[:, :, :-1].sum(axis=1)
    f1s = 2 * numpy.diagonal(tables, axis1=1, axis2=2) / numpy.maximum(said, 1)
    return float(f1s.mean(axis=1).std(ddof=1))


def most_without_label(validation: Evaluation) -> float:
    """Compute the upper end of Wilson's 95% interval on validation, rounded up to 0.01."""
    missing = sum(row.missing is not None for row in validation.rows)
    interval = binomtest(missing, validation.scores.n).proportion_ci(method="wilson")
    return math.ceil(100 * interval.high) / 100
