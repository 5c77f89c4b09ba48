"""How often an equal prompt is called worse than a base whose recording was a lucky one.

The base's recording is the best of twenty: whoever records until it looks good leaves such a one on main. Two
balanced labels, about 80% of the answers right, and 15% of the answers change when the model is asked again.
Judged against that recording, and against the base asked again beside the new prompt, as
`pytest --live-changed --promptlab-fresh-base` does.

    python -m benchmarks.power.lucky > benchmarks/power/lucky.csv     # half a minute
"""

from __future__ import annotations

import numpy

from benchmarks.power.merges import judged, print_shares

RECORDINGS = 20
SHAPE = (0.7, 0.175)  # of the beta distribution of how likely each example is answered rightly
COLUMNS = "n,runs,worse than the best of twenty recordings,worse than the base asked again"


def called_worse(n: int, random: numpy.random.RandomState) -> tuple[bool, bool]:
    """Judge an equal prompt against a lucky recording, and against another one."""
    likely = random.beta(*SHAPE, n)
    recordings = random.random_sample((RECORDINGS, n)) < likely
    lucky = recordings[recordings.sum(axis=1).argmax()]
    again, new = random.random_sample((2, n)) < likely
    return judged(lucky, new) == "worse", judged(again, new) == "worse"


if __name__ == "__main__":
    print_shares("lucky", COLUMNS, called_worse)
