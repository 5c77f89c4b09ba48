"""Whether a difference between two prompts is real: the verdict, and the flips behind it.

The statistics are in paired.py; here they meet evaluations and words.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from promptlab.data.task import Task
from promptlab.errors import DataError
from promptlab.records import Example, Prediction
from promptlab.scoring import paired
from promptlab.scoring.evaluation import MARGIN, Evaluation, in_order, paired_counts
from promptlab.scoring.intervals import FEW, Interval
from promptlab.scoring.paired import CONFIDENCE, POWER, Difference, Verdict


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
        confidence: of each bound that decides the verdict, 0 to 1; higher than requested if several
            comparisons share one error rate.
    """

    base: Evaluation
    new: Evaluation
    difference: Difference | None
    margin: float
    confidence: float

    @property
    def verdict(self) -> Verdict:
        """Where zero lies: outside the bounds on one side ("better", "worse") or within ("inconclusive").

        "unchanged": both prompts ask exactly the same, so there is nothing to judge.
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
        """McNemar's exact p for the flips, two-sided: for information only."""
        return paired.mcnemar(len(self.fixed), len(self.broken))

    @property
    def accuracy(self) -> Interval:
        """Tango's score bounds of the difference in accuracy, 95% each: for information only."""
        return paired.tango(len(self.fixed), len(self.broken), len(self.new.rows))

    @property
    def needed(self) -> int | None:
        """How many examples would decide with a power of 0.8; None unless "inconclusive"."""
        if self.difference is None or self.verdict != "inconclusive":
            return None
        return paired.needed(paired_counts(self.base, self.new), self.difference)

    @property
    def needed_in_words(self) -> str:
        """The same for people."""
        n = self.new.scores.n
        if self.verdict != "inconclusive":
            return "no more examples are needed"
        if self.needed is None:
            return "there is no visible difference, so no number of examples would show one"
        rounded = round(self.needed, 2 - len(str(self.needed)))  # two digits: more would look like knowledge
        about = f"about {rounded:,} {self.new.split} examples in all (here {n})"
        if self.needed > 20 * n:
            about = f"too close to settle in practice: it would take {about}"
        else:
            about += " would probably settle it"
        return f"{about}, if the change is what it looks like"

    def __str__(self) -> str:
        """Explain the verdict in plain words, then give the figures."""
        return "\n".join(_lines(self))

    def __repr__(self) -> str:
        """Summarize the comparison on one line, for a failed assertion."""
        what = f"{self.new.task}/{self.new.split}, {self.new.scores.n} examples, "
        what += f"{self.base.prompt.id} -> {self.new.prompt.id}: {self.verdict}"
        if found := self.difference:
            name = self.new.primary_name if found.bootstrap else "accuracy"
            sure = "" if self.confidence == CONFIDENCE else f" at {100 * self.confidence:.4g}% each"
            what += f", {name} {found.point:+.3f} ({found.low:+.3f} to {found.high:+.3f}{sure})"
        return f"<Comparison {what}, {len(self.fixed)} fixed, {len(self.broken)} broken>"


def compare(
    a: Evaluation, b: Evaluation, *, margin: float = MARGIN, confidence: float = CONFIDENCE
) -> Comparison:
    """Judge the prompt of `b` against that of `a`, the base, on the same examples.

    The verdict depends on one thing: the one-sided bounds of the difference in b's primary metric,
    by paired bootstrap within gold labels; with fewer than ten flips, of the difference in accuracy,
    by Tango's score interval. See promptlab.scoring.paired for formulas and sources.

    Args:
        a: the base.
        b: the new prompt's answers about the same examples, in any order.
        margin: by how much the metric may fall for `no_worse`.
        confidence: of each bound, 0 to 1.

    Raises:
        DataError: the two evaluations do not cover the same examples.
    """
    if not 0 <= margin < 1:
        raise DataError(f"margin is {margin!r}, expected a share of 0 to 1, such as 0.05")
    if not 0.5 < confidence < 1:
        raise DataError(f"confidence is {confidence!r}, expected a share between 0.5 and 1, such as 0.95")
    found = None if b.asks_as(a) else paired.difference(paired_counts(a, b), confidence)
    return Comparison(in_order(a, b), b, found, margin, confidence)


