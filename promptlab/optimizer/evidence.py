"""What the critic is told: the prompt, how it did, what it got wrong and right, what was tried.

Texts and replies stand in JSON, one object a line, so that nothing they say can pass for the frame
around them. What the critic answers is read in critique.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from promptlab.data.sampling import draw
from promptlab.data.task import Task
from promptlab.optimizer.history import Iteration
from promptlab.records import Model, Prediction, Prompt, Request
from promptlab.scoring.evaluation import Evaluation

NO_LABEL = "no label"  # how the critic reads and writes a missing label
REWRITTEN = ("system", "prefix", "suffix")  # the start of the reply stays as its author wrote it
TRIED = 3  # earlier proposals that are shown, the latest

SYSTEM = """\
You improve the prompt of a text classifier. A smaller model gets the prompt and one text, and answers. \
You see where it was wrong, say what in the prompt led it there, and rewrite the prompt."""


def evidence(
    task: Task,
    seen: Evaluation,
    history: Sequence[Iteration],
    model: Model,
    mistakes: int,
    correct: int,
    seed: int,
) -> Request:
    """Lay out the evidence: the prompt, how it did, what it got wrong and right, what was tried.

    At most `mistakes` wrong and `correct` right answers of each label are shown.
    """
    turn = len(history) + 1

    def some(rows: Iterable[Prediction], per_label: int) -> list[Prediction]:
        by_id = {row.example.id: row for row in rows}
        examples = [row.example for row in by_id.values()]
        drawn = draw(examples, task.labels, per_label=per_label, seed=seed, iteration=turn)
        return [by_id[example.id] for example in drawn]

    wrong = some(seen.mistakes, mistakes)
    right = some((row for row in seen.rows if row.correct), correct)
    parts = {
        "What the classifier must decide": task.brief.strip(),
        "The prompt": _written(seen.prompt),
        "How it did": _counts(task, seen),
        "Mistakes": _by_direction(wrong) or "(none)",
        "Correct answers": _by_direction(right) or "(none)",
        "Tried before": "\n\n".join(_tried(past) for past in history[-TRIED:]) or "(nothing)",
    }
    text = "\n\n".join(f"# {title}\n\n{body}" for title, body in parts.items())
    return Request(model, SYSTEM, (("user", text),))


def _by_direction(rows: Sequence[Prediction]) -> str:
    """Show predictions under headings of gold and answered label, in the order they come up."""
    groups: dict[str, list[str]] = {}
    for row in rows:
        heading = f"## gold {row.example.label!r}, answered {answered(row)!r}"
        groups.setdefault(heading, []).append(_shown(row))
    return "\n\n".join("\n".join([heading, *shown]) for heading, shown in groups.items())


def _shown(row: Prediction) -> str:
    fields = {"id": row.example.id, "text": row.example.text, "gold": row.example.label}
    fields |= {"answered": answered(row), "reply": row.reply.text}
    if row.example.note:
        fields["note"] = row.example.note
    return json.dumps(fields, ensure_ascii=False)


def answered(row: Prediction) -> str:
    """Name what a prediction says, as the critic reads it: a label, or why there is none."""
    return row.label or (NO_LABEL if row.missing in (None, "absent") else row.missing)


def _written(prompt: Prompt) -> str:
    """Show the parts as they are: in JSON, their line ends would come back as backslashes."""
    return "\n\n".join(f"### {part}\n{getattr(prompt, part).strip()}" for part in REWRITTEN)


def _counts(task: Task, seen: Evaluation) -> str:
    columns = (*task.labels, NO_LABEL)
    lines = [
        f"gold {label}: " + ", ".join(f"{n} answered {c}" for n, c in zip(row, columns, strict=True))
        for label, row in zip(task.labels, seen.scores.confusion, strict=True)
    ]
    return "\n".join([f"macro F1 {seen.macro_f1:.3f} on {seen.scores.n} texts", *lines])


def _tried(past: Iteration) -> str:
    title = f"## Iteration {past.number}: {past.verdict}"
    return f"{title}\n\n{_written(past.candidate.prompt)}" if past.candidate else title
