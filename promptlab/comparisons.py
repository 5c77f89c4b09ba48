"""Whether a difference between two prompts is real: the verdict, and the flips behind it.

The statistics are in paired.py; here they meet evaluations and words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from promptlab import paired
from promptlab.datasets import Task
from promptlab.errors import DataError
from promptlab.evaluations import MARGIN, Evaluation, in_order, paired_table
from promptlab.intervals import FEW, Interval
from promptlab.paired import CONFIDENCE, POWER, Difference, Verdict
from promptlab.records import Example, Prediction


class Flip(NamedTuple):
    """An example that one prompt has right and the other wrong."""

    example: Example
    base: Prediction
    new: Prediction

    @property
    def fixed(self) -> bool:
        """Whether the new prompt is the one that has it right."""
        return self.new.correct


@dataclass(frozen=True, repr=False)
class Comparison:
    """A new prompt against a base, on the same examples.

    Attributes:
        difference: of the primary metric, with its two one-sided bounds; None where no request differs.
        margin: by how much the metric may fall for the new prompt to count as no worse.
        confidence: of each bound that the verdict is taken from, 0 to 1; above what was asked for where
            several comparisons share the chance of error.
    """

    base: Evaluation
    new: Evaluation
    difference: Difference | None
    margin: float
    confidence: float

    @property
    def verdict(self) -> Verdict:
        """What the bounds say.

        "better" and "worse": zero lies outside, on that side; "inconclusive": within; "unchanged": both
        prompts ask exactly the same, so there is nothing to judge.
        """
        return self.difference.verdict if self.difference else "unchanged"

    @property
    def no_worse(self) -> bool:
        """Whether the metric is shown not to fall by `margin` or more, with 95% confidence."""
        return bool(self.new.no_worse_than(self.base, self.margin))

    @cached_property
    def flips(self) -> tuple[Flip, ...]:
        """The examples that only one prompt has right, in their order."""
        pairs = zip(self.base.rows, self.new.rows, strict=True)
        return tuple(Flip(a.example, a, b) for a, b in pairs if a.correct != b.correct)

    @property
    def fixed(self) -> tuple[str, ...]:
        """The ids of the examples that only the new prompt has right."""
        return tuple(flip.example.id for flip in self.flips if flip.fixed)

    @property
    def broken(self) -> tuple[str, ...]:
        """The ids of the examples that only the base has right."""
        return tuple(flip.example.id for flip in self.flips if not flip.fixed)

    @property
    def by_label(self) -> Mapping[str, tuple[int, int]]:
        """How many flips each label has: (fixed, broken)."""
        found = Counter((flip.example.label, flip.fixed) for flip in self.flips)
        return {label: (found[label, True], found[label, False]) for label in self.new.labels}

    @property
    def mcnemar(self) -> float:
        """McNemar's exact p for the flips, two-sided: described, not judged by."""
        return paired.mcnemar(len(self.fixed), len(self.broken))

    @property
    def accuracy(self) -> Interval:
        """Tango's score bounds of the difference in accuracy, 95% each: described, not judged by."""
        return paired.tango(len(self.fixed), len(self.broken), len(self.new.rows))

    @property
    def needed(self) -> int | None:
        """How many examples would decide, with a power of 0.8, if the difference is what it looks like.

        None where the verdict is not "inconclusive", or no difference is to be seen.
        """
        if self.difference is None or self.verdict != "inconclusive":
            return None
        return paired.needed(paired_table(self.base, self.new), self.difference)

    def __str__(self) -> str:
        """Explain the verdict in words that take no statistics, then the figures."""
        return "\n".join(_lines(self))

    def __repr__(self) -> str:
        """Say what a failed assertion needs, in a line."""
        flips = f"{len(self.fixed)} fixed, {len(self.broken)} broken"
        off = f" ({self.difference.low:+.3f} to {self.difference.high:+.3f})" if self.difference else ""
        return f"<Comparison {self.new.task}/{self.new.split}: {self.verdict}, {_change(self)}{off}, {flips}>"


