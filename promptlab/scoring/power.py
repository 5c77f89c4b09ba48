"""What a split can show, before any call is paid."""

from __future__ import annotations

from promptlab.data.task import Task
from promptlab.errors import DataError
from promptlab.scoring import paired
from promptlab.scoring.paired import POWER


def detectable(
    task: Task, *, discordance: float = 0.15, split: str = "test", power: float = POWER
) -> float | None:
    """Return the smallest difference in accuracy that a split can show, before any call is paid.

    Args:
        task: whose split is meant.
        discordance: share of answers expected to flip from right to wrong or back, 0 to 1.
        split: "train", "validation" or "test".
        power: how often a difference of that size is to be shown, 0 to 1.

    Returns:
        A share of 0 to 1; None where the split is too small to show anything at all. The formula is
        in promptlab.scoring.paired.detectable; macro F1 moves about as much where labels are balanced.
    """
    if not 0 < discordance <= 1:
        raise DataError(f"discordance is {discordance!r}, expected a share above 0, at most 1")
    return paired.detectable(len(task.split(split)), discordance, power)
