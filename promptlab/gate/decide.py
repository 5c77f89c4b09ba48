"""The verdict on a prompt against the one of a base, and whether the session fails for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from promptlab.errors import PromptlabError
from promptlab.gate.base import UNREADABLE, Pair
from promptlab.scoring.comparison import Comparison, compare, compare_all

SHOWN = 20  # ids that are named
LEAST = 0.9  # share of the examples that have to be recorded on both sides

Verdict = Literal["worse", "incomplete", "inconclusive", "better", "unchanged", "new"]


@dataclass(frozen=True)
class Ruling:
    """What becomes of a pair.

    Attributes:
        comparison: None where there is nothing to compare.
        failed: whether the session fails for it.
    """

    pair: Pair
    verdict: Verdict
    comparison: Comparison | None
    failed: bool

    @property
    def explained(self) -> str:
        """The verdict and what stands behind it, a line each."""
        pair, count = self.pair, len(self.pair.alone)
        told = [str(self.comparison) if self.comparison else f"{self.verdict}: {_nothing(pair)}"]
        if self.verdict == "incomplete":
            told.append(f"  {LEAST:.0%} have to be; to record the rest: {pair.place.record_with}")
        if count and not pair.same:
            shown = ", ".join(pair.alone[:SHOWN]) + (", ..." if count > SHOWN else "")
            where = f"{count} of {len(pair.whole.rows)} examples are not recorded on both sides: {shown}"
            told.append(f"  not compared: {where}")
        told += [
            f"  {'' if note.startswith(UNREADABLE) else 'changed with it: '}{note}" for note in pair.notes
        ]
        return "\n".join([*told, f"  base: {pair.against}; prompt: {pair.folder}"])

    @property
    def brief(self) -> str:
        """The verdict on one line, with the interval and what would settle it."""
        if self.comparison is None or self.comparison.difference is None:
            return f"{self.pair.title}: {self.verdict}: {_nothing(self.pair)}"
        found = self.comparison.difference
        name = self.comparison.new.primary_name if found.bootstrap else "accuracy"
        range_ = f"{name} {found.point:+.3f}, plausibly {found.low:+.3f} to {found.high:+.3f}"
        return f"{self.pair.title}: {self.verdict}: {range_}; {self.comparison.needed_in_words}"


def rule(pairs: Sequence[Pair], *, strict: bool) -> tuple[Ruling, ...]:
    """Judge all pairs with one chance of error.

    "worse" and "incomplete" (too few examples on both sides) fail; with `strict`, so do what is not shown
    to be no worse, and a prompt whose folder was renamed and changed at once.
    """
    whole = [one for one in pairs if not _incomplete(one) and one.base and one.new]
    sides = [(one.base, one.new) for one in whole if one.base and one.new]
    judged = dict(zip([one.title for one in whole], compare_all(sides), strict=True))
    return tuple(_ruling(one, judged.get(one.title), strict=strict) for one in pairs)


def compared(pair: Pair, margin: float) -> Comparison:
    """Compare one pair; PromptlabError where too little is recorded."""
    if pair.base is None or pair.new is None or _incomplete(pair):
        raise PromptlabError(_ruling(pair, None, strict=False).explained)
    return compare(pair.base, pair.new, margin=margin)


def _nothing(pair: Pair) -> str:
    """Say why there is nothing to compare."""
    if pair.same:
        return "prompt and model are the same, so there is nothing to judge"
    if pair.renamed:
        return (
            f"{pair.against} has no prompt in {pair.folder}, but recorded another one under this name: was the "
            f"folder renamed? Rename it in a pull request of its own, and change it in the next"
        )
    if not pair.known:
        return f"{pair.against} has no prompt in {pair.folder}, so there is nothing to compare"
    return f"too little is recorded of the prompt of {pair.against}"


def _ruling(pair: Pair, comparison: Comparison | None, *, strict: bool) -> Ruling:
    if comparison is None:
        verdict: Verdict = "unchanged" if pair.same else "incomplete" if pair.known else "new"
        return Ruling(pair, verdict, None, failed=verdict == "incomplete" or (strict and pair.renamed))
    failed = comparison.verdict == "worse" or (strict and not comparison.no_worse)
    return Ruling(pair, comparison.verdict, comparison, failed)


def _incomplete(pair: Pair) -> bool:
    return not pair.same and len(pair.alone) > (1 - LEAST) * len(pair.whole.rows) + 1e-9
