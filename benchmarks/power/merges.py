"""How often ten merges pass that each lose two points, judged against the one before and against a release.

Two balanced labels; the first prompt is right about 80% of them, and with each merge 15% of the answers flip.
A run ends with the first merge that is called worse.

    python -m benchmarks.power.merges > benchmarks/power/merges.csv     # three minutes
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable

import numpy

from promptlab.scoring.power import RIGHT
from promptlab.scoring.weights import Answers, Row, difference

RUNS, MERGES, LOSS, FLIPS = 1_000, 10, 0.02, 0.15
SIZES = (100, 160, 400)
COLUMNS = "n,runs,all pass against the one before,all pass against it and a release"


def judged(before: numpy.ndarray, after: numpy.ndarray) -> str:
    """Compare two prompts by whether each answer is right."""
    gold = numpy.arange(len(before)) % 2
    said = [numpy.where(right, gold, 1 - gold).tolist() for right in (before, after)]
    units = Counter(
        (Row(label, (((a, 1.0),), ((b, 1.0),))),) for label, a, b in zip(gold.tolist(), *said, strict=True)
    )
    return difference(Answers(tuple(sorted(units.items())), 2)).verdict


def merged(right: numpy.ndarray, share: float, random: numpy.random.RandomState) -> numpy.ndarray:
    """Return which answers are right after a merge; `share` is how many of them truly were."""
    luck = random.random_sample(len(right))
    broken, fixed = (FLIPS + LOSS) / 2 / share, (FLIPS - LOSS) / 2 / (1 - share)
    return numpy.where(right, luck >= broken, luck < fixed)


def passed(n: int, random: numpy.random.RandomState) -> tuple[bool, bool]:
    """Say whether all merges of a run pass: against the one before, and against the release too."""
    release = prompt = random.random_sample(n) < RIGHT
    held = True
    for number in range(MERGES):
        new = merged(prompt, RIGHT - number * LOSS, random)
        if judged(prompt, new) == "worse":
            return False, False
        held = held and judged(release, new) != "worse"
        prompt = new
    return True, held


def print_shares(
    name: str, columns: str, simulate: Callable[[int, numpy.random.RandomState], tuple[bool, bool]]
) -> None:
    """Print in which shares of the runs two things happen, for each number of examples."""
    print(columns)
    for n in SIZES:
        random = numpy.random.RandomState(zlib.crc32(f"{name} {n}".encode()))
        one, other = numpy.mean([simulate(n, random) for _ in range(RUNS)], axis=0)
        print(f"{n},{RUNS},{one:.3f},{other:.3f}", flush=True)


if __name__ == "__main__":
    print_shares("merges", COLUMNS, passed)
