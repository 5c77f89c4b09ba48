"""An evaluation: a prompt's predictions on one split, and the figures counted from them.

Precision, recall, F1, macro F1 and support are scikit-learn's. A prediction without a label counts as
wrong for its true label and as a prediction of no other; in a graded task, it scores 0.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from promptlab.data.task import Task
from promptlab.errors import DataError, ExtractorError, PromptlabError
from promptlab.models.spending import Spent, spent
from promptlab.records import REASONS, Example, Metric, Model, Prediction, Prompt, Reply, metric_name, shown
from promptlab.scoring import notebook
from promptlab.scoring.weights import Answers, Interval, Intervals, Row, Unit, difference, intervals

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes

    from promptlab.scoring.plots import Display

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
    """Figures counted over n predictions; shares of 0 to 1. A graded task has no labels.

    Attributes:
        labels: in the task's order.
        macro_f1: the unweighted mean of the labels' F1; 0.0 of a graded task.
        accuracy: share of predictions that are right.
        score: the mean score; of a classification task the accuracy.
        confusion: a row per true label, a column per predicted one, the last for none.
    """

    n: int
    labels: tuple[LabelScores, ...]
    macro_f1: float
    accuracy: float
    score: float
    confusion: tuple[tuple[int, ...], ...]


class Figure(NamedTuple):
    """A figure of an evaluation as people read it: a share of 0 to 1 with its 95% interval."""

    key: str  # the attribute of the Evaluation
    name: str
    value: float
    interval: Interval

    def __str__(self) -> str:
        return f"{self.name} {self.value:.3f} ({self.interval})"


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
        each = "; ".join(
            f"{row.example.id} is {shown(row.example.label)}, answered {row.answer}" for row in wrong
        )
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
        prompt: None where the replies were not asked for here.
        answered_by: who answered, where there is no prompt.
        classifier: the model that answered; None if not known.
        canonical_rows: the predictions for the task's canonical examples, whatever the split; they are
            part of the scores only where the split holds them. Live, each is asked three times.
        name: what people call the prompt: its folder, or the iteration that it is from; "" where it has no
            name.
    """

    task: str
    split: str
    prompt: Prompt | None
    rows: tuple[Prediction, ...]
    scores: Scores
    positive: str | None = None
    metric: Metric = "macro_f1"
    classifier: Model | None = None
    canonical_rows: tuple[Prediction, ...] = ()
    answered_by: str = ""
    name: str = field(default="", compare=False)

    @property
    def subject(self) -> str:
        """What is evaluated, for people: "eight (1f3a0c5d)", or who answered without a prompt."""
        if self.prompt is None:
            return self.answered_by
        return f"{self.name} ({self.prompt.id})" if self.name else f"prompt {self.prompt.id}"

    @property
    def asked_with(self) -> Prompt:
        """The prompt; PromptlabError where there is none."""
        if self.prompt is None:
            raise PromptlabError(f"task {self.task!r}: {self.answered_by} has no prompt")
        return self.prompt

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
        return metric_name(self.metric, self.positive)

    @property
    def primary_interval(self) -> Interval:
        """The 95% interval of the primary metric."""
        if self.metric == "f1" and self.positive:
            return self.intervals.labels[self.labels.index(self.positive)].f1
        return next(one.interval for one in self.figures if one.key == self.metric)

    @property
    def figures(self) -> tuple[Figure, ...]:
        """The figures over all labels, in the order in which tables show them."""
        off = self.intervals
        missing = Figure("without_label", "without a label", self.without_label, off.without_label)
        if not self.labels:
            whole = Figure("accuracy", "fully right", self.accuracy, off.accuracy)
            return (
                Figure("score", "mean score", self.score, off.score),
                whole,
                missing._replace(name="unreadable"),
            )
        macro = Figure("macro_f1", "macro F1", self.macro_f1, off.macro_f1)
        return macro, Figure("accuracy", "accuracy", self.accuracy, off.accuracy), missing

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
        claim = f"no worse than {base.subject} by {margin:g}"
        if self.asks_as(base) and same_scores(base, self):
            return Check(True, f"{claim}: prompt, model and texts are the same")
        found = difference(answers_of(base, self))
        change = f"{self.primary_name} {base.primary:.3f} -> {self.primary:.3f}"
        worst = f"at worst it changed by {found.low:+.3f} (5% risk), and the limit is {-margin:g}"
        return Check(found.low > -margin, f"{claim}: {change}; {worst}")

    def asks_as(self, other: Evaluation) -> bool:
        """Whether no request differs: the same prompt, texts, model and parameters; servers may differ.

        Never where one of the two has no prompt.
        """
        if self.prompt is None:
            return False
        texts = [{row.example.id: row.example.text for row in one.rows} for one in (self, other)]
        models = [one.classifier and replace(one.classifier, base_url=None) for one in (self, other)]
        return self.prompt == other.prompt and texts[0] == texts[1] and models[0] == models[1]

    @property
    def macro_f1(self) -> float:
        """Unweighted mean of the labels' F1, a share of 0 to 1; PromptlabError of a graded task."""
        if not self.labels:
            raise PromptlabError(f"task {self.task!r} is graded, so it has no macro F1: use score")
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
        """Share of predictions that are right; of a graded task, that score 1."""
        return self.scores.accuracy

    @property
    def score(self) -> float:
        """Mean score, 0 to 1; of a classification task the accuracy."""
        return self.scores.score

    @property
    def without_label(self) -> float:
        """Share of predictions with no label, 0 to 1."""
        return sum(row.missing is not None for row in self.rows) / self.scores.n

    @property
    def missing(self) -> dict[str, float]:
        """Share of predictions with no label, 0 to 1, by reason; every one of REASONS is a key."""
        found = Counter(row.missing for row in self.rows if row.missing)
        return {
            reason: found[reason] / self.scores.n
            for reason in (*REASONS, *sorted(found.keys() - set(REASONS)))
        }

    @property
    def undisputed(self) -> Evaluation | None:
        """The same without the examples whose label is disputed; None where there are none, or no others."""
        rows = tuple(row for row in self.rows if not row.example.disputed)
        if not 0 < len(rows) < len(self.rows):
            return None
        return replace(self, rows=rows, scores=score(rows, self.labels))

    @property
    def canonical(self) -> Canonical:
        """The predictions for the task's canonical examples; PromptlabError where it marks none."""
        if not self.canonical_rows:
            raise PromptlabError(
                f"task {self.task!r} has no canonical examples: mark some in the column 'canonical' "
                f"of its data"
            )
        return Canonical(tuple(map(majority, by_example(self.canonical_rows).values())))

    @property
    def tokens_per_call(self) -> float:
        """Input and output tokens per call about the split, on average."""
        return sum(row.reply.input_tokens + row.reply.output_tokens for row in self.rows) / self.scores.n

    @property
    def spent(self) -> tuple[Spent, ...]:
        """What its calls took; nothing where the model is not known."""
        if self.classifier is None:
            return ()
        replies = {id(row.reply): row.reply for row in (*self.rows, *self.canonical_rows)}
        return (spent("classifier", self.classifier, [*replies.values()]),)

    @cached_property
    def intervals(self) -> Intervals:
        """The 95% confidence intervals of the figures: what drawing other examples could change."""
        if self.labels:
            return intervals(answers_of(self))
        score, right, missing = (
            intervals(_mean_of(value, self)).accuracy
            for value in (lambda row: row.score, lambda row: row.correct, lambda row: row.missing is not None)
        )
        return Intervals(macro_f1=score, accuracy=right, score=score, without_label=missing, labels=())

    @property
    def mistakes(self) -> tuple[Prediction, ...]:
        """The predictions that are not right, in order."""
        return tuple(row for row in self.rows if not row.correct)

    @property
    def predictions(self) -> pandas.DataFrame:
        """A row per answer: id, text, gold, label (or None), missing, correct, score, reply, repeat."""
        import pandas

        return pandas.DataFrame(
            {
                "id": [row.example.id for row in self.rows],
                "text": [row.example.text for row in self.rows],
                "gold": [row.example.label for row in self.rows],
                "label": pandas.Series([row.label for row in self.rows], dtype=object),
                "missing": pandas.Series([row.missing for row in self.rows], dtype=object),
                "correct": [row.correct for row in self.rows],
                "score": [row.score for row in self.rows],
                "reply": [row.reply.text for row in self.rows],
                "repeat": [row.repeat for row in self.rows],
            }
        )

    @property
    def confusion(self) -> pandas.DataFrame:
        """The confusion matrix: a row per true label, a column per predicted one, the last for no label.

        PromptlabError of a graded task.
        """
        import pandas

        if not self.labels:
            raise PromptlabError(
                f"task {self.task!r} is graded, so it has no confusion matrix: use predictions"
            )
        gold = pandas.Index(self.labels, name="true")
        predicted = pandas.Index((*self.labels, "(no label)"), name="predicted")
        return pandas.DataFrame(self.scores.confusion, index=gold, columns=predicted)

    def plot(self, ax: Axes | None = None) -> Display:
        """Plot the confusion matrix as a heat map, on these axes or a new figure; needs the extra `plot`.

        Returns:
            A display, with `ax_` and `figure_`.

        Raises:
            PromptlabError: matplotlib is not installed, or the task is graded.
        """
        from promptlab.scoring import plots

        return plots.heatmap(f"{self.task}: {self.subject} on {self.split}", self.confusion, ax)

    def _repr_html_(self) -> str:
        figures = "; ".join(map(str, self.figures))
        rows = [("", "precision", "recall", "F1", "examples")]
        for one, ends in zip(self.scores.labels, self.intervals.labels, strict=True):
            cells = (f"{one.precision:.3f}", f"{one.recall:.3f}", ends.f1.around(one.f1))
            rows.append((one.label, *cells, str(one.support)))
        sentence = f"{self.task}: {self.subject} on {self.split} ({self.size}): {figures}; 95% intervals."
        return notebook.block(sentence, *(rows if self.labels else ()))

    def __repr__(self) -> str:
        """Show what a failed assertion needs: figures, then the ids that are wrong."""
        wrong = [row.example.id for row in self.mistakes]
        some = "".join(f" {one}" for one in wrong[:8]) + (" ..." if len(wrong) > 8 else "")
        first, *_, missing = self.figures
        return (
            f"<Evaluation {self.task}/{self.split} {self.subject}: {first.name} {first.value:.3f} "
            f"(95% interval {first.interval}), {len(wrong)} of {self.scores.n} wrong, "
            f"{sum(row.missing is not None for row in self.rows)} {missing.name}{':' if wrong else ''}{some}>"
        )


