"""Whether a difference between two prompts is real: the verdict, what to do, and the flips behind it.

The statistics are in weights.py; here they meet evaluations and words.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import NormalDist
from typing import NamedTuple

from promptlab.data.task import Task
from promptlab.errors import DataError, bare, one_line
from promptlab.records import Example, Prediction, shown
from promptlab.scoring import notebook
from promptlab.scoring import power as simulated
from promptlab.scoring.evaluation import (
    MARGIN,
    Evaluation,
    answers_of,
    by_example,
    in_order,
    majority,
    same_scores,
)
from promptlab.scoring.power import POWER
from promptlab.scoring.weights import CONFIDENCE, Difference, Verdict, difference

CLEAR = 0.8  # confidence that there is a difference; below, nothing is said of how many examples show it
SHOWN = 5  # ids that a sentence names
EXAMPLES = 3  # that show why a prompt is worse
TEXT = 150  # characters of one
SEE = ("", "see this one", "see these two", "see these three")


class Flip(NamedTuple):
    """An example that one prompt has right and the other wrong, or that scores higher with one.

    Of several answers, the median counts. `by_chance` says that one of the two prompts was right and wrong
    about it when asked several times.
    """

    example: Example
    base: Prediction
    new: Prediction
    by_chance: bool = False

    @property
    def fixed(self) -> bool:
        """Whether the new prompt is the one that has it right, or scores higher."""
        return self.new.score > self.base.score

    @property
    def lines(self) -> tuple[str, str]:
        """Text, label and both answers, for a terminal."""
        one = self.example
        name = f"{bare(one.id)}, canonical" if one.canonical else bare(one.id)
        label, base, new = map(bare, (shown(one.label), self.base.answer, self.new.answer))
        return f"{name}: {one_line(one.text, TEXT)}", f"  label {label}; base {base}, new {new}"


@dataclass(frozen=True, repr=False)
class Comparison:
    """A new prompt against a base, on the same examples.

    Attributes:
        difference: of the primary metric, with its two one-sided bounds; None where the same was asked, and
            no answer changed between right and wrong.
        margin: by how much the metric may fall for the new prompt to count as no worse.
        confidence: of each bound, 0 to 1.
        together: with how many prompts it was judged, and `looks`: as which recording on these examples, if
            that is why it does not count as better.
    """

    base: Evaluation
    new: Evaluation
    difference: Difference | None
    margin: float
    confidence: float
    together: int = 1
    looks: int = 1

    @property
    def lucky(self) -> bool:
        """Whether it would count as better alone, on examples that nobody has looked at."""
        return self.together > 1 or self.looks > 1

    @property
    def verdict(self) -> Verdict:
        """What follows from the answers.

        "broken": a canonical example that the base has right is wrong. "unchanged": the same was asked, and
        no answer changed between right and wrong. Else it depends on where zero lies: outside the bounds on
        one side ("better", "worse") or within ("inconclusive").
        """
        if self.canonical_broken:
            return "broken"
        if self.difference is None:
            return "unchanged"
        return "inconclusive" if self.lucky else self.difference.verdict

    @property
    def no_worse(self) -> bool:
        """Whether the metric is shown not to fall by `margin` or more, with 95% confidence."""
        return bool(self.new.no_worse_than(self.base, self.margin))

    @cached_property
    def canonical_broken(self) -> tuple[str, ...]:
        """The ids of the canonical examples that the base has right, or scores higher than the new prompt."""
        return tuple(flip.example.id for flip in self._canonical if not flip.fixed)

    @cached_property
    def flips(self) -> tuple[Flip, ...]:
        """The examples that only one prompt has right, or that score differently, in their order."""
        return tuple(_flips(self.base.rows, self.new.rows))

    @cached_property
    def _canonical(self) -> tuple[Flip, ...]:
        return tuple(_flips(self.base.canonical_rows, self.new.canonical_rows))

    @property
    def broken_flips(self) -> tuple[Flip, ...]:
        """What the new prompt breaks, canonical examples first, those outside the split too."""
        found = [flip for flip in (*self._canonical, *self.flips) if not flip.fixed]
        return tuple({flip.example.id: flip for flip in found}.values())

    @property
    def fixed(self) -> tuple[str, ...]:
        """The ids of the examples that only the new prompt has right, or that it scores higher on."""
        return tuple(flip.example.id for flip in self.flips if flip.fixed)

    @property
    def broken(self) -> tuple[str, ...]:
        """The ids of the examples that only the base has right, or scores higher on."""
        return tuple(flip.example.id for flip in self.flips if not flip.fixed)

    @property
    def by_label(self) -> Mapping[str, tuple[int, int]]:
        """How many flips each label has: (fixed, broken)."""
        found = Counter((str(flip.example.label), flip.fixed) for flip in self.flips)
        return {label: (found[label, True], found[label, False]) for label in self.new.labels}

    @property
    def needed(self) -> tuple[int, int] | None:
        """Between how many examples and how many would show the difference, with a power of 0.8.

        The standard error falls with the root of n, so n' = n ((z_0.95 + z_0.8) error / difference)^2; the
        two ends are those of the middle half of what the difference may be. None where the verdict is not
        "inconclusive", or the data do not tell, with 80% confidence, whether there is a difference at all.
        """
        found = self.difference
        if found is None or self.verdict != "inconclusive" or self.lucky:
            return None
        z = NormalDist().inv_cdf
        if abs(found.point) <= z((1 + CLEAR) / 2) * found.error:
            return None
        ends = (abs(found.point) + sign * z(0.75) * found.error for sign in (1, -1))
        n, apart = self.new.examples, (z(CONFIDENCE) + z(POWER)) * found.error
        most, least = (round(max(n, n * (apart / end) ** 2)) for end in ends)
        return most, least

    @property
    def headline(self) -> str:
        """The verdict in a sentence that says what to do."""
        return _headline(self)

    @property
    def counts(self) -> str:
        """How many answers changed: "9 fixed, 1 broken", what matters more for the verdict first."""
        if not self.flips:
            return "no answer changed between right and wrong" if self.new.labels else "no score changed"
        up, down = ("fixed", "broken") if self.new.labels else ("higher", "lower")
        both = [f"{len(self.fixed)} {up}", f"{len(self.broken)} {down}"]
        return ", ".join(reversed(both) if self.verdict in ("worse", "broken") else both)

    def lines(self, *, verbose: bool = False, examples: bool = True) -> Iterator[str]:
        """Yield what to do, the figures, and where the prompt is worse three examples.

        `verbose` adds the statistics; without `examples`, no text of one is shown.
        """
        some = self.broken_flips[:EXAMPLES] if examples and self.verdict in ("worse", "broken") else ()
        yield f"{self.headline} ({SEE[len(some)]})" if some else self.headline
        if self.difference is None and not some:
            return
        yield f"  {_figures(self)}"
        yield from (f"  {line}" for line in (_statistics(self) if verbose else _chance(self)))
        yield from (f"  {line}" for flip in some for line in flip.lines)
        if some and (more := len(self.broken_flips) - len(some)):
            yield f"  and {more} more broken"

    def __str__(self) -> str:
        """Say what to do, then why."""
        return "\n".join(self.lines(verbose=True))

    def _repr_html_(self) -> str:
        rows = [("", self.new.primary_name, "wrong", "without a label")]
        for name, one in (("base", self.base), ("new", self.new)):
            wrong, missing = len(one.mistakes), sum(row.missing is not None for row in one.rows)
            figure = one.primary_interval.around(one.primary)
            rows.append((f"{name}: {one.subject}", figure, f"{wrong} of {one.scores.n}", str(missing)))
        if found := self.difference:
            change = f"{found.point:+.3f} ({found.low:+.3f} to {found.high:+.3f})"
            rows.append(("difference", change, f"{len(self.fixed)} fixed, {len(self.broken)} broken", ""))
        return notebook.block(f"{self.headline}.", *rows)

    def __repr__(self) -> str:
        """Summarize the comparison on one line, for a failed assertion."""
        what = f"{self.new.task}/{self.new.split}, {self.new.examples} examples, "
        what += f"{self.base.subject} -> {self.new.subject}: {self.verdict}"
        if found := self.difference:
            what += f", {self.new.primary_name} {found.point:+.3f} ({found.low:+.3f} to {found.high:+.3f})"
        return f"<Comparison {what}, {len(self.fixed)} fixed, {len(self.broken)} broken>"


def compare(
    a: Evaluation, b: Evaluation, *, margin: float = MARGIN, confidence: float = CONFIDENCE
) -> Comparison:
    """Judge the prompt of `b` against that of `a`, the base, on the same examples.

    The verdict depends on the one-sided bounds of the difference in b's primary metric, whatever the number
    of flips. See promptlab.scoring.weights for the method and its sources.

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
    judged = Comparison(in_order(a, b), b, None, margin, confidence)
    if b.asks_as(a) and same_scores(a, b):
        return judged
    return replace(judged, difference=difference(answers_of(a, b), confidence))


