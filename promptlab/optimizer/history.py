"""What happened in an optimization, iteration by iteration, and its result."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from promptlab.records import Prompt, Usage
from promptlab.scoring.comparison import Comparison, compare
from promptlab.scoring.evaluation import Evaluation


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


@dataclass(frozen=True)
class Candidate:
    """A prompt and its scores; validation is None where it did not get that far."""

    prompt: Prompt
    minibatch: Evaluation
    validation: Evaluation | None = None


@dataclass(frozen=True)
class Iteration:
    """One iteration of the loop.

    Attributes:
        number: from 1.
        parent: the prompt that was criticized, scored on minibatch and validation.
        critique: None where there was nothing to criticize, or no usable answer.
        candidate: the rewrite, scored as far as it got; None where there was no proposal.
        verdict: in words, why the candidate was accepted or not.
        usage: the calls made for the first time in this iteration.
    """

    number: int
    parent: Candidate
    critique: Critique | None
    candidate: Candidate | None
    accepted: bool
    verdict: str
    usage: Usage

    @property
    def best(self) -> Candidate:
        """The prompt to continue with."""
        return self.candidate if self.accepted and self.candidate else self.parent


@dataclass(frozen=True)
class Run:
    """A finished optimization.

    Attributes:
        task: its name.
        history: one Iteration each, in order.
        first: the prompt the run started from.
        best: the prompt with the best validation score; selected on it, so that score is optimistic.
        test_first: the first prompt on the test split.
        test: the best prompt on the test split.
        usage: all calls that were made.
        data_hash: names the examples, as Task.data_hash.
        counts: how many examples of each label each split has.
        notices: what to know before trusting the figures, a sentence each.
    """

    task: str
    history: tuple[Iteration, ...]
    first: Prompt
    best: Prompt
    test_first: Evaluation
    test: Evaluation
    usage: Usage
    data_hash: str
    counts: Mapping[str, Mapping[str, int]]
    notices: tuple[str, ...] = ()

    @cached_property
    def comparison(self) -> Comparison:
        """The best prompt against the first, on test."""
        return compare(self.test_first, self.test)

    @property
    def evaluations(self) -> Iterator[Evaluation]:
        """Every evaluation of the run, in the order in which they were made."""
        for step in self.history:
            for one in (step.parent, step.candidate):
                if one:
                    yield from filter(None, (one.minibatch, one.validation))
        yield from (self.test_first, self.test)