def predict(
    task: Task,
    example: Example,
    reply: Reply,
    prompt: Prompt = Prompt(),  # noqa: B008 - frozen
    repeat: int = 0,
) -> Prediction:
    """Read the answer in a reply to a prompt, and score it; ExtractorError names the example."""
    try:
        label, missing = task.read(reply, prompt)
        graded = 0.0 if missing else task.grade(example, label)
    except ExtractorError as error:
        raise type(error)(f"task {task.name!r}, example {example.id!r}: {error}") from error
    return Prediction(example, reply, label, missing, repeat, graded)


def evaluation_of(
    task: Task,
    split: str,
    prompt: Prompt | None,
    rows: Sequence[Prediction],
    classifier: Model | None = None,
    answered_by: str = "",
) -> Evaluation:
    """Score a prompt's predictions for the examples of one split."""
    return Evaluation(
        task=task.name,
        split=split,
        prompt=prompt,
        rows=tuple(rows),
        scores=score(rows, task.labels),
        positive=task.positive,
        metric=task.metric,
        classifier=classifier,
        answered_by=answered_by,
    )


def score(rows: Sequence[Prediction], labels: Sequence[str]) -> Scores:
    """Count what was right, label by label; a ratio with nothing to divide by is 0.0."""
    right, mean = sum(row.correct for row in rows) / len(rows), sum(row.score for row in rows) / len(rows)
    if not labels:
        return Scores(len(rows), (), 0.0, right, mean, ())
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
        accuracy=right,
        score=mean,
        confusion=tuple(tuple(int(n) for n in line) for line in counts),
    )


