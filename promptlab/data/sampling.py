"""Which examples are drawn: ranked by a hash, so a draw depends on nothing but its arguments."""

import hashlib
from collections.abc import Iterable, Sequence

from promptlab.records import Example


def rank(*parts: object) -> int:
    """Return a number of 64 bits that looks random but is a pure function of the parts."""
    text = "|".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())


def draw(
    examples: Iterable[Example], labels: Sequence[str], *, per_label: int, seed: int | str, iteration: int
) -> tuple[Example, ...]:
    """Draw up to `per_label` examples of each label, labels in their order, best rank first.

    Where there are no labels, `per_label` examples are drawn in all. The order in which the examples are
    given plays no part.
    """
    ranked = sorted(examples, key=lambda example: (rank(seed, iteration, example.id), example.id))
    if not labels:
        return tuple(ranked[:per_label])
    return tuple(
        example for label in labels for example in [e for e in ranked if e.label == label][:per_label]
    )


def taking_turns(examples: Iterable[Example], labels: Sequence[str]) -> list[Example]:
    """Reorder examples so that labels take turns, each with its next one; without labels, nothing changes."""
    turns: dict[str, int] = {}
    placed = []
    for one in examples:
        label = str(one.label) if labels else ""
        turns[label] = turns.get(label, 0) + 1
        placed.append((turns[label], one))
    return [one for _, one in sorted(placed, key=lambda pair: pair[0])]


def distinct(examples: Iterable[Example]) -> list[Example]:
    """Return each example once, where it comes first; by their ids, since a label need not be hashable."""
    found: dict[str, Example] = {}
    for one in examples:
        found.setdefault(one.id, one)
    return list(found.values())
