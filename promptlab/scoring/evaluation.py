"""An evaluation: a prompt's predictions on one split, and the figures counted from them.

Precision, recall, F1, macro F1 and support are scikit-learn's. A prediction without a label counts as
wrong for its true label and as a prediction of no other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from promptlab.data.task import Task
from promptlab.errors import DataError, ExtractorError, PromptlabError
from promptlab.labels.extract import read_label
from promptlab.records import REASONS, Example, Metric, Missing, Model, Prediction, Prompt, Reply
from promptlab.scoring.weights import Answers, Interval, Intervals, Row, Unit, difference, intervals

if TYPE_CHECKING:
    import pandas

MARGIN = 0.05  # how much of the primary metric may be lost unless someone says otherwise
NONE = "\0no label"  # None in scikit-learn's columns; no label can hold a NUL


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
    """Figures counted over n predictions; shares of 0 to 1."""

    n: int
    labels: tuple[LabelScores, ...]  # in the task's order
    macro_f1: float  # unweighted mean of the labels' F1
    accuracy: float
    confusion: tuple[
        tuple[int, ...], ...
    ]  # a row per true label, a column per predicted one, the last for none


@dataclass(frozen=True, repr=False)
class Check:
    """A condition with its reason, so that a failed assertion explains itself."""

    passed: bool
    reason: str

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        return f"<{'passed' if self.passed else 'failed'}: {self.reason}>"


@dataclass(frozen=True)
class Canonical:
    """The canonical examples, of which none may be wrong: of each, the answer that the majority gave."""

    rows: tuple[Prediction, ...]

    @property
    def all_correct(self) -> Check:
        """Whether each is right; a failed assertion names those that are not."""
        wrong = [row for row in self.rows if not row.correct]
        each = "; ".join(f"{row.example.id} is {row.example.label}, answered {row.answer}" for row in wrong)
        return Check(not wrong, each or f"all {len(self.rows)} canonical examples are right")

    def __getitem__(self, example: Example | str) -> Prediction:
        """Return the prediction for an example, given by itself or by its id."""
        name = example if isinstance(example, str) else example.id
        for row in self.rows:
            if row.example.id == name:
                return row
        raise PromptlabError(
            f"{name!r} is not a canonical example, expected {', '.join(r.example.id for r in self.rows)}"
        )


@dataclass(frozen=True, repr=False)
class Evaluation:
    """A prompt's predictions for the examples of one split, and their scores.

    Attributes:
        rows: one Prediction per example and repeat, in the order the examples were given; all shares and
            figures are those of all of them.
        positive: the label whose F1 is `f1`; None where the task names none.
        metric: the task's primary metric, by which prompts are judged.
        classifier: the model that answered; None if not known.
        canonical_rows: the predictions for the task's canonical examples, whatever the split; they are
            part of the scores only where the split holds them. Live, each is asked three times.
    """

    task: str
    split: str
    prompt: Prompt
    rows: tuple[Prediction, ...]
    scores: Scores
    positive: str | None = None
    metric: Metric = "macro_f1"
    classifier: Model | None = None
    canonical_rows: tuple[Prediction, ...] = ()

    @property
    def examples(self) -> int:
        """How many examples there are."""
        return len({row.example.id for row in self.rows})

    @property
    def repeats(self) -> int:
        """How often each example was asked."""
        return self.scores.n // self.examples

    @property
    def size(self) -> str:
        """Both, for people: "n = 154", or "n = 154, each asked 3 times"."""
        asked = f", each asked {self.repeats} times" if self.repeats > 1 else ""
        return f"n = {self.examples}{asked}"

    @property
    def labels(self) -> tuple[str, ...]:
        """The task's labels, in its order."""
        return tuple(one.label for one in self.scores.labels)

    @property
    def primary(self) -> float:
        """The figure by which prompts are judged, a share of 0 to 1."""
        figure: float = getattr(self, self.metric)
        return figure

    @property
    def primary_name(self) -> str:
        """The display name of the primary metric."""
        names = {"macro_f1": "macro F1", "accuracy": "accuracy", "f1": f"F1 of {self.positive}"}
        return names[self.metric]

    @property
    def primary_interval(self) -> Interval:
        """The 95% interval of the primary metric."""
        if self.metric == "f1" and self.positive:
            return self.intervals.labels[self.labels.index(self.positive)].f1
        return self.intervals.accuracy if self.metric == "accuracy" else self.intervals.macro_f1

    def no_worse_than(self, base: Evaluation, margin: float = MARGIN) -> Check:
        """Say whether the data show that the primary metric is less than `margin` below the base's.

        True only if non-inferiority is shown: the one-sided lower 95% bound of the difference is
        above -margin. False may mean "worse" as well as "too few examples".

        Args:
            base: another prompt's predictions for the same examples.
            margin: how much may be lost, a share of 0 to 1, fixed before looking.
        """
        if not 0 <= margin < 1:
            raise DataError(f"margin is {margin!r}, expected a share of 0 to 1, such as 0.05")
        claim = f"no worse than prompt {base.prompt.id} by {margin:g}"
        if self.asks_as(base):
            return Check(True, f"{claim}: prompt, model and texts are the same")
        found = difference(answers_of(base, self))
        change = f"{self.primary_name} {base.primary:.3f} -> {self.primary:.3f}"
        worst = f"at worst it changed by {found.low:+.3f} (5% risk), and the limit is {-margin:g}"
        return Check(found.low > -margin, f"{claim}: {change}; {worst}")

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
            f"use macro_f1, or set Task(..., positive=...)"
        )

    @property
    def accuracy(self) -> float:
        """Share of predictions that are right."""
        return self.scores.accuracy

    @property
    def without_label(self) -> float:
        """Share of predictions with no label, 0 to 1."""
        return sum(row.label is None for row in self.rows) / self.scores.n

    @property
    def missing(self) -> dict[Missing, float]:
        """Share of predictions with no label, 0 to 1, by reason; every reason is a key."""
        found = Counter(row.missing for row in self.rows)
        return {reason: found[reason] / self.scores.n for reason in REASONS}

    @property
    def canonical(self) -> Canonical:
        """The predictions for the task's canonical examples; PromptlabError where it marks none."""
        if not self.canonical_rows:
            raise PromptlabError(
                f"task {self.task!r} has no canonical examples: mark some in the column 'canonical' of its data"
            )
        return Canonical(tuple(map(majority, by_example(self.canonical_rows).values())))

    @property
    def tokens_per_call(self) -> float:
        """Input and output tokens per call about the split, on average."""
        return sum(row.reply.input_tokens + row.reply.output_tokens for row in self.rows) / self.scores.n

    @property
    def intervals(self) -> Intervals:
        """The 95% confidence intervals of the figures: what drawing other examples could change."""
        return intervals(answers_of(self))

    @property
    def mistakes(self) -> tuple[Prediction, ...]:
        """The predictions that are not right, in order."""
        return tuple(row for row in self.rows if not row.correct)

    @property
    def predictions(self) -> pandas.DataFrame:
        """A row per answer: id, text, gold, label (None: no label), missing, correct, reply, repeat."""
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
                "repeat": [row.repeat for row in self.rows],
            }
        )

    def __repr__(self) -> str:
        """Show what a failed assertion needs: figures, then the ids that are wrong."""
        wrong = [row.example.id for row in self.mistakes]
        shown = "".join(f" {one}" for one in wrong[:8]) + (" ..." if len(wrong) > 8 else "")
        return (
            f"<Evaluation {self.task}/{self.split} prompt {self.prompt.id}: macro F1 {self.macro_f1:.3f} "
            f"(95% interval {self.intervals.macro_f1}), {len(wrong)} of {self.scores.n} wrong, "
            f"{sum(row.label is None for row in self.rows)} without a label{':' if wrong else ''}{shown}>"
        )