def by_example(rows: Iterable[Prediction]) -> dict[str, tuple[Prediction, ...]]:
    """Put the predictions for each example together, by its id, in order."""
    found: dict[str, list[Prediction]] = {}
    for row in rows:
        found.setdefault(row.example.id, []).append(row)
    return {name: tuple(some) for name, some in found.items()}


def majority(rows: Sequence[Prediction]) -> Prediction:
    """Return the first prediction with the median score, of an even number the lower one of the two."""
    middle = statistics.median_low(row.score for row in rows)
    return next(row for row in rows if row.score == middle)


def same_scores(a: Evaluation, b: Evaluation) -> bool:
    """Whether each example scores the same in both, by the majority of its answers."""
    sides = [{name: majority(rows).score for name, rows in by_example(one.rows).items()} for one in (a, b)]
    return sides[0] == sides[1]


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

    if not last.labels:
        return _mean_of(lambda row: row.score, *evaluations)
    units = _units(lambda row: numbers[str(row.example.label)], shares, *evaluations)
    return Answers(units, len(last.labels), last.metric, numbers.get(last.positive))


def _mean_of(value: Callable[[Prediction], float], *evaluations: Evaluation) -> Answers:
    """Count answers as right by a value of 0 to 1, so that their accuracy is its mean."""

    def shares(rows: Sequence[Prediction]) -> tuple[tuple[int, float], ...]:
        mean = sum(map(value, rows)) / len(rows)
        return (0, mean), (1, 1 - mean)

    return Answers(_units(lambda _: 0, shares, *evaluations), 1, "accuracy")


def _units(
    number: Callable[[Prediction], int],
    shares: Callable[[Sequence[Prediction]], tuple[tuple[int, float], ...]],
    *evaluations: Evaluation,
) -> tuple[tuple[Unit, int], ...]:
    """Put the answers to the examples of a group together, and count how often each such unit occurs."""
    last = evaluations[-1]
    sides = [by_example(one.rows) for one in (*(in_order(one, last) for one in evaluations[:-1]), last)]
    groups: dict[tuple[bool, str], list[Row]] = {}
    for name, rows in sides[-1].items():
        example = rows[0].example
        row = Row(number(rows[0]), tuple(shares(side[name]) for side in sides))
        groups.setdefault((example.group is None, example.group or name), []).append(row)
    units: Counter[Unit] = Counter(tuple(sorted(rows)) for rows in groups.values())
    return tuple(sorted(units.items()))