def compare_all(
    pairs: Iterable[tuple[Evaluation, Evaluation]],
    *,
    margin: float = MARGIN,
    confidence: float = CONFIDENCE,
    looks: Sequence[int] | None = None,
) -> tuple[Comparison, ...]:
    """Judge several new prompts, each against its base, with one chance in all of a false "better".

    Of those whose requests changed, the clearest gain has to hold with a confidence of
    1 - (1 - confidence) / m, the next with m - 1, and so on; after the first that does not, none counts as
    better (Holm, Scandinavian Journal of Statistics 6, 1979, 65-70). "worse" and `no_worse` hold for each by
    itself: a guard must not tire because it has much to guard.

    Args:
        pairs: a base and a new prompt's answers about the same examples, each.
        margin: by how much the metric may fall for `no_worse`.
        confidence: of each bound, 0 to 1.
        looks: of each pair, how many recordings have been judged on these examples, this one included; a gain
            has to hold with that part of the risk (Bonferroni). None for the first of each.

    Returns:
        One Comparison per pair, in order.
    """
    found = [compare(a, b, margin=margin, confidence=confidence) for a, b in pairs]
    often = looks or [1] * len(found)
    changed = sorted(
        (one.difference.p * often[number], number) for number, one in enumerate(found) if one.difference
    )
    held = True
    for rank, (p, number) in enumerate(changed):
        held = held and p <= (1 - confidence) / (len(changed) - rank)
        if found[number].verdict == "better" and not held:
            found[number] = replace(found[number], together=len(changed), looks=often[number])
    return tuple(found)


