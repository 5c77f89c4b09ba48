"""The pictures of a page: figures with their intervals on one axis, and how dark a cell of a matrix is."""

from collections.abc import Sequence
from typing import NamedTuple

from promptlab.optimizer.history import Candidate, Run
from promptlab.scoring.comparison import Comparison
from promptlab.scoring.evaluation import Evaluation

EDGE = 2.0  # percent of the width that stays free on both sides, for the dots
DARKEST = 60  # percent of the colour in a cell that holds all of its row: text stays readable on it


class Mark(NamedTuple):
    """A row of the picture: a prompt's figure with its 95% interval, and what became of it."""

    name: str
    detail: str
    result: Evaluation | None
    kind: str = ""  # "best", "first" or "" for the style


class Panel(NamedTuple):
    """A part of the picture with a reference line: `groups` are its rows under their headings."""

    title: str
    groups: tuple[tuple[str, tuple[Mark, ...]], ...]
    reference: float | None = None

    @property
    def metric(self) -> str:
        """The name of the figures."""
        results = (mark.result for _, marks in self.groups for mark in marks)
        return next((one.primary_name for one in results if one), "")


class Axis:
    """The axis of every picture: all of 0 to 1, so that no difference looks larger than it is."""

    ticks = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)

    @staticmethod
    def at(value: float) -> str:
        """Return where a value is, in percent of the width."""
        return f"{EDGE + (100 - 2 * EDGE) * value:.2f}%"


def of_run(run: Run, baselines: Sequence[Evaluation]) -> tuple[Panel, ...]:
    """Return validation, iteration by iteration, and test apart from it."""
    start = run.history[0].parents[0]
    groups: list[tuple[str, tuple[Mark, ...]]] = [("", (_candidate(start, "first"),))]
    groups += [
        (f"Iteration {step.number}", tuple(map(_candidate, step.candidates)))
        for step in run.history
        if step.candidates
    ]
    chosen = ((one, "best" if one.prompt == run.best else "") for one in run.finalists)
    groups.append(("Finalists, on all of validation", tuple(_candidate(*one) for one in chosen)))
    first = Mark(run.test_first.subject, "where the run started", run.test_first, "first")
    best = Mark(run.test.subject, "chosen on validation", run.test, "best")
    tested = [first] if run.best == run.first else [first, best]
    tested += [Mark(one.subject, "without a model", one) for one in baselines]
    return (
        Panel("Test: held out, looked at once", (("", tuple(tested)),), run.test_first.primary),
        Panel("Validation: where prompts were chosen", tuple(groups)),
    )


def _candidate(one: Candidate, kind: str = "") -> Mark:
    result = one.validation or one.minibatch
    name = result.subject if result else f"prompt {one.prompt.id}"
    outcome = "selected, so its figure here is optimistic" if kind == "best" else one.left or "kept"
    proposer = "" if one.proposer == "first" else f"{one.proposer}: "
    return Mark(name, f"{proposer}{outcome}", one.validation, kind)


def of_evaluation(result: Evaluation, baselines: Sequence[Evaluation]) -> tuple[Panel, ...]:
    """Return its figure beside those without a model."""
    others = (Mark(one.subject, "without a model", one) for one in baselines)
    return (Panel(result.split.capitalize(), (("", (Mark(result.subject, "", result, "best"), *others)),)),)


def of_comparison(found: Comparison) -> tuple[Panel, ...]:
    """Return the figures of the base and of the new prompt."""
    marks = (
        Mark(found.base.subject, "base", found.base, "first"),
        Mark(found.new.subject, "new", found.new, "best"),
    )
    return (Panel(found.new.split.capitalize(), (("", marks),), found.base.primary),)


def heat(row: Sequence[int], column: int) -> int:
    """Return how dark a cell of a confusion matrix is, in percent: by its share of the row."""
    return round(DARKEST * row[column] / max(1, sum(row)))
