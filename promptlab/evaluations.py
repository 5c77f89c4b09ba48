"""What came of a prompt on one split: its predictions, their scores, and how far chance goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from promptlab.errors import PromptlabError
from promptlab.intervals import Intervals, intervals
from promptlab.records import Prediction, Prompt

if TYPE_CHECKING:
    import pandas


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
