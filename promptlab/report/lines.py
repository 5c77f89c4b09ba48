"""Lines for a terminal: an iteration as it ends, the table of a run, an evaluation.

Each function returns plain text, so that it can be read without a terminal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from promptlab.evaluations import Evaluation
from promptlab.history import Iteration, Run, Trial
from promptlab.records import Tally


def iteration(step: Iteration, of: int) -> str:
    """Say in one line what an iteration did."""
    old, new = step.parent, step.candidate
    minibatch = f"{_f1(old.minibatch)} -> {_f1(new.minibatch if new else None)}"
    validation = f"{_f1(old.validation)} -> {_f1(new.validation if new else None)}"
    spent = f"{step.spent.calls} calls  {step.spent.input_tokens + step.spent.output_tokens:,} tokens"
    return (
        f"iteration {step.number}/{of}  minibatch F1 {minibatch}  validation F1 {validation}  "
        f"{_fate(step)}  {spent}"
    )


def run(run: Run, seconds: Mapping[int, float]) -> Iterator[str]:
    """Yield the table of a run, prompt by prompt, the examples, and what test says.

    Args:
        run: the finished run.
        seconds: how long each iteration took this time, by its number; under 0, the whole run.
    """
    yield from _aligned("<<<<>>>>", [_head(run), *_rows(run, seconds)])
    yield ""
    yield from (f"iteration {step.number}: {step.verdict}" for step in run.history)
    yield ""
    splits = ((split, *map(str, of.values())) for split, of in run.counts.items())
    yield from _aligned("<" + ">" * len(run.test.scores.labels), [("examples", *_labels(run.test)), *splits])
    for result in (run.test_first,) if run.best == run.first else (run.test_first, run.test):
        yield ""
        yield from evaluation(result)
    yield ""
    yield conclusion(run)
    yield from (f"note: {notice}" for notice in run.notices)


def conclusion(run: Run) -> str:
    """Say in a sentence what came of a run."""
    if run.best == run.first:
        return "the critic found no better prompt: the best is the first"
    first, best = run.test_first.macro_f1, run.test.macro_f1
    figures = f"macro F1 on test {first:.3f} -> {best:.3f}"
    if best <= first:
        return f"the critic did not improve the prompt: {figures}"
    if first >= run.test.intervals.macro_f1.low:
        return f"no improvement is shown: {figures}, and the first lies within the interval of the best"
    return f"the critic improved the prompt: {figures}"


def evaluation(result: Evaluation) -> Iterator[str]:
    """Yield the figures of an evaluation with their 95% intervals, label by label."""
    scores, off = result.scores, result.intervals
    yield (
        f"prompt {result.prompt.id} on {result.split} (n = {scores.n}): "
        f"macro F1 {scores.macro_f1:.3f} ({off.macro_f1}), accuracy {scores.accuracy:.3f} ({off.accuracy}), "
        f"without a label {result.without_label:.3f} ({off.without_label}), 95% intervals"
    )
    rows = [("", "precision", "recall", "F1", "support")]
    for one, ends in zip(scores.labels, off.labels, strict=True):
        figures = (
            ends.precision.around(one.precision),
            ends.recall.around(one.recall),
            ends.f1.around(one.f1),
        )
        rows.append((f"  {one.label}", *figures, str(one.support)))
    yield from _aligned("<<<<>", rows)


def provenance(header: Mapping[str, Any]) -> str:
    """Say who answered the recorded calls, where and when."""
    if not header:
        return "not recorded"
    servers = " and ".join(header["server"])
    return f"recorded {header['recorded']} from {', '.join(header['answered_by'])} at {servers}"


def _head(run: Run) -> tuple[str, ...]:
    first = run.history[0].parent
    sizes = [f" (n = {result.scores.n})" if result else "" for result in (first.minibatch, first.validation)]
    f1 = (f"minibatch{sizes[0]}", f"validation{sizes[1]}")
    return ("macro F1 of prompt", *f1, "verdict", "calls", "tokens in", "tokens out", "seconds")


def _rows(run: Run, seconds: Mapping[int, float]) -> Iterator[tuple[str, ...]]:
    yield (f"0 {run.first.id}", *_scored(run.history[0].parent, run), "first", "", "", "", "")
    for step in run.history:
        name = f"{step.number} {step.candidate.prompt.id}" if step.candidate else f"{step.number} -"
        spent = (*_cells(step.spent), f"{seconds[step.number]:.1f}")
        yield (name, *_scored(step.candidate, run), _fate(step), *spent)
    yield ("all, with test", "", "", "", *_cells(run.spent), f"{seconds[0]:.1f}")


def _scored(trial: Trial | None, run: Run) -> tuple[str, str]:
    """Show what a prompt reached, and of the chosen one that it was chosen by this very figure."""
    if trial is None or trial.validation is None:
        return _f1(trial.minibatch if trial else None), "-"
    shown = trial.validation.intervals.macro_f1.around(trial.validation.macro_f1)
    chosen = trial.prompt == run.best
    return _f1(trial.minibatch), shown + (" selected, optimistic" if chosen else "")


def _labels(result: Evaluation) -> Iterator[str]:
    return (one.label for one in result.scores.labels)


def _aligned(sides: str, rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Set rows in columns, each to its side: "<" or ">"."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(sides))]
    for row in rows:
        cells = zip(sides, row, widths, strict=True)
        yield "  ".join(f"{cell:{side}{width}}" for side, cell, width in cells).rstrip()


def _fate(step: Iteration) -> str:
    return "accepted" if step.accepted else "rejected" if step.candidate else "no proposal"


def _cells(spent: Tally) -> tuple[str, str, str]:
    return str(spent.calls), f"{spent.input_tokens:,}", f"{spent.output_tokens:,}"


def _f1(result: Evaluation | None) -> str:
    return f"{result.macro_f1:.3f}" if result else "-"


def figures(name: str, outcome: Run | Evaluation) -> dict[str, float]:
    """Name the figures of a result for JUnit."""
    if isinstance(outcome, Evaluation):
        return {
            f"{name}.macro_f1": outcome.macro_f1,
            f"{name}.accuracy": outcome.accuracy,
            f"{name}.without_label": outcome.without_label,
            f"{name}.n": outcome.scores.n,
        }
    best = outcome.history[-1].best.validation
    return {
        f"{name}.test_macro_f1": outcome.test.macro_f1,
        f"{name}.test_macro_f1_of_first": outcome.test_first.macro_f1,
        f"{name}.validation_macro_f1_selected": best.macro_f1 if best else 0.0,
        f"{name}.calls": outcome.spent.calls,
        f"{name}.input_tokens": outcome.spent.input_tokens,
        f"{name}.output_tokens": outcome.spent.output_tokens,
    }