def _flips(before: Sequence[Prediction], after: Sequence[Prediction]) -> Iterator[Flip]:
    """Yield the examples of both sides that differ in their score."""
    base = by_example(before)
    for name, rows in by_example(after).items():
        if name not in base:
            continue
        sides = (base[name], rows)
        old, new = map(majority, sides)
        if old.score != new.score:
            unsure = any(len({row.score for row in side}) > 1 for side in sides)
            yield Flip(new.example, old, new, unsure)


def _headline(one: Comparison) -> str:
    again = "same prompt, other answers; " if one.flips and one.new.asks_as(one.base) else ""
    if one.verdict == "broken":
        ids = one.canonical_broken
        named = ", ".join(map(bare, ids[:SHOWN])) + (", ..." if len(ids) > SHOWN else "")
        noun = "example" if len(ids) == 1 else "examples"
        fell = "that the base has right came out wrong"
        fell = fell if one.new.labels else "scored lower than with the base"
        return f"Broken, do not merge: {again}{len(ids)} canonical {noun} {fell}: {named}; {one.counts}"
    if one.verdict == "unchanged":
        return "Unchanged: prompt, model and texts are the same, so there is nothing to judge"
    if one.verdict == "better":
        return f"OK to merge: {again}{one.counts}"
    if one.verdict == "worse":
        return f"Worse, do not merge: {again}{one.counts}"
    if one.no_worse:
        fell = f"a loss of {one.margin:g} or more of {one.new.primary_name} can be ruled out"
        return f"OK to merge: shown to be no worse, since {fell}; {again}{one.counts}"
    return f"{_unsure(one)}: {again}{one.counts}"


