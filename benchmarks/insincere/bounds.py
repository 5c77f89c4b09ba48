"""What the chosen prompt has to reach on test: fixed from validation, before test was read."""

import math

from promptlab.scoring.evaluation import Evaluation
from promptlab.scoring.intervals import f1_of, resample

#: Set before any call about the test split was made.
THRESHOLD = 0.44
MOST_WITHOUT_LABEL = 0.08


def threshold(validation: Evaluation, test: dict[str, int]) -> float:
    """Compute the macro F1 that a prompt as good as it was on validation reaches 19 times in 20.

    That is its macro F1 on validation minus 1.645 standard errors of the difference between the two
    splits, rounded down to 0.01. Test is not read: its standard error is that of as many examples of
    each label (`test`), answered as those of validation were.
    """
    table = validation.scores.confusion
    draws = (resample(table), resample(table, sizes=tuple(test.values())))
    errors = [float(f1_of(drawn).mean(axis=1).std(ddof=1)) for drawn in draws]
    return math.floor(100 * (validation.macro_f1 - 1.645 * math.hypot(*errors))) / 100


def most_without_label(validation: Evaluation) -> float:
    """Compute the upper end of the interval that validation gives, rounded up to 0.01."""
    return math.ceil(100 * validation.intervals.without_label.high) / 100