def predict(
    task: Task, example: Example, reply: Reply, reply_prefix: str = "", repeat: int = 0
) -> Prediction:
    """Read the label of a reply, or the reason why there is none; ExtractorError names the example."""
    if reply.stop_reason == "refusal":
        return Prediction(example, reply, None, "refused", repeat)
    cut_off = reply.stop_reason in ("max_tokens", "model_context_window_exceeded")
    if not reply.text.strip():
        return Prediction(example, reply, None, "truncated" if cut_off else "empty", repeat)
    # Some servers repeat the start of the reply that they were given, others leave it out.
    repeated = reply.text.startswith(reply_prefix)
    text = reply.text if repeated else reply_prefix + reply.text
    try:
        label, missing = read_label(task.extract, task.labels, text, cut_off=cut_off)
    except ExtractorError as error:
        raise ExtractorError(f"task {task.name!r}, example {example.id!r}: {error}") from error
    return Prediction(example, reply, label, missing, repeat)


def evaluation_of(
    task: Task, split: str, prompt: Prompt, rows: Sequence[Prediction], classifier: Model | None = None
) -> Evaluation:
    """Score a prompt's predictions for the examples of one split."""
    scores = score(rows, task.labels)
    judged_by = (task.positive, task.metric)
    return Evaluation(task.name, split, prompt, tuple(rows), scores, *judged_by, classifier)