def compare(
    a: Evaluation, b: Evaluation, *, margin: float = MARGIN, confidence: float = CONFIDENCE
) -> Comparison:
    """Judge the prompt of `b` against that of `a`, the base, on the same examples.

    The verdict is taken from one thing: the one-sided bounds of the difference in b's primary metric,
    by paired bootstrap within gold labels; with under ten flips, of the difference in accuracy, by
    Tango's score interval. See promptlab.paired for formulas and sources.

    Args:
        a: the base.
        b: the new prompt's answers about the same examples, in any order.
        margin: by how much the metric may fall for `no_worse`.
        confidence: of each bound, 0 to 1.

    Raises:
        DataError: the two are not about the same examples.
    """
    if not 0.5 < confidence < 1:
        raise DataError(f"confidence is {confidence!r}, expected a share between 0.5 and 1, such as 0.95")
    found = None if b.asks_as(a) else paired.difference(paired_table(a, b), confidence)
    return Comparison(in_order(a, b), b, found, margin, confidence)


def compare_all(
    pairs: Iterable[tuple[Evaluation, Evaluation]], *, margin: float = MARGIN, confidence: float = CONFIDENCE
) -> tuple[Comparison, ...]:
    """Judge several new prompts, each against its base, with one chance of error for all.

    Of those whose requests changed, the clearest is judged at a confidence of 1 - (1 - confidence) / m,
    the next with m - 1, and so on; from the first that stays open, all stay open (Holm, Scandinavian
    Journal of Statistics 6, 1979, 65-70). `no_worse` needs no such care: it has to hold for each.

    Returns:
        One Comparison a pair, in order.
    """
    found = [compare(a, b, margin=margin, confidence=confidence) for a, b in pairs]
    changed = [(one.difference, number) for number, one in enumerate(found) if one.difference]
    changed.sort(key=lambda pair: (pair[0].p, pair[1]))
    shared = len(changed)
    for rank, (_, number) in enumerate(changed):
        one = found[number]
        level = 1 - (1 - confidence) / shared
        found[number] = compare(one.base, one.new, margin=margin, confidence=level)
        if found[number].verdict != "inconclusive":
            shared = len(changed) - rank - 1
    return tuple(found)


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
        in promptlab.paired.detectable; macro F1 moves about as much where labels are balanced.
    """
    if not 0 < discordance <= 1:
        raise DataError(f"discordance is {discordance!r}, expected a share above 0, at most 1")
    return paired.detectable(len(task.split(split)), discordance, power)


#: What a verdict means, for someone who has to decide.
MEANING: Mapping[Verdict, str] = {
    "better": "the new prompt is better than the base",
    "worse": "the new prompt is worse than the base",
    "inconclusive": "these examples cannot tell which of the two prompts is better",
    "unchanged": "both prompts ask exactly the same, so there is nothing to judge",
}


def _lines(one: Comparison) -> Iterator[str]:
    yield f"{one.verdict}: {MEANING[one.verdict]}"
    found, flips = one.difference, len(one.flips)
    if found is None:
        if flips:
            yield f"  asked twice, {flips} of {one.new.scores.n} answers flipped by chance"
        return
    yield f"  {_change(one)} on {one.new.scores.n} examples"
    low, high, sure = f"{found.low:+.3f}", f"{found.high:+.3f}", f"{100 * one.confidence:.3g}%"
    yield f"  the true difference lies between {low} and {high}; each end holds with {sure} confidence"
    if not found.bootstrap:
        why = f"under {FEW}" if flips < FEW else "in whole labels"
        yield f"  with {flips} flips, {why}, that is the difference in accuracy (score interval)"
    each = "; ".join(
        f"{label}: {fixed} fixed, {broken} broken" for label, (fixed, broken) in one.by_label.items()
    )
    yield f"  {flips} answers flipped: {len(one.fixed)} fixed, {len(one.broken)} broken ({each})"
    shown = "" if one.no_worse else "not "
    yield f"  no worse by {one.margin:g} or more: {shown}shown"
    if one.verdict == "inconclusive":
        told = (
            f"about {_rounded(one.needed):,} examples would" if one.needed else "no number of examples will"
        )
        yield f"  {told} decide it, if the difference is what it looks like here"
    ends = f"{one.accuracy.low:+.3f} to {one.accuracy.high:+.3f}"
    gained = one.new.accuracy - one.base.accuracy
    yield f"  for the record: accuracy {gained:+.3f} ({ends}, Tango), McNemar's exact p = {one.mcnemar:.3f}"


def _rounded(number: int) -> int:
    """Round to two digits: more would look like knowledge."""
    return round(number, 2 - len(str(number)))


def _change(one: Comparison) -> str:
    before, after = one.base.primary, one.new.primary
    return f"{one.new.primary_name} {before:.3f} -> {after:.3f} ({after - before:+.3f})"
