"""What happened in an optimization, turn by turn, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from promptlab.records import Prompt, Tally
from promptlab.scoring.comparison import Comparison, compare
from promptlab.scoring.evaluation import Evaluation


@dataclass(frozen=True)
class Claim:
    """One statement of the critic: these examples of label `gold` were answered `predicted`, and why."""

    ids: tuple[str, ...]
    gold: str
    predicted: str
    why: str


@dataclass(frozen=True)
class Critique:
    """What the critic said is wrong with a prompt.

    Attributes:
        text: the critic's answer, whole.
        claims: the claims that the predictions bear out.
        dropped: (line of the answer, why it is false) of every other claim.
    """

    text: str
    claims: tuple[Claim, ...]
    dropped: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Trial:
    """A prompt and its scores; validation is None where it did not get that far."""

    prompt: Prompt
    minibatch: Evaluation
    validation: Evaluation | None = None


@dataclass(frozen=True)
class Iteration:
    """One turn of the loop.

    Attributes:
        number: from 1.
        parent: the prompt that was criticized, scored on minibatch and validation.
        critique: None where the critic said nothing that is so.
        candidate: the rewrite, scored as far as it got; None where there was no proposal.
        verdict: in words, why the candidate was accepted or not.
        spent: what was asked for the first time in this turn.
    """

    number: int
    parent: Trial
    critique: Critique | None
    candidate: Trial | None
    accepted: bool
    verdict: str
    spent: Tally

    @property
    def best(self) -> Trial:
        """The prompt to go on with."""
        return self.candidate if self.accepted and self.candidate else self.parent


@dataclass(frozen=True)
class Run:
    """A finished optimization.

    Attributes:
        task: its name.
        history: one Iteration per turn, in order.
        first: the prompt the run started from.
        best: the prompt with the best validation score; selected on it, so that score is optimistic.
        test_first: the first prompt on the test split.
        test: the best prompt on the test split.
        spent: what was asked in all.
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
    spent: Tally
    data_hash: str
    counts: Mapping[str, Mapping[str, int]]
    notices: tuple[str, ...] = ()

    @cached_property
    def comparison(self) -> Comparison:
        """The best prompt against the first, on test."""
        return compare(self.test_first, self.test)
