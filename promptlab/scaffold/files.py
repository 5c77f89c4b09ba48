"""The files of a new task: what can be told from the data is filled in, the rest is marked with TODO."""

import json
import keyword
import os
import re
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from promptlab.data.readers import rows_of
from promptlab.data.task import Task
from promptlab.errors import DataError, shorten
from promptlab.gate import git
from promptlab.models.prompts import first, save_prompt
from promptlab.records import Example

TEMPLATES = Path(__file__).with_name("templates")
WORKFLOWS = ("prompts.yml", "prompts-gate.yml")
MOST_LABELS = 50  # distinct values; with more, a column is hardly one of labels
READERS = {
    ".csv": "read_csv",
    ".tsv": "read_tsv",
    ".jsonl": "read_jsonl",
    ".ndjson": "read_jsonl",
    ".parquet": "read_parquet",
}


def create(root: Path, name: str, data: Path, *, text: str = "", label: str = "label") -> Iterator[Path]:
    """Write a task, its data card, test and first prompt into the folder `name`, and workflows.

    Args:
        root: the project's folder.
        name: of the task and its folder; letters, digits and "_".
        data: the file of the examples; it stays where it is. One that lies outside the repository is copied
            into the folder, since the gate reads what git has.
        text: its column of texts; "" takes `text`, or the column with the longest values.
        label: its column of labels.

    Yields:
        The files that were written.

    Raises:
        DataError: the data cannot be used, or a file is there already; nothing was written.
    """
    _check(name, data)
    folder, workflows = root / name, root / ".github/workflows"
    targets = {
        folder / "task.py": "task.py.txt",
        folder / f"test_{name}.py": "test.py.txt",
        folder / "README.md": "card.md",
        folder / ".gitignore": "gitignore.txt",
    }
    copy = folder / data.name if outside(root, data) else None
    if taken := [path for path in (*targets, folder / "prompt", copy) if path and path.exists()]:
        raise DataError(
            f"{taken[0]} is there already; nothing was written. Choose another name, or move it away"
        )
    values, labels = _values(name, data, text, label)
    values["DATA"] = _quoted(Path(os.path.relpath(copy or data, folder)).as_posix())
    brief = f"Decide which label a text has: {', '.join(labels)}."
    examples = tuple(Example(str(n), f"text {n}", one) for n, one in enumerate(labels))
    prompt = first(Task(name=name, examples=examples, labels=labels, brief=brief))
    targets |= {path: path.name for one in WORKFLOWS if not (path := workflows / one).exists()}
    targets |= {} if (path := root / ".gitattributes").exists() else {path: "gitattributes.txt"}
    for path, template in targets.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(fill(template, values | {"BRIEF": _quoted(brief)}), encoding="utf-8", newline="\n")
        yield path
    (folder / "__init__.py").touch()
    yield folder / "__init__.py"
    save_prompt(prompt, folder / "prompt")
    yield folder / "prompt"
    if copy:
        shutil.copyfile(data, copy)
        yield copy


def _check(name: str, data: Path) -> None:
    if not name.isidentifier() or keyword.iskeyword(name) or name in sys.stdlib_module_names:
        raise DataError(
            f"name {name!r}: expected letters, digits and '_', and no name of Python's own, since the folder "
            f"is a package"
        )
    if data.suffix not in READERS:
        raise DataError(f"{data}: expected a file that ends in one of {', '.join(READERS)}")


def outside(root: Path, data: Path) -> bool:
    """Say whether a file lies outside the repository of a folder; without git, outside the folder."""
    try:
        top = git.top_of(root)
    except git.BaseError:
        top = root.resolve()
    return not data.resolve().is_relative_to(top)


def _values(name: str, data: Path, text: str, label: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return what can be told from the data, for the templates, and the labels, the most frequent first."""
    rows = [row for _, row in rows_of(data)]
    if not rows:
        raise DataError(f"{data}: holds no examples")
    counts = _labels(data, rows, label)
    text = text or _text_column(rows, label)
    columns = {"text": text, "label": label}
    return {
        "NAME": name,
        "READ": READERS[data.suffix],
        "COLUMNS": "".join(f", {key}={_quoted(value)}" for key, value in columns.items() if key != value),
        "LABELS": f"({', '.join(map(_quoted, counts))})",
        "COUNT": f"{len(rows):,}",
        "SHARES": ", ".join(f"{n:,} `{one}`" for one, n in counts.items()),
        "TEXT": text,
        "LABEL": label,
        "INSTALL": "pytest-promptlab pytest-xdist",
    }, tuple(counts)


def _quoted(text: str) -> str:
    """Write a text as Python does, in double quotes."""
    return json.dumps(text, ensure_ascii=False)


def fill(template: str, values: Mapping[str, str]) -> str:
    """Return a template with each @NAME@ replaced by the value of that name."""
    text = (TEMPLATES / template).read_text(encoding="utf-8")
    return re.sub(r"@([A-Z]+)@", lambda found: values[found[1]], text)


def _text_column(rows: list[Mapping[str, Any]], label: str) -> str:
    """Return the column `text`, or the one with the longest values."""
    if "text" in rows[0]:
        return "text"
    length = {
        column: sum(len(value) for row in rows if isinstance(value := row.get(column), str))
        for column in rows[0]
        if column != label
    }
    if not any(length.values()):
        raise DataError(f"no column of texts among {', '.join(map(repr, rows[0]))}: name it with --text")
    return max(length, key=length.__getitem__)


def _labels(data: Path, rows: list[Mapping[str, Any]], label: str) -> dict[str, int]:
    """Count the labels, the most frequent first."""
    if label not in rows[0]:
        raise DataError(
            f"{data}: no column {label!r}, only {', '.join(map(repr, rows[0]))}: name it with --label"
        )
    found = Counter("" if (one := row.get(label)) is None else str(one) for row in rows)
    if not 2 <= len(found) <= MOST_LABELS:
        raise DataError(
            f"{data}: column {label!r} has {len(found)} distinct values, such as "
            f"{shorten(sorted(found)[:5])}: expected 2 to {MOST_LABELS} labels. Name the right column with "
            f"--label; for a graded task, write Task(score=...) yourself"
        )
    return {one: found[one] for one in sorted(found, key=lambda one: (-found[one], one))}
