"""The nouns: what the loop passes from step to step, frozen.

Nothing here computes a metric, reads a file or knows the API.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from promptlab.errors import PromptlabError
from promptlab.intervals import Intervals, intervals

if TYPE_CHECKING:
    import pandas

#: Why a prediction has no label.
Missing = Literal["no label", "outside the set", "refused", "truncated", "empty"]


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled text.

    Attributes:
        id: unique in its task; a hash of the text unless the data names one.
        note: why the label holds, for the critic; "" when nobody wrote one.
        canonical: clear-cut; always in the train split.
        group: examples of one group fall into one split; None stands for a group of its own.
        source: file and row it was read from, for error messages; not part of its identity.
    """

    id: str
    text: str
    label: str
    note: str = ""
    canonical: bool = False
    group: str | None = None
    source: str = field(default="", compare=False)


@dataclass(frozen=True)
class Prompt:
    """What is said around a text: system prompt, user turn before and after it, start of the reply."""

    system: str = ""
    prefix: str = ""
    suffix: str = ""
    reply_prefix: str = ""

    @cached_property
    def id(self) -> str:
        """Eight hexadecimal digits that name this text in tables and file names."""
        parts = "\0".join((self.system, self.prefix, self.suffix, self.reply_prefix))
        return hashlib.blake2b(parts.encode(), digest_size=4).hexdigest()

    def __len__(self) -> int:
        """Count the characters of all parts."""
        return len(self.system) + len(self.prefix) + len(self.suffix) + len(self.reply_prefix)


@dataclass(frozen=True)
class Model:
    """A model and how it is asked.

    Attributes:
        name: as the API knows it, for example "claude-haiku-5-5".
        max_tokens: longest reply, in tokens, thinking included.
        base_url: server to ask; None is the SDK's own (ANTHROPIC_BASE_URL, then api.anthropic.com).
        effort: "low" to "max"; None leaves the model's default.
        thinking: the API's `thinking` object; None leaves the model's default.
        extra_body: further fields of the request, for example {"temperature": 0} for llama.cpp.
    """

    name: str
    max_tokens: int = 1024
    base_url: str | None = None
    effort: str | None = None
    thinking: Mapping[str, Any] | None = None
    extra_body: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """One call: the model, the system prompt and the turns as (role, text) pairs."""

    model: Model
    system: str
    messages: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model answered.

    Attributes:
        text: the text blocks joined; thinking is not part of it.
        stop_reason: as the API gives it: "end_turn", "max_tokens", "refusal", ...
        blocks: the types of all blocks, in order.
        model: as the reply names it.
        input_tokens: tokens read, cached ones included.
        output_tokens: tokens written, thinking included.
    """

    text: str
    stop_reason: str
    blocks: tuple[str, ...]
    model: str
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True)
class Prediction:
    """The classifier's answer about one example; `missing` says why `label` is None."""

    example: Example
    reply: Reply
    label: str | None
    missing: Missing | None = None

    @property
    def correct(self) -> bool:
        """Whether the label is the example's; no label is never right."""
        return self.label == self.example.label


@dataclass(frozen=True)
class LabelScores:
    """Precision, recall and F1 of one label (shares of 0 to 1) and its support (examples)."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Scores:
    """What was counted over n predictions.

    Attributes:
        labels: one LabelScores per label, in the task's order.
        macro_f1: unweighted mean of the labels' F1, a share of 0 to 1.
        accuracy: share of predictions that are right.
        unlabelled: number of predictions with no label; each counts as wrong.
        confusion: a row per gold label, a column per predicted label and a last one for none.
    """

    n: int
    labels: tuple[LabelScores, ...]
    macro_f1: float
    accuracy: float
    unlabelled: int
    confusion: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, repr=False)
class Evaluation:
    """A prompt's answers about the examples of one split, and their scores.

    Attributes:
        rows: one Prediction per example, in the order the examples were given.
        positive: the label whose F1 is `f1`; None where the task names none.
    """

    task: str
    split: str
    prompt: Prompt
    rows: tuple[Prediction, ...]
    scores: Scores
    positive: str | None = None

    @property
    def macro_f1(self) -> float:
        """Unweighted mean of the labels' F1, a share of 0 to 1."""
        return self.scores.macro_f1

    @property
    def f1(self) -> float:
        """F1 of the task's positive label; PromptlabError where the task names none."""
        for one in self.scores.labels:
            if one.label == self.positive:
                return one.f1
        raise PromptlabError(
            f"task {self.task!r} names no positive label, so it has no single F1: "
            f"use macro_f1, or say Task(..., positive=...)"
        )

    @property
    def accuracy(self) -> float:
        """Share of predictions that are right."""
        return self.scores.accuracy

    @property
    def without_label(self) -> float:
        """Share of predictions with no label, 0 to 1."""
        return self.scores.unlabelled / self.scores.n

    @property
    def intervals(self) -> Intervals:
        """The 95% confidence intervals of the figures, as far as chance in drawing examples goes."""
        return intervals(self.scores.confusion)

    @property
    def mistakes(self) -> tuple[Prediction, ...]:
        """The predictions that are not right, in order."""
        return tuple(row for row in self.rows if not row.correct)

    @property
    def predictions(self) -> pandas.DataFrame:
        """A row per example: id, text, gold, label (None: no label), missing, correct, reply."""
        import pandas

        return pandas.DataFrame(
            {
                "id": [row.example.id for row in self.rows],
                "text": [row.example.text for row in self.rows],
                "gold": [row.example.label for row in self.rows],
                "label": pandas.Series([row.label for row in self.rows], dtype=object),
                "missing": pandas.Series([row.missing for row in self.rows], dtype=object),
                "correct": [row.correct for row in self.rows],
                "reply": [row.reply.text for row in self.rows],
            }
        )

    def __repr__(self) -> str:
        """Say what a failed assertion needs: figures, then the ids that are wrong."""
        wrong = [row.example.id for row in self.mistakes]
        shown = "".join(f" {one}" for one in wrong[:8]) + (" ..." if len(wrong) > 8 else "")
        return (
            f"<Evaluation {self.task}/{self.split} prompt {self.prompt.id}: macro F1 {self.macro_f1:.3f} "
            f"(95% interval {self.intervals.macro_f1}), "
            f"{len(wrong)} of {self.scores.n} wrong, {self.scores.unlabelled} without a label{':' if wrong else ''}{shown}>"
        )


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


@dataclass(frozen=True, slots=True)
class Tally:
    """What was asked: distinct requests, tokens read (cached ones included) and tokens written."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def __add__(self, other: Tally) -> Tally:
        """Add up."""
        return Tally(
            self.calls + other.calls,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
        )

    def __sub__(self, other: Tally) -> Tally:
        """Take what was asked before off what was asked in all."""
        return self + Tally(-other.calls, -other.input_tokens, -other.output_tokens)


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
