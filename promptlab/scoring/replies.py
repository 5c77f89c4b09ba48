"""Replies that people have already, scored without a call: a column, another tool's log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from promptlab.data.task import Task
from promptlab.errors import DataError, shorten
from promptlab.records import Example, Prediction, Reply
from promptlab.scoring.evaluation import Evaluation, evaluation_of, predict

if TYPE_CHECKING:
    import pandas

SHOWN = 5  # ids that a sentence names


def score(
    task: Task,
    replies: pandas.DataFrame | Iterable[Mapping[str, Any]],
    *,
    split: str = "test",
    name: str = "given replies",
) -> Evaluation:
    """Read and score replies that are known; no call is made.

    Args:
        task: the task, with its examples.
        replies: a DataFrame or rows with `id` or `text`, which name the example, `reply`, and where known
            `stop_reason`, as the API gives it. Several rows about an example are its repeats. Rows about
            other splits are left out.
        split: "train", "validation" or "test".
        name: who answered, for tables.

    Returns:
        An Evaluation without a prompt, which compares with any other and is never "unchanged".

    Raises:
        DataError: a row names no example or has no reply, or an example of the split has too few replies.
    """
    rows = replies if isinstance(replies, Iterable) and not hasattr(replies, "to_dict") else _records(replies)
    known = {example.id: example for example in task.examples}
    known |= {example.text: example for example in task.examples}
    found: dict[str, list[Prediction]] = {example.id: [] for example in task.split(split)}
    for number, row in enumerate(rows, start=1):
        example, reply = _read(number, row, known)
        if example.id in found:
            some = found[example.id]
            some.append(predict(task, example, reply, repeat=len(some)))
    most = max(map(len, found.values()))
    if short := [one for one, some in found.items() if len(some) < max(1, most)]:
        named = ", ".join(short[:SHOWN]) + (", ..." if len(short) > SHOWN else "")
        raise DataError(
            f"task {task.name!r}: {len(short)} examples of {split} have no reply, or fewer than the {most} "
            f"that others have: {named}"
        )
    predictions = [row for some in found.values() for row in some]
    return evaluation_of(task, split, None, predictions, answered_by=name)


def _records(frame: Any) -> list[dict[str, Any]]:
    clean = frame.astype(object).where(frame.notna(), None)
    rows: list[dict[str, Any]] = clean.to_dict("records")
    return rows


def _read(number: int, row: Mapping[str, Any], known: Mapping[str, Example]) -> tuple[Example, Reply]:
    name = row.get("id") if row.get("id") is not None else row.get("text")
    example = known.get(str(name))
    if example is None:
        raise DataError(
            f"reply {number}: {shorten(name)} is neither the id nor the text of an example; expected rows "
            f"with 'id' or 'text', and 'reply'"
        )
    text = row.get("reply")
    if not isinstance(text, str):
        raise DataError(f"reply {number}, example {example.id!r}: reply is {shorten(text)}, expected text")
    return example, Reply(text, str(row.get("stop_reason") or "end_turn"), ("text",), "", 0, 0)