def compare_all(
    pairs: Iterable[tuple[Evaluation, Evaluation]], *, margin: float = MARGIN, confidence: float = CONFIDENCE
) -> tuple[Comparison, ...]:
    """Judge several new prompts, each against its base, and control the overall error rate.

    Of those whose requests changed, the clearest is judged at a confidence of 1 - (1 - confidence) / m,
    the next with m - 1, and so on; after the first inconclusive one, all are inconclusive (Holm, Scandinavian
    Journal of Statistics 6, 1979, 65-70). `no_worse` needs no correction: it has to hold for each.

    Returns:
        One Comparison per pair, in order.
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


def _lines(one: Comparison) -> Iterator[str]:
    if one.difference is None:
        yield "unchanged: prompt, model and texts are the same, so there is nothing to judge"
        if one.flips:
            share = len(one.flips) / one.new.scores.n
            yield f"  noise floor: {len(one.flips)} of {one.new.scores.n} answers flipped when asked again ({share:.1%})"
        return
    yield _headline(one, one.difference)
    yield f"  safe to swap: {_safe(one, one.difference)}"
    each = "; ".join(f"{name} {a} fixed, {b} broken" for name, (a, b) in one.by_label.items())
    yield f"  {len(one.flips)} answers changed between right and wrong: {len(one.fixed)} fixed, {len(one.broken)} broken"
    yield f"  by true label: {each}"
    yield from _figures(one, one.difference)
    if one.verdict == "inconclusive":
        yield f"  {one.needed_in_words}"
    risk = f"{100 * (1 - one.confidence):.2g}%"
    yield f"  plausibly: the true change lies beyond each of the two ends with a risk of {risk}"


def _headline(one: Comparison, found: Difference) -> str:
    where = f"{one.new.scores.n} {one.new.split} examples"
    names = f"{one.new.prompt.id} (new)", f"{one.base.prompt.id} (base)"
    if one.verdict == "inconclusive":
        return f"inconclusive: {where} cannot tell whether prompt {names[0]} or {names[1]} is better"
    kind = "" if found.bootstrap else " in accuracy"
    said = f"{one.verdict}: on {where}, prompt {names[0]} is {one.verdict} than {names[1]}{kind}"
    return said if found.bootstrap else f"{said}; only {len(one.flips)} flips, so confirm it on more examples"


def _safe(one: Comparison, judged: Difference) -> str:
    name = one.new.primary_name if judged.bootstrap else "accuracy"
    if judged.high < 0:
        return f"no; {name} has fallen, by up to {-judged.low:.3f}"
    if judged.low > 0:
        return f"yes; {name} has risen by {judged.low:.3f} or more"
    lost = max(0, -paired.difference(paired_counts(one.base, one.new)).low)  # of each by itself, at 5%
    said = f"{name} may have lost up to {lost:.3f}, the limit is {one.margin:g}"
    return f"{'yes' if one.no_worse else 'not proven'}; {said}"


def _figures(one: Comparison, found: Difference) -> Iterator[str]:
    ends = f"plausibly {found.low:+.3f} to {found.high:+.3f}"
    accuracy = f"plausibly {one.accuracy.low:+.3f} to {one.accuracy.high:+.3f}"
    if found.bootstrap:
        yield f"  {_change(one)}, {ends}"
        if found.metric != "accuracy":
            level = "" if one.confidence == CONFIDENCE else "at 5%; "  # it is not shared out
            yield f"  {_change(one, 'accuracy')}, {accuracy} ({level}described, not judged)"
    else:
        few = f"under {FEW} answers changed" if len(one.flips) < FEW else "whole labels changed"
        yield f"  {_change(one, 'accuracy')}, {ends} (judged: {few}, so {one.new.primary_name} has no interval)"
        if one.new.metric != "accuracy":
            yield f"  {_change(one)}"
    p = f"{one.mcnemar:.3f}" if one.mcnemar >= 0.0005 else "below 0.001"
    yield f"  McNemar's exact p {p} (described, not judged)"


def _change(one: Comparison, metric: str = "primary") -> str:
    name = one.new.primary_name if metric == "primary" else metric
    before, after = getattr(one.base, metric), getattr(one.new, metric)
    return f"{name} {before:.3f} -> {after:.3f}: {after - before:+.3f}"


def detectable(
    task: Task, *, discordance: float = 0.15, split: str = "test", power: float = POWER
) -> float | None:
    """Return the smallest difference in accuracy that a split can detect; no call is made.

    Args:
        task: the task that the split belongs to.
        discordance: share of answers expected to flip from right to wrong or back, 0 to 1.
        split: "train", "validation" or "test".
        power: probability of detecting a difference of that size, 0 to 1.

    Returns:
        A share of 0 to 1; None where the split is too small to show anything at all. The formula is
        in promptlab.scoring.paired.detectable; macro F1 moves about as much where labels are balanced.
    """
    if not 0 < discordance <= 1:
        raise DataError(f"discordance is {discordance!r}, expected a share above 0, at most 1")
    return paired.detectable(len(task.split(split)), discordance, power)
