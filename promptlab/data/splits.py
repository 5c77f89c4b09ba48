"""Which examples are train, validation and test: the data's own column, or a split stratified by label."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from promptlab.data.sampling import rank
from promptlab.errors import DataError
from promptlab.records import Example

SPLITS = ("train", "validation", "test")
SHARES = (0.4, 0.2, 0.4)
FEWEST_PER_LABEL = 5  # examples in a split; below, its F1 says nothing
SHOWN = 40  # shortages that are named

Stratum = Callable[[Example], str]
Cells = Mapping[str, Sequence[int]]  # of each label, how many examples each split still lacks


def assign(
    examples: Sequence[Example], stratum: Stratum, shares: Sequence[float] = SHARES, seed: int = 0
) -> dict[str, str]:
    """Return the split of each example, by its id.

    What the data say stays, and canonical examples are in train. The others are taken in the order of a hash
    of their ids: the first five of each label go to train, five to validation, five to test, and of the rest
    the first 40% to train, and so on. Groups are taken whole, in hash order, and go where they fill most of
    what their labels lack, so that a large group may upset the shares. A new example moves few others; it
    moves none where the data have a split already.

    Args:
        examples: all of the task's.
        stratum: an example's label, or the same for all where they are not to be stratified.
        shares: of train, validation and test; they add up to 1.
        seed: changes the split.

    Raises:
        DataError: the examples of a group are in several splits, or a canonical one is not in train.
    """
    groups: dict[tuple[bool, str], list[Example]] = defaultdict(list)
    for example in examples:
        groups[example.group is None, example.group or example.id].append(example)
    total = Counter(map(stratum, examples))
    least = {label: [FEWEST_PER_LABEL * (share > 0) for share in shares] for label in total}
    whole = {label: _quotas(n, shares) for label, n in total.items()}
    found: dict[str, str] = {}

    def place(members: Sequence[Example], split: int) -> None:
        for one in members:
            found[one.id] = SPLITS[split]
            for lacking in (least, whole):
                lacking[stratum(one)][split] -= 1

    waiting = []
    for key in sorted(groups, key=lambda key: (rank(seed, key[1]), key)):
        if split := _given(groups[key]):
            place(groups[key], SPLITS.index(split))
        else:
            waiting.append(groups[key])
    rest = []
    for members in waiting:
        best, filled = _most_lacking(Counter(map(stratum, members)), least)
        if filled:
            place(members, best)
        else:
            rest.append(members)
    for members in rest:
        place(members, _most_lacking(Counter(map(stratum, members)), whole)[0])
    return found


def count(
    examples: Iterable[Example], home: Mapping[str, str], stratum: Stratum, labels: Iterable[str]
) -> dict[str, dict[str, int]]:
    """Count the examples of each label in each split."""
    found = Counter((home[one.id], stratum(one)) for one in examples)
    labels = tuple(labels)
    return {split: {label: found[split, label] for label in labels} for split in SPLITS}


def shortage(counts: Mapping[str, Mapping[str, int]], shares: Sequence[float]) -> str:
    """Say which splits have too few examples of which labels, and how many are needed; "" where none has."""
    used = [split for split, share in zip(SPLITS, shares, strict=True) if share]
    lacking = {
        label: {split: FEWEST_PER_LABEL - counts[split][label] for split in used} for label in counts["train"]
    }
    short = [
        f"{counts[s][label]} of {label!r} in {s}" for label, of in lacking.items() for s in used if of[s] > 0
    ]
    more = {label: sum(max(0, n) for n in of.values()) for label, of in lacking.items()}
    if not short:
        return ""
    add = ", ".join(f"{n} of {label!r}" for label, n in more.items() if n)
    named = ", ".join(short[:SHOWN]) + (", ..." if len(short) > SHOWN else "")
    return (
        f"too few examples: {named}. Each split needs "
        f"{FEWEST_PER_LABEL} of each label, which is {FEWEST_PER_LABEL * len(used)} of each in all: add {add}"
    )


def _given(members: Sequence[Example]) -> str | None:
    """Return the split that the data, or a canonical member, demand of a group; None where nothing does."""
    demanded = {one.split: one for one in members if one.split}
    if pinned := next((one for one in members if one.canonical), None):
        demanded.setdefault("train", pinned)
    if len(demanded) > 1:
        (a, one), (b, other) = list(demanded.items())[:2]
        where = f"group {one.group!r}" if one.group else f"example {one.id!r}"
        raise DataError(
            f"{where} is in two splits: {one.id!r} in {a}, {other.id!r} in {b}. Examples of a group stay "
            f"together, and canonical examples belong to train, since the critic sees them: correct the "
            f"column 'split'"
        )
    return next(iter(demanded), None)


def _quotas(count: int, shares: Sequence[float]) -> list[int]:
    """Divide a number by shares; of each split, five come first. The largest remainders are rounded up."""
    least = [FEWEST_PER_LABEL * (share > 0) for share in shares]
    over = max(0, count - sum(least))
    exact = [few + over * share for few, share in zip(least, shares, strict=True)]
    whole = [int(one + 1e-9) for one in exact]
    order = sorted(range(len(shares)), key=lambda split: (whole[split] - exact[split], split))
    for split in order[: max(0, count - sum(whole))]:
        whole[split] += 1
    return whole


def _most_lacking(group: Mapping[str, int], lacking: Cells) -> tuple[int, int]:
    """Return the split, of equals the first, in which a group fills most of what is lacking, and how much."""
    filled = [
        sum(min(n, max(0, lacking[label][split])) for label, n in group.items())
        for split in range(len(SPLITS))
    ]
    return filled.index(max(filled)), max(filled)
