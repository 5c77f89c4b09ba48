"""The examples that an optimization was recorded on, kept beside its recording.

With other examples it would be another run: a project whose data grow keeps the replay of the old one.
"""

import json
from dataclasses import asdict, replace
from pathlib import Path

from promptlab.cassettes.format import EXAMPLES
from promptlab.data import readers
from promptlab.data.task import Task


def save(recording: Path, task: Task) -> None:
    """Write the task's examples beside a recording."""
    rows = [{k: v for k, v in asdict(e).items() if k != "source" and v} for e in task.examples]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    recording.with_suffix(EXAMPLES).write_text(text, encoding="utf-8", newline="\n")


def as_recorded(recording: Path, task: Task) -> Task:
    """Return the task with the examples beside a recording; the same task where there are none."""
    snapshot = recording.with_suffix(EXAMPLES)
    return replace(task, examples=readers.read_jsonl(snapshot)) if snapshot.exists() else task
