"""Lines for a terminal: an iteration as it ends, the table of a run, an evaluation.

Each function returns plain text, so that it can be read without a terminal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from promptlab.records import Evaluation, Iteration, Run, Tally

HEAD = ("prompt", "minibatch", "validation", "verdict", "calls", "tokens in", "tokens out", "seconds")
ALIGNED = "<>><>>>>"


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
    """Yield the table of a run, prompt by prompt, and what test says of the first and the best.

    Args:
        run: the finished run.
        seconds: how long each iteration took this time, by its number; under 0, the whole run.
    """
    rows = [HEAD, *_rows(run, seconds)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    for row in rows:
        cells = zip(ALIGNED, row, widths, strict=True)
        yield "  ".join(f"{cell:{side}{width}}" for side, cell, width in cells).rstrip()
    yield ""
    yield from (f"iteration {step.number}: {step.verdict}" for step in run.history)
    first, best = run.test_first.macro_f1, run.test.macro_f1
    yield f"test macro F1 (n = {run.test.scores.n}): first prompt {first:.3f}, best prompt {best:.3f}"
    if run.best == run.first:
        yield "the critic found no better prompt: the best is the first"
    else:
        yield "the best prompt was selected on validation, so its figure there is optimistic"
    yield from (f"note: {notice}" for notice in run.notices)


def evaluation(result: Evaluation) -> Iterator[str]:
    """Yield the figures of an evaluation, label by label."""
    scores = result.scores
    yield (
        f"prompt {result.prompt.id} on {result.split} (n = {scores.n}): macro F1 {scores.macro_f1:.3f}, "
        f"accuracy {scores.accuracy:.3f}, {scores.unlabelled} without a label"
    )
    for one in scores.labels:
        figures = f"precision {one.precision:.3f}, recall {one.recall:.3f}, F1 {one.f1:.3f}"
        yield f"  {one.label}: {figures}, support {one.support}"


def provenance(header: Mapping[str, Any]) -> str:
    """Say who answered the recorded calls, where and when."""
    if not header:
        return "not recorded"
    servers = " and ".join(header["server"])
    return f"recorded {header['recorded']} from {', '.join(header['answered_by'])} at {servers}"


def _rows(run: Run, seconds: Mapping[int, float]) -> Iterator[tuple[str, ...]]:
    first = run.history[0].parent
    yield (f"0 {run.first.id}", _f1(first.minibatch), _f1(first.validation), "first", "", "", "", "")
    for step in run.history:
        new = step.candidate
        f1 = (_f1(new.minibatch), _f1(new.validation)) if new else ("-", "-")
        name = f"{step.number} {new.prompt.id}" if new else f"{step.number} -"
        yield (name, *f1, _fate(step), *_cells(step.spent), f"{seconds[step.number]:.1f}")
    yield ("all, with test", "", "", "", *_cells(run.spent), f"{seconds[0]:.1f}")


def _fate(step: Iteration) -> str:
    return "accepted" if step.accepted else "rejected" if step.candidate else "no proposal"


def _cells(spent: Tally) -> tuple[str, str, str]:
    return str(spent.calls), f"{spent.input_tokens:,}", f"{spent.output_tokens:,}"


def _f1(result: Evaluation | None) -> str:
    return f"{result.macro_f1:.3f}" if result else "-"
