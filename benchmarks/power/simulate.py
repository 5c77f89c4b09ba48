"""How often a verdict is wrong, and how often a true difference is found: simulated pull requests.

Each has n examples, half of each of two labels. The base is right about 80% of them; a share of answers
(the discordance) flips, and the new prompt is worse by the difference given. Of the wrong answers, 5%
give no label.

    python -m benchmarks.power.simulate > benchmarks/power/table.csv
"""

from __future__ import annotations

import sys
import zlib
from collections import Counter

import numpy

from promptlab.scoring.evaluation import MARGIN
from promptlab.scoring.paired import PairedCounts, detectable, difference

SIZES = (100, 160, 400)
LOSSES = {0.05: (0.0, 0.05), 0.15: (0.0, 0.05, 0.1, 0.15), 0.3: (0.0, 0.05, 0.1, 0.2)}
RIGHT, WITHOUT_LABEL = 0.8, 0.05
COLUMNS = "n,discordance,worse by,pull requests,worse,better,inconclusive,no worse shown,detectable"


def pull_request(n: int, discordance: float, loss: float, random: numpy.random.RandomState) -> PairedCounts:
    """Draw the answers of a base and of a new prompt."""
    broken, fixed = (discordance + loss) / 2, (discordance - loss) / 2
    shares = [RIGHT - broken, broken, fixed, 1 - RIGHT - fixed]
    cells: Counter[tuple[int, int, int]] = Counter()
    for gold in (0, 1):
        right, lost, won, wrong = random.multinomial(n // 2, shares)
        cells[gold, gold, gold] += right
        for kind, count in (("lost", lost), ("won", won), ("wrong", wrong)):
            none = random.binomial(count, WITHOUT_LABEL)
            for said, times in ((2, none), (1 - gold, count - none)):
                base, new = {"lost": (gold, said), "won": (said, gold), "wrong": (said, said)}[kind]
                cells[gold, base, new] += times
    return PairedCounts(
        tuple((*cell, int(count)) for cell, count in sorted(cells.items()) if count), labels=2
    )


def row(n: int, discordance: float, loss: float) -> str:
    """Judge 2,000 pull requests of truly equal prompts, or 200 with a true difference."""
    times = 200 if loss else 2000
    random = numpy.random.RandomState(zlib.crc32(f"{n} {discordance} {loss}".encode()))
    found = [difference(pull_request(n, discordance, loss, random)) for _ in range(times)]
    verdicts = Counter(one.verdict for one in found)
    shares = [verdicts[name] / times for name in ("worse", "better", "inconclusive")]
    shares.append(sum(one.low > -MARGIN for one in found) / times)
    least = detectable(n, discordance)
    shown = "" if least is None else f"{least:.3f}"
    return f"{n},{discordance},{loss},{times},{','.join(f'{share:.3f}' for share in shares)},{shown}"


def rows(n: int) -> list[str]:
    """Return the rows of the table about one size."""
    return [row(n, discordance, loss) for discordance, losses in LOSSES.items() for loss in losses]


def main() -> None:
    """Print the table."""
    print(COLUMNS)
    for n in SIZES:
        for line in rows(n):
            print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
