"""Which columns of a row make an example, and how corrections are laid over them."""

from __future__ import annotations

import difflib
import hashlib
import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypedDict

from promptlab.data.splits import SPLITS
from promptlab.errors import DataError
from promptlab.records import Example, Form, Label, Source

Row = tuple[Source, Mapping[str, Any]]  # where it was read, and its fields by column


class Columns(TypedDict, total=False):
    """The names of the columns, and what else the readers take; see `read_csv`."""

    text: str | Sequence[str]
    template: str
    label: str | Sequence[str]
    id: str | None
    note: str | None
    canonical: str | None
    group: str | Sequence[str] | None
    split: str | None
    disputed: str | None
    rename: Mapping[str, str]
    overlay: str | Path


REQUIRED = ("text", "label")
OPTIONAL = ("id", "note", "canonical", "group", "split", "disputed")
CORRECTIONS = ("id", "label", "exclude", "disputed", "reason")  # the columns of an overlay
TRUE, FALSE = (
    ("1", "1.0", "true", "yes"),
    ("", "0", "0.0", "false", "no"),
)  # pandas writes 1.0 for 1 where a cell is empty


def examples_of(
    sources: Iterable[tuple[str, Iterable[Row]]], columns: Columns, corrections: Sequence[Row]
) -> tuple[Example, ...]:
    """Build examples from the rows of several sources, given by name; see `read_csv`.

    Raises:
        DataError: for a column, a row or a correction that cannot be used.
    """
    layout = _layout(columns)
    examples: list[Example] = []
    connected: list[list[str]] = []
    for name, rows in sources:
        before = len(examples)
        for where, row in rows:
            examples.append(_example(where, row, layout))
            connected.append([one for column in layout.group if (one := _string(row.get(column)))])
        if len(examples) == before:
            raise DataError(f"{name}: holds no examples")
    if len(layout.group) > 1:
        groups = _components(connected)
        examples = [replace(one, group=group) for one, group in zip(examples, groups, strict=True)]
    return tuple(_corrected(examples, corrections, str(columns.get("overlay"))) if corrections else examples)


@dataclass(frozen=True)
class _Layout:
    """Which columns are read; those in `named` have to be there."""

    form: Form
    label: tuple[str, ...] | str
    others: Mapping[str, str | None]  # of OPTIONAL but group; None: none
    group: tuple[str, ...]
    named: Mapping[str, tuple[str, ...]]
    rename: Mapping[str, str]


def _layout(columns: Columns) -> _Layout:
    given: Mapping[str, Any] = columns
    for name in given:
        if name not in Columns.__annotations__:
            raise DataError(f"column {name!r}: expected one of {', '.join(Columns.__annotations__)}")
    text, label = _names(given.get("text", "text")), given.get("label", "label")
    template = given.get("template")
    if template is None and len(text) > 1:
        template = "\n".join(f"{name}: {{{name}}}" for name in text)
    if template is not None:
        used = {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}
        if used != set(text):
            raise DataError(
                f"template {template!r} fills in {', '.join(map(repr, sorted(used))) or 'nothing'}, "
                f"expected {{{'} and {'.join(text)}}}: the columns of text=..."
            )
    others = {name: given.get(name, name) for name in OPTIONAL if name != "group"}
    needed = {name: _names(given.get(name, name)) for name in REQUIRED}
    needed |= {name: _names(given[name]) for name in OPTIONAL if given.get(name) is not None}
    return _Layout(
        form=Form(text, template),
        label=label if isinstance(label, str) else tuple(label),
        others=others,
        group=_names(given.get("group", "group")),
        named=needed,
        rename=given.get("rename", {}),
    )


def _names(given: str | Sequence[str] | None) -> tuple[str, ...]:
    return () if given is None else (given,) if isinstance(given, str) else tuple(given)


