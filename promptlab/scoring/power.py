"""What a set of examples can show: pull requests are simulated and judged."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

from promptlab.records import Metric
from promptlab.scoring.weights import CONFIDENCE, Answers, Counts, Row, Unit, difference

if TYPE_CHECKING:
    import numpy

POWER = 0.8
RIGHT = 0.8  # share of the base's answers that are right
WITHOUT_LABEL = 0.05  # share of the wrong answers that have no label
WITHIN = math.sqrt(
    0.5
)  # the chance of an example to be answered as its group is; correlates two of them by 0.5
FEWER = 500  # draws of weights: a power needs no more
ROUNDS = (60, 60, 120, 240, 480)  # pull requests that are simulated for each better guess


class Truth(NamedTuple):
    """How often a base and a new prompt answer right and wrong.

    Attributes:
        chances: of each label: both right, only the base, only the new prompt, none; shape (labels, 4).
        without_label: of each label, the share of wrong answers that have no label; the others name
            every other label equally often, and where both are wrong, the same one.
    """

    chances: numpy.ndarray
    without_label: numpy.ndarray

    def figures(
        self, support: Sequence[int], metric: Metric, positive: int | None = None
    ) -> tuple[float, float]:
        """Compute the true figure of each prompt, where the labels have the shares of `support`."""
        import numpy

        labels, examples = len(support), numpy.asarray(support, float)
        label = positive if metric == "f1" else None
        found = []
        for columns in ([0, 1], [0, 2]):
            hits = examples * self.chances[:, columns].sum(axis=1)
            wrong = (examples - hits) * (1 - self.without_label) / max(1, labels - 1)
            said = numpy.append(hits + wrong.sum() - wrong, 0)
            found.append(float(Counts(hits[None], said[None], examples).figure(metric, label)[0]))
        return found[0], found[1]


def truth(labels: int, discordance: float, loss: float) -> Truth:
    """Return a truth in which `discordance` of the answers flip and `loss` more break than are fixed.

    Where the loss is larger, no answer is fixed and as many flip as break.
    """
    import numpy

    flips = max(discordance, loss)
    broken, fixed = min(RIGHT, (flips + loss) / 2), min(1 - RIGHT, (flips - loss) / 2)
    chances = numpy.tile([RIGHT - broken, broken, fixed, 1 - RIGHT - fixed], (labels, 1))
    return Truth(chances, numpy.full(labels, WITHOUT_LABEL if labels > 1 else 1.0))


def pull_request(
    groups: Sequence[Sequence[int]],
    truth: Truth,
    random: numpy.random.RandomState,
    metric: Metric = "macro_f1",
    positive: int | None = None,
) -> Answers:
    """Draw both prompts' answers about groups of examples, which are given by the numbers of their labels."""
    import numpy

    sizes, gold = [len(group) for group in groups], numpy.concatenate(groups)
    labels, n = len(truth.chances), len(gold)
    shared, own, chosen, missing = (random.random_sample(k) for k in (len(groups), n, n, n))
    alike = (chosen < WITHIN) & (numpy.repeat(sizes, sizes) > 1)
    luck = numpy.where(alike, numpy.repeat(shared, sizes), own)
    kind = (luck[:, None] >= truth.chances.cumsum(axis=1)[gold, :-1]).sum(axis=1)
    wrong = (gold + random.randint(1, max(2, labels), n)) % labels
    wrong = numpy.where(missing < truth.without_label[gold], labels, wrong)
    base, new = numpy.where(kind < 2, gold, wrong), numpy.where(kind % 2 == 0, gold, wrong)
    rows = [
        Row(g, (((a, 1.0),), ((b, 1.0),)))
        for g, a, b in zip(gold.tolist(), base.tolist(), new.tolist(), strict=True)
    ]
    ends = numpy.cumsum(sizes)
    units: Counter[Unit] = Counter(
        tuple(sorted(rows[end - size : end])) for size, end in zip(sizes, ends, strict=True)
    )
    return Answers(tuple(sorted(units.items())), labels, metric, positive)


def detectable(
    groups: Sequence[Sequence[int]],
    labels: int,
    metric: Metric = "macro_f1",
    positive: int | None = None,
    *,
    discordance: float,
    power: float = POWER,
) -> float | None:
    """Return the smallest loss of a metric that is called "worse" with some power; None where none is.

    As many answers flip as `discordance` says, or more where that is not enough. Pull requests are simulated
    and judged; the next guess is where a line through all results so far (a probit regression) has the power.
    """
    import numpy

    support = numpy.bincount(numpy.concatenate(groups), minlength=labels).tolist()
    random, normal = numpy.random.RandomState(0), NormalDist()
    start = (normal.inv_cdf(CONFIDENCE) + normal.inv_cdf(power)) * math.sqrt(discordance / sum(support))
    loss, tried = min(RIGHT, start), [(0.0, normal.inv_cdf(1 - CONFIDENCE), 1)]
    for times in ROUNDS:
        changed = truth(labels, discordance, loss)
        pairs = (pull_request(groups, changed, random, metric, positive) for _ in range(times))
        shown = sum(difference(pair, draws=FEWER).verdict == "worse" for pair in pairs) / times
        if loss == RIGHT and shown < power:
            return None
        tried.append((loss, normal.inv_cdf(min(max(shown, 0.02), 0.98)), times))
        losses, scores, weights = zip(*tried, strict=True)
        slope, level = numpy.polyfit(losses, scores, 1, w=numpy.sqrt(weights))
        guess = (normal.inv_cdf(power) - level) / slope if slope > 0 else RIGHT
        loss = float(min(max(guess, loss / 2), 2 * loss, RIGHT))
    base, new = truth(labels, discordance, loss).figures(support, metric, positive)
    return base - new