def score(rows: Sequence[Prediction], labels: Sequence[str]) -> Scores:
    """Count what was right, label by label; a ratio with nothing to divide by is 0.0."""
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    gold = [row.example.label for row in rows]
    predicted = [row.label or NONE for row in rows]
    figures = precision_recall_fscore_support(gold, predicted, labels=list(labels), zero_division=0)
    by_label = tuple(
        LabelScores(label, float(p), float(r), float(f), int(n))
        for label, p, r, f, n in zip(labels, *figures, strict=True)
    )
    counts = confusion_matrix(gold, predicted, labels=[*labels, NONE])[:-1]
    return Scores(
        n=len(rows),
        labels=by_label,
        macro_f1=sum(one.f1 for one in by_label) / len(by_label),
        accuracy=sum(row.correct for row in rows) / len(rows),
        confusion=tuple(tuple(int(n) for n in line) for line in counts),
    )


def by_example(rows: Iterable[Prediction]) -> dict[str, tuple[Prediction, ...]]:
    """Put the predictions for each example together, by its id, in order."""
    found: dict[str, list[Prediction]] = {}
    for row in rows:
        found.setdefault(row.example.id, []).append(row)
    return {name: tuple(some) for name, some in found.items()}


def majority(rows: Sequence[Prediction]) -> Prediction:
    """Return the first prediction that is right, if more than half of them are, else the first wrong one."""
    right = 2 * sum(row.correct for row in rows) > len(rows)
    return next(row for row in rows if row.correct == right)


def in_order(base: Evaluation, new: Evaluation) -> Evaluation:
    """Return `base` with its rows in the order of new's; DataError where the examples or labels differ."""
    known, asked = by_example(base.rows), by_example(new.rows)
    where = f"task {new.task!r}"
    if alone := sorted(known.keys() ^ asked.keys()):
        shown = ", ".join(alone[:5]) + (", ..." if len(alone) > 5 else "")
        raise DataError(
            f"{where}: {len(alone)} examples are in one of the two evaluations only: {shown}. "
            f"Evaluate both prompts on the same split of the same data"
        )
    for name, rows in asked.items():
        before, now = known[name][0].example.label, rows[0].example.label
        if before != now:
            raise DataError(
                f"{where}: example {name!r} is {before!r} in one evaluation and {now!r} in the "
                f"other. Evaluate both prompts on the same data"
            )
    return replace(base, rows=tuple(row for name in asked for row in known[name]))


def answers_of(*evaluations: Evaluation) -> Answers:
    """Count what one prompt answered, or a base and a new one, in units of examples that share a group.

    Labels, metric and groups are those of the last.
    """
    last = evaluations[-1]
    numbers: dict[str | None, int] = {label: number for number, label in enumerate(last.labels)}

    def shares(rows: Sequence[Prediction]) -> tuple[tuple[int, float], ...]:
        said = Counter(numbers.get(row.label, len(last.labels)) for row in rows)
        return tuple((answer, count / len(rows)) for answer, count in sorted(said.items()))

    sides = [by_example(one.rows) for one in (*(in_order(one, last) for one in evaluations[:-1]), last)]
    groups: dict[tuple[bool, str], list[Row]] = {}
    for name, rows in sides[-1].items():
        example = rows[0].example
        row = Row(numbers[example.label], tuple(shares(side[name]) for side in sides))
        groups.setdefault((example.group is None, example.group or name), []).append(row)
    units: Counter[Unit] = Counter(tuple(sorted(rows)) for rows in groups.values())
    return Answers(tuple(sorted(units.items())), len(last.labels), last.metric, numbers.get(last.positive))
