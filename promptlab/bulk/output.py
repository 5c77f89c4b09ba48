"""A table written with the answers: the rows as they came, and a few columns more."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from promptlab import secrets
from promptlab.bulk.table import DELIMITERS, JSON, TOGETHER, Row, Table, arrow, encodes, header_of, schema_of
from promptlab.errors import DataError

Answered = tuple[Row, Mapping[str, str | None]]  # a row, and the values of the columns that are added


def write(path: Path, table: Table, added: Sequence[str], rows: Iterable[Answered]) -> None:
    """Replace a file by a table and its answers, as a whole; a crash leaves the old file."""
    kind, path = path.suffix.lower(), path.resolve()  # of a link, the file
    unfinished = path.with_name(path.name + ".tmp")
    try:
        if kind in DELIMITERS:
            _lines(unfinished, _delimited(DELIMITERS[kind], table, added, rows))
        elif kind in JSON:
            _lines(unfinished, _json_lines(table, added, rows))
        else:
            _parquet(unfinished, table, added, rows)
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        unfinished.replace(path)
    except (OSError, ValueError, OverflowError) as error:  # the last two where Arrow takes no such value
        raise DataError(f"{path}: cannot be written: {error}. The replies are kept") from error
    finally:
        unfinished.unlink(missing_ok=True)


def _lines(path: Path, lines: Iterator[str]) -> None:
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        file.writelines(lines)


def _delimited(delimiter: str, table: Table, added: Sequence[str], rows: Iterable[Answered]) -> Iterator[str]:
    """Yield the lines of a file with delimiters; rows of such a file stay as they are written there."""
    cells = _cells_as_text(delimiter)
    if DELIMITERS.get(table.kind) == delimiter:
        header = header_of(table.path, delimiter)[0]
        names = header.rstrip("\r\n")
        end = header[len(names) :] or "\n"
        yield f"{names}{delimiter}{cells(added)}{end}"
        for row, answers in rows:
            yield f"{row.raw}{delimiter}{cells([answers[name] or '' for name in added])}{end}"
        return
    yield cells([*table.columns, *added]) + "\n"
    for row, answers in rows:
        values = [*(row.fields.get(name) for name in table.columns), *(answers[name] for name in added)]
        yield cells([_cell(value) for value in values]) + "\n"


def _cells_as_text(delimiter: str) -> Callable[[Sequence[str]], str]:
    """Return a function that writes cells, quoted where they have to be."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator="\r\n")

    def text(cells: Sequence[str]) -> str:
        buffer.seek(0)
        buffer.truncate()
        writer.writerow(cells)
        return buffer.getvalue()[:-2]

    return text


def screened_text(value: Any) -> str | None:
    """Write an answer as text, screened: a label as it is, anything else as JSON; None stays None."""
    return None if value is None else as_text(secrets.screened(value))


def as_text(value: Any) -> str:
    """Write a value as text that has a form in UTF-8; numbers, lists and objects as JSON."""
    if not isinstance(value, str):
        plain = isinstance(value, bool | int | float | list | dict)
        value = json.dumps(value, ensure_ascii=False, default=str) if plain else str(value)
    return str(value) if encodes(value) else value.encode(errors="replace").decode()


def _cell(value: Any) -> str:
    return "" if value is None else as_text(value)


def _json_lines(table: Table, added: Sequence[str], rows: Iterable[Answered]) -> Iterator[str]:
    """Yield JSON lines; rows of such a file stay as they are written there."""
    for row, answers in rows:
        more = json.dumps({name: answers[name] for name in added}, ensure_ascii=False)
        start = row.raw[:-1].rstrip() if table.kind in JSON else as_text(dict(row.fields))[:-1]
        yield f"{start}{', ' if row.fields else ''}{more[1:]}\n"


def _parquet(path: Path, table: Table, added: Sequence[str], rows: Iterable[Answered]) -> None:
    pyarrow = arrow(path)
    schema, plain = _schema(pyarrow, table)
    for name in added:
        schema = schema.append(pyarrow.field(name, pyarrow.string()))
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        batch: list[dict[str, Any]] = []
        for row, answers in rows:
            given = (
                row.fields
                if plain is None
                else {name: plain(name, row.fields.get(name)) for name in table.columns}
            )
            batch.append({**given, **answers})
            if len(batch) == TOGETHER:
                writer.write_table(pyarrow.Table.from_pylist(batch, schema))
                batch.clear()
        writer.write_table(pyarrow.Table.from_pylist(batch, schema))


def _schema(pyarrow: Any, table: Table) -> tuple[Any, Callable[[str, Any], Any] | None]:
    """Return the schema for the rows of a table, and what makes a value fit it: None, where each does."""
    if table.kind not in (*DELIMITERS, *JSON):
        return schema_of(table.path), None
    kinds: dict[str, set[type]] = {name: set() for name in table.columns}
    for row in table if table.kind in JSON else ():
        for name, value in row.fields.items():
            kinds[name].add(type(value))
    types = {name: _type(pyarrow, found - {type(None)}) for name, found in kinds.items()}
    texts = {name for name, of in types.items() if of == pyarrow.string()}

    def plain(name: str, value: Any) -> Any:
        return as_text(value) if name in texts and value is not None else value

    return pyarrow.schema(list(types.items())), plain


def _type(pyarrow: Any, found: set[type]) -> Any:
    """Return the type of a column with such values; that of text where they have none in common."""
    if found == {bool}:
        return pyarrow.bool_()
    if found == {int}:
        return pyarrow.int64()
    return pyarrow.float64() if found and found <= {int, float} else pyarrow.string()
