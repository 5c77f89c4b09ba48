"""What else differs from the base: a change of data or code may explain a difference, or hide one."""

from collections.abc import Iterator
from pathlib import Path

from promptlab.data.readers import rows_of
from promptlab.data.task import Task
from promptlab.errors import DataError
from promptlab.gate.git import BaseError, Commit

SHOWN = 5  # ids that are named
MOST = 20  # files that are named


def since(base: Commit, task: Task) -> Iterator[str]:
    """Say what differs in the task's data, and in the code that may use them."""
    yield from data(task, base)
    yield from code(base)


def data(task: Task, base: Commit) -> Iterator[str]:
    """Say, file by file, which of the task's examples are new or changed, and how many are gone.

    Of an overlay, its corrections are the rows.
    """
    for path in task.files:
        try:
            if base.inside(path) in base.changed:
                yield _rows(task, base, path)
        except BaseError:
            yield f"data: {path} lies outside the repository, so its changes cannot be seen"


def _rows(task: Task, base: Commit, path: Path) -> str:
    inside = base.inside(path)
    try:
        there = base.extract(path)
        old = {repr(row) for _, row in rows_of(there)} if there.exists() else set()
    except DataError as error:
        return f"data: {inside} cannot be compared with that of {base.name}: {error}"
    mine = dict(rows_of(path))
    rows = {source: repr(row) for source, row in mine.items()}
    ids = {example.source: example.id for example in task.examples}
    new = [
        ids.get(source) or str(mine[source].get("id") or f"row {source.row}")
        for source, row in rows.items()
        if row not in old
    ]
    gone = len(old - set(rows.values()))
    shown = f" ({', '.join(new[:SHOWN])}{', ...' if len(new) > SHOWN else ''})" if new else ""
    count = f"{len(new)} example{'s' if len(new) != 1 else ''}{shown} new or changed"
    return f"data: {inside}: {count}, {gone} row{'s' if gone != 1 else ''} of {base.name} changed or gone"


def code(base: Commit) -> Iterator[str]:
    """Name the changed Python files that use promptlab, or did: tests, tasks, extractors."""
    found = [name for name in base.changed if name.endswith(".py") and _uses_promptlab(base, name)]
    if found:
        more = f" and {len(found) - MOST} more" if len(found) > MOST else ""
        yield f"code that uses promptlab: {', '.join(found[:MOST])}{more}"


def _uses_promptlab(base: Commit, name: str) -> bool:
    sides = (base.extract(base.top / name), base.top / name)
    return any(path.is_file() and b"promptlab" in path.read_bytes() for path in sides)
