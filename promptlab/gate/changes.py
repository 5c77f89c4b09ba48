"""What else differs from the base: a change of data or code may explain a difference, or hide one."""

import ast
import difflib
from collections.abc import Iterator
from pathlib import Path

from promptlab.data.readers import rows_of
from promptlab.data.task import Task
from promptlab.errors import DataError
from promptlab.gate.git import BaseError, Commit

SHOWN = 5  # ids that are named
MOST = 20  # differences in code that are named


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
    """Say which assertions, tasks and functions differ in the Python files that use promptlab."""
    found = [note for name in base.changed if name.endswith(".py") for note in _in_file(base, name)]
    yield from found[:MOST]
    if len(found) > MOST:
        yield f"and {len(found) - MOST} more in Python files"


def _in_file(base: Commit, name: str) -> Iterator[str]:
    old, new = (_parsed(one) for one in (base.extract(base.top / name), base.top / name))
    nodes = [node for tree in (old, new) if tree for node in ast.walk(tree)]
    imports = (node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom))
    if not any("promptlab" in ast.unparse(node) for node in imports):
        return
    if old and new:
        yield from (f"{what} in {name}" for what in _differences(old, new))
    else:
        yield f"{name}: {'new' if new else 'gone'}, or not valid Python on one side"


def _differences(old: ast.Module, new: ast.Module) -> Iterator[str]:
    asserts = [
        [ast.unparse(one) for one in ast.walk(tree) if isinstance(one, ast.Assert)] for tree in (old, new)
    ]
    yield from _pairs("threshold", *([one for one in a if one not in b] for a, b in (asserts, asserts[::-1])))
    settings = [_settings(tree) for tree in (old, new)]
    for key in sorted(settings[0].keys() | settings[1].keys()):
        before, after = (found.get(key) for found in settings)
        if before != after:
            what = "extractor" if key == "extract" else key
            yield f"{what}: {before or 'nothing'} -> {after or 'nothing'}"
    functions = [_functions(tree) for tree in (old, new)]
    for key in sorted(functions[0].keys() | functions[1].keys()):
        if functions[0].get(key) != functions[1].get(key):
            yield f"function {key}"


def _pairs(what: str, old: list[str], new: list[str]) -> Iterator[str]:
    """Pair each with the one it resembles most; the others are gone or added."""
    for before in old:
        close = difflib.get_close_matches(before, new, n=1, cutoff=0.6)
        yield f"{what}: {before} -> {close[0] if close else 'gone'}"
        new = [one for one in new if one not in close]
    yield from (f"{what} added: {one}" for one in new)


def _settings(tree: ast.Module) -> dict[str, str]:
    """Return the arguments of `Task(...)` other than its examples."""
    calls = [one for one in ast.walk(tree) if isinstance(one, ast.Call)]
    tasks = [call for call in calls if ast.unparse(call.func).endswith("Task")]
    return {one.arg: ast.unparse(one.value) for call in tasks for one in call.keywords if one.arg}


def _functions(tree: ast.Module) -> dict[str, str]:
    """Return the functions that are no tests: extractors among them."""
    found = [one for one in tree.body if isinstance(one, ast.FunctionDef) and not one.name.startswith("test")]
    return {one.name: ast.unparse(one) for one in found}


def _parsed(path: Path) -> ast.Module | None:
    try:
        return ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None
