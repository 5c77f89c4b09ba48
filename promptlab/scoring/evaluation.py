"""What came of a prompt on one split: its predictions, their scores, and how far chance goes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from promptlab.errors import DataError, PromptlabError
from promptlab.records import REASONS, Metric, Missing, Model, Prediction, Prompt
from promptlab.scoring.intervals import Interval, Intervals, intervals
from promptlab.scoring.paired import Table, difference
from promptlab.scoring.scores import Canonical, Scores, Shown

if TYPE_CHECKING:
    import pandas

MARGIN = 0.05  # how much of the primary metric may be lost unless someone says otherwise


@dataclass(frozen=True, repr=False)
class Evaluation:
    """A prompt's answers about the examples of one split, and their scores.

    Attributes:
        rows: one Prediction per example, in the order the examples were given.
        positive: the label whose F1 is `f1`; None where the task names none.
        metric: the task's primary metric, the one that prompts are judged by.
        classifier: who answered; None where that is not known.
        clear_cut: the Predictions of the task's canonical examples, whatever the split; no part of the
            scores unless the split holds them.
    """

    task: str
    split: str
    prompt: Prompt
    rows: tuple[Prediction, ...]
    scores: Scores
    positive: str | None = None
    metric: Metric = "macro_f1"
    classifier: Model | None = None
    clear_cut: tuple[Prediction, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """The task's labels, in its order."""
        return tuple(one.label for one in self.scores.labels)

    @property
    def primary(self) -> float:
        """The figure that prompts are judged by, a share of 0 to 1."""
        figure: float = getattr(self, self.metric)
        return figure

    @property
    def primary_name(self) -> str:
        """The primary metric as people read it."""
        names = {"macro_f1": "macro F1", "accuracy": "accuracy", "f1": f"F1 of {self.positive}"}
        return names[self.metric]

    @property
    def primary_interval(self) -> Interval:
        """The 95% interval of the primary metric."""
        if self.metric == "f1" and self.positive:
            return self.intervals.labels[self.labels.index(self.positive)].f1
        return self.intervals.accuracy if self.metric == "accuracy" else self.intervals.macro_f1

    def no_worse_than(self, base: Evaluation, margin: float = MARGIN) -> Shown:
        """Say whether the primary metric is shown not to lie `margin` or more below that of a base.

        True only where non-inferiority is shown: the lower 95% bound of the difference, one-sided, lies
        above -margin. False may mean "worse" as well as "too few examples".

        Args:
            base: another prompt's answers about the same examples.
            margin: how much may be lost, a share of 0 to 1, fixed before looking.
        """
        if not 0 <= margin < 1:
            raise DataError(f"margin is {margin!r}, expected a share of 0 to 1, such as 0.05")
        claim = f"no worse than prompt {base.prompt.id} by {margin:g}"
        if self.asks_as(base):
            return Shown(True, f"{claim}: prompt, model and texts are the same")
        found = difference(paired_table(base, self))
        name = self.primary_name if found.bootstrap else "accuracy"
        change = f"{self.primary_name} {base.primary:.3f} -> {self.primary:.3f}"
        worst = f"at worst the {name} changed by {found.low:+.3f} (5% risk), and the limit is {-margin:g}"
        return Shown(found.low > -margin, f"{claim}: {change}; {worst}")

    def asks_as(self, other: Evaluation) -> bool:
        """Whether no request differs: the same prompt, texts, model and parameters; servers may differ."""
        texts = [{row.example.id: row.example.text for row in one.rows} for one in (self, other)]
        models = [one.classifier and replace(one.classifier, base_url=None) for one in (self, other)]
        return self.prompt == other.prompt and texts[0] == texts[1] and models[0] == models[1]

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
    def canonical(self) -> Canonical:
        """The answers about the task's canonical examples; PromptlabError where it marks none."""
        if not self.clear_cut:
            raise PromptlabError(
                f"task {self.task!r} has no canonical examples: mark some in the column 'canonical' of its data"
            )
        return Canonical(self.clear_cut)

    @property
    def tokens_per_call(self) -> float:
        """Tokens read and written for each example of the split, on average."""
        return sum(row.reply.input_tokens + row.reply.output_tokens for row in self.rows) / self.scores.n

    @property
    def missing(self) -> dict[Missing, float]:
        """Share of predictions without a label, 0 to 1, by the reason; all reasons are there."""
        found = Counter(row.missing for row in self.rows)
        return {reason: found[reason] / self.scores.n for reason in REASONS}

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


def in_order(base: Evaluation, new: Evaluation) -> Evaluation:
    """Return `base` with its rows in the order of new's.

    Raises:
        DataError: the two are not about the same examples, or these have other labels.
    """
    known = {row.example.id: row for row in base.rows}
    ids = [row.example.id for row in new.rows]
    where = f"task {new.task!r}"
    if alone := sorted(known.keys() ^ set(ids)):
        shown = ", ".join(alone[:5]) + (", ..." if len(alone) > 5 else "")
        raise DataError(
            f"{where}: {len(alone)} examples are in one of the two evaluations only: {shown}. "
            f"Evaluate both prompts on the same split of the same data"
        )
    for row in new.rows:
        before, now = known[row.example.id].example.label, row.example.label
        if before != now:
            raise DataError(
                f"{where}: example {row.example.id!r} is {before!r} in one evaluation and {now!r} in the "
                f"other. Evaluate both prompts on the same data"
            )
    return replace(base, rows=tuple(known[one] for one in ids))


def paired_table(base: Evaluation, new: Evaluation) -> Table:
    """Count what two prompts answered about the same examples; by new's labels and metric."""
    numbers: dict[str | None, int] = {label: number for number, label in enumerate(new.labels)}
    none = len(numbers)
    pairs = zip(in_order(base, new).rows, new.rows, strict=True)
    cells = Counter(
        (numbers[b.example.label], numbers.get(a.label, none), numbers.get(b.label, none)) for a, b in pairs
    )
    counted = tuple(sorted((*cell, count) for cell, count in cells.items()))
    return Table(counted, len(new.labels), new.metric, numbers.get(new.positive))