def _example(where: Source, row: Mapping[str, Any], layout: _Layout) -> Example:
    for column, names in layout.named.items():
        for name in names:
            if name not in row:
                raise DataError(
                    f"{where}: no column {name!r}, only {', '.join(map(repr, row))}. "
                    f"Name the right one: {column}=..., or --{column} of the command"
                )
    texts = _texts(where, row, layout.form.columns)
    cells = {one: row.get(name) if name is not None else None for one, name in layout.others.items()}
    split = _string(cells["split"]).strip()
    if split not in ("", *SPLITS):
        raise DataError(
            f"{where}: split is {cells['split']!r}, expected {', '.join(SPLITS)} or nothing. If the column "
            f"means something else, name another: split=..., or split=None"
        )
    return Example(
        id=_string(cells["id"])
        or hashlib.blake2b("\0".join(texts.values()).encode(), digest_size=6).hexdigest(),
        text=_filled(texts, layout.form),
        label=_label(row, layout),
        note=_string(cells["note"]),
        canonical=_flag(where, "canonical", cells["canonical"]),
        group=_string(row.get(layout.group[0])) or None if len(layout.group) == 1 else None,
        split=split or None,
        disputed=_flag(where, "disputed", cells["disputed"]),
        source=where,
        form=layout.form,
    )


def text_of(where: Source, row: Mapping[str, Any], form: Form) -> str:
    """Make the text of a row, as that of an example is made; DataError where there is none."""
    return _filled(_texts(where, row, form.columns), form)


def _filled(texts: Mapping[str, str], form: Form) -> str:
    return texts[form.columns[0]] if form.template is None else form.template.format(**texts)


def _texts(where: Source, row: Mapping[str, Any], columns: Sequence[str]) -> dict[str, str]:
    """Return the text columns; some of several may be empty, but not all."""
    found = {name: row[name] for name in columns}
    for name, text in found.items():
        if not isinstance(text, str) and not (text is None and len(found) > 1):
            raise DataError(f"{where}: {name} is {text!r}, expected some text. Fill it in or drop the row.")
    if not any(text and text.strip() for text in found.values()):
        shown = ", ".join(f"{name} is {text!r}" for name, text in found.items())
        raise DataError(f"{where}: {shown}, expected some text. Fill it in or drop the row.")
    return {name: text or "" for name, text in found.items()}


def _label(row: Mapping[str, Any], layout: _Layout) -> Label:
    if isinstance(layout.label, str):
        label = _string(row[layout.label])
        return layout.rename.get(label, label)
    return {name: layout.rename.get(_string(row[name]), _string(row[name])) for name in layout.label}


def _flag(where: Source, column: str, value: object) -> bool:
    text = _string(value).strip().casefold()
    if text not in TRUE + FALSE:
        raise DataError(f"{where}: {column} is {value!r}, expected true, false or nothing")
    return text in TRUE


def _string(value: object) -> str:
    return "" if value is None else str(value)


def _components(rows: Sequence[Sequence[str]]) -> Iterator[str | None]:
    """Yield, of each row, the group of all rows that share a value with it, directly or through others.

    A group is named by the smallest of its values; a row without a value has none.
    """
    parent: dict[str, str] = {}

    def root(value: str) -> str:
        while (above := parent.setdefault(value, value)) != value:
            parent[value] = value = parent[above]
        return value

    for values in rows:
        for value in values:
            low, high = sorted((root(values[0]), root(value)))
            parent[high] = low
    for values in rows:
        yield root(values[0]) if values else None


def _corrected(examples: Sequence[Example], corrections: Sequence[Row], overlay: str) -> Iterator[Example]:
    """Yield the examples as an overlay corrects them; those that it excludes are left out."""
    known = {example.id: example for example in examples}
    changes: dict[str, tuple[Source, Mapping[str, Any]]] = {}
    for where, row in corrections:
        if unknown := row.keys() - set(CORRECTIONS):
            raise DataError(
                f"{where}: no column {sorted(unknown)[0]!r} is known, only {', '.join(CORRECTIONS)}"
            )
        name = _string(row.get("id"))
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise DataError(f"{where}: id is {name!r}, which no example has{hint}")
        if name in changes:
            raise DataError(f"{where}: id {name!r} is already in {changes[name][0]}. Keep one of the two")
        if not any(_string(row.get(column)) for column in CORRECTIONS[1:4]):
            raise DataError(f"{where}: changes nothing: give a label, or exclude or disputed as true")
        changes[name] = (where, row)
    for example in examples:
        example = replace(example, overlay=overlay)
        if example.id not in changes:
            yield example
            continue
        where, row = changes[example.id]
        if not _flag(where, "exclude", row.get("exclude")):
            disputed = _flag(where, "disputed", row.get("disputed")) or example.disputed
            label = _string(row.get("label")) or example.label
            if label != example.label and not isinstance(example.label, str):
                raise DataError(
                    f"{where}: the label of {example.id!r} has several columns: correct it in the data"
                )
            yield replace(example, label=label, disputed=disputed)
