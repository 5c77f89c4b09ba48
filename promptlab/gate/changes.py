"""What else differs between two commits that a comparison of prompts should not be blamed for, or hide."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterator
from pathlib import Path

from promptlab.data.readers import rows_of
from promptlab.data.task import Task
from promptlab.errors import DataError
from promptlab.gate.git import Commit

SHOWN = 5  # ids that are named
MOST = 20  # differences in code that are named


def data(task: Task, base: Commit) -> Iterator[str]:
    """Say, file by file, which of the task's examples are new or changed, and how many are gone."""
    for name in dict.fromkeys(example.source.rpartition(", row ")[0] for example in task.examples):
        path = Path(name)
        if not path.is_file() or base.inside(path) not in base.changed:
            continue
        try:
            old = [repr(row) for _, row in rows_of(base.take(path))]
        except DataError as error:
            yield f"data: {base.inside(path)} cannot be compared with that of {base.name}: {error}"
            continue
        rows = {where: repr(row) for where, row in rows_of(path)}
        known = set(old)
        new = [example.id for example in task.examples if rows.get(example.source) not in known]
        gone = len(known - set(rows.values()))
        gone_rows = f"{gone} row{'s' if gone != 1 else ''} of {base.name} changed or gone"
        yield f"data: {base.inside(path)}: {_count(new)} new or changed, {gone_rows}"


def code(base: Commit) -> Iterator[str]:
    """Say which assertions, tasks and functions differ in the Python files that use promptlab."""
    told = [note for name in base.changed if name.endswith(".py") for note in _in_file(base, name)]
    yield from told[:MOST]
    if len(told) > MOST:
        yield f"and {len(told) - MOST} more in Python files"


def _in_file(base: Commit, name: str) -> Iterator[str]:
    old, new = (_parsed(one) for one in (base.take(base.top / name), base.top / name))
    if not any(tree and _uses_promptlab(tree) for tree in (old, new)):
        return
    if old and new:
        yield from (f"{what} in {name}" for what in _differences(old, new))
    else:
        yield f"{name}: {'new' if new else 'gone'}, or no Python on one side"


def _uses_promptlab(tree: ast.Module) -> bool:
    imports = [one for one in ast.walk(tree) if isinstance(one, ast.Import | ast.ImportFrom)]
    return any("promptlab" in ast.unparse(one) for one in imports)


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
    """Yield what became of each, beside what it resembles; the rest is gone or added."""
    for before in old:
        close = difflib.get_close_matches(before, new, n=1, cutoff=0.6)
        yield f"{what}: {before} -> {close[0] if close else 'gone'}"
        new = [one for one in new if one not in close]
    yield from (f"{what} added: {one}" for one in new)


def _settings(tree: ast.Module) -> dict[str, str]:
    """Return what `Task(...)` is given, but for its examples."""
    calls = [
        one for one in ast.walk(tree) if isinstance(one, ast.Call) and ast.unparse(one.func).endswith("Task")
    ]
    return {one.arg: ast.unparse(one.value) for call in calls for one in call.keywords if one.arg}


def _functions(tree: ast.Module) -> dict[str, str]:
    """Return the functions that are no tests: extractors among them."""
    found = [one for one in tree.body if isinstance(one, ast.FunctionDef) and not one.name.startswith("test")]
    return {one.name: ast.unparse(one) for one in found}


def _parsed(path: Path) -> ast.Module | None:
    try:
        return ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None


def _count(ids: list[str]) -> str:
    shown = ", ".join(ids[:SHOWN]) + (", ..." if len(ids) > SHOWN else "")
    return f"{len(ids)} example{'s' if len(ids) != 1 else ''}{f' ({shown})' if ids else ''}"
