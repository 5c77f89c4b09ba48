"""What is counted, and what an assertion about it says when it fails."""

from __future__ import annotations

from dataclasses import dataclass

from promptlab.errors import PromptlabError
from promptlab.records import Example, Prediction


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
class Shown:
    """Whether something is shown, true or false as a condition, and why."""

    so: bool
    why: str

    def __bool__(self) -> bool:
        """Whether it is shown."""
        return self.so

    def __repr__(self) -> str:
        """Explain a failed assertion."""
        return f"<{'shown' if self.so else 'not shown'}: {self.why}>"


@dataclass(frozen=True)
class Canonical:
    """The answers about the canonical examples: clear-cut, so that none may be wrong."""

    rows: tuple[Prediction, ...]

    @property
    def all_correct(self) -> Shown:
        """Whether each is right; a failed assertion names those that are not."""
        wrong = [row for row in self.rows if not row.correct]
        each = "; ".join(f"{row.example.id} is {row.example.label}, answered {row.answer}" for row in wrong)
        return Shown(not wrong, each or f"all {len(self.rows)} canonical examples are right")

    def __getitem__(self, example: Example | str) -> Prediction:
        """Return the answer about an example, by itself or by its id."""
        name = example if isinstance(example, str) else example.id
        for row in self.rows:
            if row.example.id == name:
                return row
        raise PromptlabError(
            f"{name!r} is no canonical example, only {', '.join(r.example.id for r in self.rows)}"
        )
