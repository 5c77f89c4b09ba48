"""The examples that an optimization was recorded on, kept beside its recording.

With other examples it would be another run: a project whose data grow keeps the replay of the old one.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from promptlab.cassettes.format import EXAMPLES
from promptlab.data.task import Task
from promptlab.errors import RecordingError
from promptlab.records import Example
from promptlab.secrets import screened

DROPPED = ("source", "overlay", "form")  # what says nothing about an example
SHOWN = 10  # ids that are named


def save(recording: Path, task: Task) -> None:
    """Write the task's examples beside a recording, each with its split."""
    home = {example.id: split for split, examples in task.splits.items() for example in examples}
    rows = [asdict(e) | {"split": home[e.id]} for e in task.examples]
    kept = [{k: v for k, v in row.items() if k not in DROPPED and v} for row in rows]
    text = "".join(json.dumps(screened(row), ensure_ascii=False) + "\n" for row in kept)
    recording.with_suffix(EXAMPLES).write_text(text, encoding="utf-8", newline="\n")


def as_recorded(recording: Path, task: Task) -> Task:
    """Return the task with the examples beside a recording; the same task where these are no others."""
    snapshot = recording.with_suffix(EXAMPLES)
    if not snapshot.exists():
        return task
    recorded = replace(task, examples=tuple(_examples(snapshot)))
    return task if _identity(recorded) == _identity(task) else recorded


def _identity(task: Task) -> tuple[str, list[list[str]]]:
    return task.data_hash, [[example.id for example in split] for split in task.splits.values()]


def relabelled(recorded: Task, task: Task) -> list[tuple[Example, Example]]:
    """Return the examples that have another label now than in a recording, each as it was and as it is."""
    known = {(one.id, one.text): one for one in recorded.examples}
    both = ((known.get((one.id, one.text)), one) for one in task.examples)
    return [(was, now) for was, now in both if was and was.label != now.label]


def moves(recorded: Task, task: Task) -> str:
    """Say how many examples are new or gone, or have another text, since a recording; "" where none are."""
    was, now = ({(one.id, one.text) for one in of.examples} for of in (recorded, task))
    counts = {"new": len(now - was), "gone": len(was - now)}
    return ", ".join(f"{count} {what}" for what, count in counts.items() if count)


def _examples(snapshot: Path) -> Iterator[Example]:
    lines = snapshot.read_bytes().decode(errors="replace").rstrip("\n").split("\n")  # U+2028 ends none
    for number, line in enumerate(lines, start=1):
        try:
            yield Example(**{"label": ""} | json.loads(line))
        except (ValueError, TypeError) as error:
            raise RecordingError(
                f"{snapshot}, line {number}: no example ({error}). Restore the file from a commit, or record "
                f"the optimization again with pytest --live"
            ) from error


def moved(recordings: Path, task: Task) -> str:
    """Name the examples that were in train when something in a folder was recorded and are in test now."""
    test = {example.id for example in task.splits["test"]}
    found = [
        example.id
        for snapshot in sorted(recordings.glob(f"*{EXAMPLES}"))
        for example in _examples(snapshot)
        if example.split == "train" and example.id in test
    ]
    if not (ids := sorted(set(found))):
        return ""
    shown = ", ".join(ids[:SHOWN]) + (", ..." if len(ids) > SHOWN else "")
    return (
        f"{len(ids)} examples were in train when an optimization was recorded and are in test now, so its "
        f"prompts may know them: {shown}; promptlab split writes the split into the data, where it stays"
    )
