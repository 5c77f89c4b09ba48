"""What happened in an optimization, round by round, and its result."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from promptlab.errors import shorten
from promptlab.models.spending import Spent
from promptlab.records import Prompt, Usage
from promptlab.scoring import notebook
from promptlab.scoring.comparison import Comparison, compare
from promptlab.scoring.doubts import Doubt, doubtful
from promptlab.scoring.evaluation import Evaluation

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from promptlab.scoring.plots import Display


@dataclass(frozen=True)
class Claim:
    """One statement of the critic: these examples of label `gold` were answered `predicted`, and why.

    Of a graded task, `gold` and `predicted` are empty.
    """

    ids: tuple[str, ...]
    gold: str
    predicted: str
    why: str


@dataclass(frozen=True)
class Critique:
    """What the critic said is wrong with a prompt."""

    text: str  # the critic's answer, whole
    claims: tuple[Claim, ...]  # those that the predictions confirm
    discarded: tuple[tuple[str, str], ...]  # of every other claim, its text and why it is false


@dataclass(frozen=True, repr=False)
class Candidate:
    """A prompt that took part in a race, and its answers as far as it got.

    Attributes:
        proposer: the name of the function that proposed it; "first" for the prompt the run started from.
        minibatch: its answers about train examples, of which it shows none; of a prompt that was never a
            parent, those about the canonical examples that had to stay right. None where there were none.
        validation: its answers about the first examples of validation in the order of the run, or all.
        left: why it left, and after how many examples; "" for a prompt that was kept.
    """

    prompt: Prompt
    proposer: str = "first"
    minibatch: Evaluation | None = None
    validation: Evaluation | None = None
    left: str = ""

    @property
    def subject(self) -> str:
        """Its name for people: "iteration 2 (ade37cc5)"."""
        known = self.validation or self.minibatch
        return known.subject if known else f"prompt {self.prompt.id}"

    @property
    def answered(self) -> int:
        """How many validation examples it has answered."""
        return self.validation.examples if self.validation else 0

    @property
    def perfect(self) -> bool:
        """Whether all of its answers are right, so that no prompt can be better."""
        return all(not one.mistakes for one in (self.minibatch, self.validation) if one)

    @property
    def figure(self) -> str:
        """Its figure on validation, and on how many examples; "-" where it did not get there."""
        if self.validation is None:
            return "-"
        return f"{self.validation.primary_name} {self.validation.primary:.3f} on {self.answered}"

    def __repr__(self) -> str:
        left = f", left: {shorten(self.left)}" if self.left else ""
        return f"<Candidate {self.prompt.id} of {self.proposer}: {self.figure} validation examples{left}>"


class Refused(NamedTuple):
    """A proposal, or a proposer, that came to nothing before a call was paid for it."""

    proposer: str
    why: str


@dataclass(frozen=True, repr=False)
class Iteration:
    """One round of the search.

    Attributes:
        number: from 1.
        parents: the prompts it started from, the best first, with their answers about a minibatch of train,
            and how they did in the race.
        critique: what the critic said about the best of them; None where it was not asked, or said nothing
            that can be used.
        candidates: the new prompts, those that got furthest first.
        refused: what was proposed and not tried, and why.
        kept: the prompts to continue with, the best first.
        usage: the calls made for the first time in this round, those of the critic included.
    """

    number: int
    parents: tuple[Candidate, ...]
    critique: Critique | None
    candidates: tuple[Candidate, ...]
    refused: tuple[Refused, ...]
    kept: tuple[Candidate, ...]
    usage: Usage

    @property
    def best(self) -> Candidate:
        """The best prompt to continue with."""
        return self.kept[0]

    @property
    def verdict(self) -> str:
        """Say in words what came out. The critic is sent this: other words would make recordings stale."""
        best = self.best
        came = f"{best.prompt.id} of {best.proposer} is best" if self.accepted else "no new prompt is better"
        return f"{came}: {best.figure} validation examples"

    @property
    def accepted(self) -> bool:
        """Whether the best prompt is a new one."""
        return self.kept[0].prompt != self.parents[0].prompt

    def __repr__(self) -> str:
        return f"<Iteration {self.number}: {len(self.candidates)} new prompts, {self.verdict}>"


@dataclass(frozen=True, repr=False)
class Run:
    """A finished optimization.

    Attributes:
        task: its name.
        history: one Iteration each, in order.
        finalists: the prompts that were kept to the end and answered all of validation that the run uses,
            the chosen one first; it was selected by its score there, so that score is optimistic.
        first: the prompt the run started from.
        best: the chosen prompt.
        test_first: the first prompt on the test split.
        test: the best prompt on the test split.
        usage: all calls that were made.
        data_hash: names the examples, as Task.data_hash.
        counts: how many examples of each label each split has.
        notices: what to know before trusting the figures, a sentence each.
        spent: what the calls of each role took.
    """

    task: str
    history: tuple[Iteration, ...]
    finalists: tuple[Candidate, ...]
    first: Prompt
    best: Prompt
    test_first: Evaluation
    test: Evaluation
    usage: Usage
    data_hash: str
    counts: Mapping[str, Mapping[str, int]]
    notices: tuple[str, ...] = ()
    spent: tuple[Spent, ...] = ()

    @cached_property
    def comparison(self) -> Comparison:
        """The best prompt against the first, on test."""
        return compare(self.test_first, self.test)

    @cached_property
    def doubts(self) -> tuple[Doubt, ...]:
        """The examples that three prompts or more, and none otherwise, gave the same wrong label."""
        return doubtful(self.evaluations)

    @property
    def evaluations(self) -> Iterator[Evaluation]:
        """Every evaluation of the run, in the order in which they were made."""
        rounds = [(*step.parents, *step.candidates) for step in self.history]
        for one in itertools.chain(*rounds, self.finalists):
            yield from filter(None, (one.minibatch, one.validation))
        yield from (self.test_first, self.test)

    def plot(self, ax: Axes | None = None) -> Display:
        """Plot each prompt's figure with its 95% interval, by iteration, on validation, and apart on test.

        It needs the extra `plot`.

        Args:
            ax: where to plot; None makes a new figure.

        Returns:
            A display, with `ax_` and `figure_`.

        Raises:
            PromptlabError: matplotlib is not installed.
        """
        from promptlab.scoring.plots import Point, intervals

        def points(evaluations: Iterable[Evaluation | None], chosen: Prompt) -> list[Point]:
            seen = [one for one in evaluations if one]
            return [Point(one.primary, one.primary_interval, one.prompt == chosen) for one in seen]

        first = self.history[0].parents[0]
        stages = {"first": points([first.validation], self.first)}
        for step in self.history:
            new = (one.validation for one in step.candidates)
            stages[f"iteration {step.number}"] = points(new, step.best.prompt)
        stages["finalists"] = points((one.validation for one in self.finalists), self.best)
        stages["test"] = points((self.test_first, self.test), self.best)
        return intervals(f"{self.task}, 95% intervals", self.test.primary_name, stages, ax)

    @property
    def _found(self) -> str:
        """Say in a sentence what was found."""
        if self.best == self.first:
            return "no better prompt was found: the first is still the best"
        return self.comparison.headline

    def _repr_html_(self) -> str:
        name, chosen = self.test.primary_name, self.finalists[0]
        rows = [("", "prompt", "proposed by", f"{name} on validation", f"{name} on test (95% interval)")]
        first = self.history[0].parents[0]
        for stage, one, test in (
            ("first", first, self.test_first),
            *((f"iteration {step.number}", step.best, None) for step in self.history),
            ("best", chosen, self.test),
        ):
            figure = f"{one.validation.primary:.3f} (n = {one.answered})" if one.validation else "-"
            tested = test.primary_interval.around(test.primary) if test else ""
            rows.append((stage, one.prompt.id, one.proposer, figure, tested))
        return notebook.block(f"{self.task}: {self._found}.", *rows)

    def __repr__(self) -> str:
        """Say in a few lines what was found, for an interpreter or a failed assertion."""
        tried = sum(len(step.candidates) for step in self.history)
        first, best = self.test_first, self.test
        return (
            f"<Run {self.task}: {self._found}\n"
            f"  {best.primary_name} on test {first.primary:.3f} -> {best.primary:.3f} (n = {best.examples})\n"
            f"  {first.subject} -> {best.subject}, proposed by {self.finalists[0].proposer}\n"
            f"  iterations: {len(self.history)}, new prompts: {tried}, calls: {self.usage.calls:,}>"
        )