def _unsure(one: Comparison) -> str:
    cannot = f"Cannot tell from {one.new.examples} examples"
    if one.needed is None:
        return cannot
    # Two digits: more would look like knowledge.
    few, many = (f"{round(n, 2 - len(str(n))):,}" for n in one.needed)
    return f"{cannot}; about {few} to {many} would"


def _figures(one: Comparison) -> str:
    """Say in a line what became of the primary metric, by the names that people know."""
    sides = (one.base, one.new)
    names = [side.subject for side in sides]
    models = [side.classifier.name if side.classifier else "" for side in sides]
    if all(models) and models[0] != models[1]:
        names = (
            models
            if one.base.prompt == one.new.prompt
            else [f"{a} with {b}" for a, b in zip(names, models, strict=True)]
        )
    change = f"{one.new.primary_name} {one.base.primary:.3f} -> {one.new.primary:.3f}"
    return f"{change} on {one.new.examples} {one.new.split} examples: {' -> '.join(names)}"


def _chance(one: Comparison) -> Iterator[str]:
    if one.lucky:
        prompts = f"{one.together} prompts judged together" if one.together > 1 else ""
        recordings = f"{one.looks} recordings on these examples" if one.looks > 1 else ""
        of = " and ".join(filter(None, (prompts, recordings)))
        yield f"alone it would count as better; of {of}, one may look so by chance"


def _statistics(one: Comparison) -> Iterator[str]:
    yield from _chance(one)
    flips, n = one.flips, one.new.examples
    if found := one.difference:
        risk = f"{100 * (1 - one.confidence):.2g}% risk beyond each end"
        yield f"{found.point:+.3f}, plausibly {found.low:+.3f} to {found.high:+.3f} ({risk})"
    if one.needed and one.no_worse:
        yield f"whether it is better: {_unsure(one)[0].lower()}{_unsure(one)[1:]}"
    if one.new.asks_as(one.base):
        yield f"noise floor: {len(flips)} of {n} answers flipped when asked again ({len(flips) / n:.1%})"
    if chance := sum(flip.by_chance for flip in flips):
        yield f"{chance} of the changes by chance: asked again, the same prompt gave both answers"
    if one.new.labels:
        each = (f"{name} {fixed} fixed, {broken} broken" for name, (fixed, broken) in one.by_label.items())
        yield f"by true label: {'; '.join(each)}"


def detectable(
    task: Task, *, discordance: float = 0.15, split: str = "test", power: float = POWER
) -> float | None:
    """Return the smallest loss of the primary metric that a split can show; no call is made.

    Pull requests are simulated on the split's own labels and groups and judged as real ones are: a base that
    is right about 80% of each label, and a new prompt that breaks more than it fixes. Where the labels have
    few examples, or examples share a group, only larger losses can be shown.

    Args:
        task: the task that the split belongs to.
        discordance: share of answers expected to flip from right to wrong or back, 0 to 1.
        split: "train", "validation" or "test".
        power: probability that a loss of that size is called "worse", 0 to 1.

    Returns:
        A share of 0 to 1; None where the split is too small to show anything at all.
    """
    if not 0 < discordance <= 1:
        raise DataError(f"discordance is {discordance!r}, expected a share above 0, at most 1")
    groups: dict[tuple[bool, str], list[int]] = {}
    for example in task.split(split):
        key = (example.group is None, example.group or example.id)
        groups.setdefault(key, []).append(task.labels.index(str(example.label)) if task.labels else 0)
    positive = None if task.positive is None else task.labels.index(task.positive)
    # The scores of a graded task differ less than right and wrong do, so they show no larger losses only.
    judged = (len(task.labels), task.metric, positive) if task.labels else (1, "accuracy", None)
    return simulated.detectable(tuple(groups.values()), *judged, discordance=discordance, power=power)
