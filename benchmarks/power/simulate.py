"""How often a verdict is wrong, and how often a true difference is found: simulated pull requests.

Each has n examples, about which a base and a new prompt answer. Where nothing else is said, the base is right
about 80% of each label, 15% of the answers flip, and 5% of the wrong answers have no label. "worse by" is the true
loss of macro F1 (of the mean, for scores from 0 to 1): none, the margin of 0.05, or the smallest that `detectable`
promises to show with 80% power. An interval is that of the base's own figure, at 95%.

    python -m benchmarks.power.simulate > benchmarks/power/table.csv     # half an hour on two cores
"""

from __future__ import annotations

import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace

import numpy

from promptlab.scoring.evaluation import MARGIN
from promptlab.scoring.power import RIGHT, WITHIN, WITHOUT_LABEL, Truth, detectable, pull_request
from promptlab.scoring.weights import Answers, Row, difference, intervals

TIMES = 2_000  # pull requests in each row, twice as many with scores, which are judged faster
SIZES = (100, 160, 400)
GROUP = 4
GAIN = 0.12  # recall that the last label gains in another trade-off, at the expense of the first
COLUMNS = "data,n,flips,worse by,pull requests,worse,better,inconclusive,no worse shown,width,covered"
SCORES = numpy.array([0, 0.25, 0.5, 0.75, 1])
SHARES = numpy.array([0.1, 0.1, 0.2, 0.2, 0.4])  # of the scores that the base gets
WORSE = "another trade-off"


@dataclass(frozen=True)
class Data:
    """A kind of data: examples of each label, and of each label the shares that are right and that flip."""

    name: str
    support: tuple[int, ...]
    right: tuple[float, ...] = ()
    flips: tuple[float, ...] = ()
    without_label: tuple[float, ...] = ()
    grouped: bool = False
    losses: tuple[float, ...] = ()  # beside none and the margin
    promised: bool = False  # whether they are as `detectable` assumes

    @property
    def n(self) -> int:
        """How many examples there are."""
        return sum(self.support)

    def groups(self, random: numpy.random.RandomState) -> list[tuple[int, ...]]:
        """Put the examples in groups, each of them in one of its own unless they are grouped."""
        gold = numpy.repeat(numpy.arange(len(self.support)), self.support)
        if not self.grouped:
            return [(int(one),) for one in gold]
        return [tuple(map(int, some)) for some in random.permutation(gold).reshape(-1, GROUP)]


def data(name: str, support: tuple[int, ...], right: float = RIGHT, flips: float = 0.15) -> Data:
    """Return data whose labels are all answered equally well."""
    labels = len(support)
    each = ((share,) * labels for share in (right, flips, WITHOUT_LABEL))
    return Data(name, support, *each, promised=flips == 0.15)


def kinds() -> Iterator[Data]:
    """Yield every kind of data in every size, most in four variants."""
    for n in SIZES:
        half, rare = (n // 2, n // 2), (n * 19 // 20, n // 20)
        yield from variants(data("two labels, balanced", half), losses=(0.1, 0.15))
        yield data("two labels, balanced", half, flips=0.05)
        yield replace(data("two labels, balanced", half, flips=0.3), losses=(0.1, 0.2))
        yield from variants(data("two labels, 5% and 95%", rare))
        strong = replace(data("5% and 95%, a strong base", rare), right=(0.98, 0.85), flips=(0.02, 0.08))
        yield from variants(replace(strong, promised=False))
        yield from variants(data("five labels", (n // 5,) * 5))
        yield from variants(Data("scores", (n,), flips=(0.3,)))
    for n in (200, 400):
        yield from variants(data("twenty labels, a long tail", tail(n, 20)))


def tail(n: int, labels: int) -> tuple[int, ...]:
    """Share n examples among labels: five each, and of the rest half as many for the second as for the first, ..."""
    rest, parts = n - 5 * labels, sum(1 / k for k in range(1, labels + 1))
    support = [5 + int(rest / parts / k) for k in range(1, labels + 1)]
    return (support[0] + n - sum(support), *support[1:])


def variants(kind: Data, losses: tuple[float, ...] = ()) -> Iterator[Data]:
    """Yield data as they are, with 20% of the replies without a label, for another trade-off, and in groups."""
    yield replace(kind, losses=losses)
    right = tuple(min(one, 0.75) for one in kind.right)
    missing = tuple(0.2 / (1 - one) for one in right)
    name, rest = kind.name, {"right": right, "without_label": missing, "promised": False}
    yield replace(kind, name=f"{name}; 20% without a label", **rest)
    yield replace(kind, name=f"{name}; {WORSE}", promised=False)
    yield replace(kind, name=f"{name}; in groups of four", grouped=True)


def truth(kind: Data, loss: numpy.ndarray | float) -> Truth:
    """Return the truth in which each label loses some of its recall."""
    right, flips = numpy.array(kind.right), numpy.maximum(kind.flips, numpy.abs(loss))
    broken, fixed = (flips + loss) / 2, (flips - loss) / 2
    chances = numpy.stack([right - broken, broken, fixed, 1 - right - fixed], axis=1)
    return Truth(chances, numpy.array(kind.without_label))


def bisected(worse: Callable[[float], float], wanted: float) -> float:
    """Return where a rising function is what is wanted."""
    low, high = 0.0, 0.5
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if worse(middle) < wanted else (low, middle)
    return low


def losing(kind: Data, wanted: float) -> Truth:
    """Return the truth in which macro F1 is `wanted` lower, or the same at another trade-off."""
    labels = len(kind.support)
    first, last = numpy.eye(labels)[0], numpy.eye(labels)[-1]
    towards = first if WORSE in kind.name else numpy.ones(labels)
    gained = GAIN * last if WORSE in kind.name else 0 * last

    def lost(size: float) -> float:
        base, new = truth(kind, size * towards - gained).figures(kind.support, "macro_f1")
        return base - new

    return truth(kind, bisected(lost, wanted) * towards - gained)


def labelled(kind: Data, wanted: float) -> tuple[Callable[[numpy.random.RandomState], Answers], float]:
    """Return what draws a pull request with labels, and the base's true macro F1."""
    changed = losing(kind, wanted)

    def draw(random: numpy.random.RandomState) -> Answers:
        return pull_request(kind.groups(random), changed, random)

    return draw, changed.figures(kind.support, "macro_f1")[0]


def scored(kind: Data, wanted: float) -> tuple[Callable[[numpy.random.RandomState], Answers], float]:
    """Return what draws a pull request with scores, and the base's true mean.

    30% of the answers are given anew: as before, or a zero often enough to lose what is wanted, or,
    in another trade-off, either everything or nothing.
    """
    shares = 0.8 * SHARES + numpy.array([0.2, 0, 0, 0, 0]) if "without" in kind.name else SHARES
    mean, again = float(SCORES @ shares), kind.flips[0]
    zero = wanted / again / mean
    anew = (1 - zero) * shares + numpy.array([zero, 0, 0, 0, 0])
    if WORSE in kind.name:
        anew = numpy.array([1 - mean, 0, 0, 0, mean])

    def draw(random: numpy.random.RandomState) -> Answers:
        sizes = [len(group) for group in kind.groups(random)]
        luck = random.random_sample((3, kind.n))
        if kind.grouped:
            shared = numpy.repeat(random.random_sample((3, len(sizes))), sizes, axis=1)
            luck = numpy.where(random.random_sample(kind.n) < WITHIN, shared, luck)
        base = SCORES[numpy.searchsorted(shares.cumsum()[:-1], luck[0])]
        new = SCORES[numpy.searchsorted(anew.cumsum()[:-1], luck[1])]
        new = numpy.where(luck[2] < again, new, base)
        rows = [
            Row(0, tuple(((0, one), (1, 1 - one)) for one in pair))
            for pair in zip(base.tolist(), new.tolist(), strict=True)
        ]
        ends = numpy.cumsum(sizes)
        units = Counter(tuple(sorted(rows[end - size : end])) for size, end in zip(sizes, ends, strict=True))
        return Answers(tuple(sorted(units.items())), 1, "accuracy")

    return draw, mean


def of_base(answers: Answers) -> Answers:
    """Return the base's answers alone."""
    units: Counter[tuple[Row, ...]] = Counter()
    for unit, times in answers.units:
        units[tuple(sorted(Row(row.gold, row.answers[:1]) for row in unit))] += times
    return replace(answers, units=tuple(sorted(units.items())))


def row(kind: Data, wanted: float) -> str:
    """Judge simulated pull requests, and say in a line of the table what came of it."""
    seed = f"{kind.name} {kind.n} {kind.flips[0]} {wanted:.6f}"
    random = numpy.random.RandomState(zlib.crc32(seed.encode()))
    draw, figure = (scored if len(kind.support) == 1 else labelled)(kind, wanted)
    times = TIMES * (2 if len(kind.support) == 1 else 1)
    verdicts: Counter[str] = Counter()
    shown = covered = 0
    width = 0.0
    for _ in range(times):
        answers = draw(random)
        found = difference(answers)
        verdicts[found.verdict] += 1
        shown += found.low > -MARGIN
        width += found.high - found.low
        if not wanted:
            low, high = getattr(intervals(of_base(answers)), answers.metric)
            covered += low <= figure <= high
    shares = [verdicts[name] / times for name in ("worse", "better", "inconclusive")]
    shares += [shown / times, width / times, *([] if wanted else [covered / times])]
    line = f"{kind.name.replace(',', '')},{kind.n},{max(kind.flips):.3g},{wanted:.3f},{times}"
    return ",".join([line, *(f"{share:.3f}" for share in shares)]) + ("," if wanted else "")


def rows(kind: Data) -> list[str]:
    """Return the rows of the table on some data."""
    losses = [0.0] if WORSE in kind.name else [0.0, MARGIN, *kind.losses]
    if kind.promised:
        groups = kind.groups(numpy.random.RandomState(0))
        losses.append(detectable(groups, len(kind.support), discordance=kind.flips[0]) or 0.0)
    return [row(kind, loss) for loss in losses]


def main() -> None:
    """Print the table."""
    print(COLUMNS)
    with ProcessPoolExecutor(2) as pool:
        for lines in pool.map(rows, kinds()):
            print("\n".join(lines), flush=True)


if __name__ == "__main__":
    sys.exit(main())
