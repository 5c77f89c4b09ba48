"""The rows of a table, one after the other: CSV, TSV, JSON lines, Parquet, or a DataFrame.

A row that cannot be read does not stop the others: it says why.
"""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from promptlab.errors import DataError, shorten
from promptlab.records import Source

if TYPE_CHECKING:
    import pandas

DELIMITERS = {".csv": ",", ".tsv": "\t"}
JSON = (".jsonl", ".ndjson")
PARQUET = ".parquet"
SUFFIXES = (*DELIMITERS, *JSON, PARQUET)
LONGEST = 32_000_000  # characters of a cell: the API takes no longer request
TOGETHER = 1_000  # rows of a Parquet file that are in memory at once


class Row(NamedTuple):
    """A row of a table.

    Attributes:
        where: as a spreadsheet counts it; of a DataFrame, the repr of its index.
        fields: its values by column; empty of what is no row.
        raw: its text in the file, without the line's end; "" where a row is no text.
        broken: why it cannot be read; "" where it can.
    """

    where: Source
    fields: Mapping[str, Any]
    raw: str = ""
    broken: str = ""


@dataclass(frozen=True)
class Table:
    """A file of rows, which can be read several times.

    Attributes:
        columns: in their order; of JSON lines, of all rows.
    """

    path: Path
    columns: tuple[str, ...]

    @property
    def kind(self) -> str:
        """The end of its name."""
        return self.path.suffix.lower()

    def __iter__(self) -> Iterator[Row]:
        """Read the rows in their order."""
        if self.kind in DELIMITERS:
            return _delimited(self.path, DELIMITERS[self.kind])
        return _json_lines(self.path) if self.kind in JSON else _parquet(self.path)


def open_table(path: Path) -> Table:
    """Return the table in a file; DataError where it cannot be read."""
    kind = path.suffix.lower()
    if kind not in SUFFIXES:
        raise DataError(f"{path}: expected a name that ends in {', '.join(SUFFIXES)}")
    try:
        if kind in DELIMITERS:
            columns = header_of(path, DELIMITERS[kind])[1]
        elif kind in JSON:
            columns = tuple(dict.fromkeys(name for row in _json_lines(path) for name in row.fields))
        else:
            columns = tuple(schema_of(path).names)
    except OSError as error:
        where = "" if path.is_absolute() else f" (looked in {Path.cwd()})"
        raise DataError(f"{path}: cannot be read: {error.strerror or error}{where}") from error
    return Table(path, columns)


def rows_of_frame(frame: pandas.DataFrame, columns: tuple[str, ...]) -> Iterator[Row]:
    """Yield some columns of the rows of a DataFrame."""
    places = [[*map(str, frame.columns)].index(name) for name in columns]  # names may be numbers
    read = (frame.iloc[:, place] for place in places)
    cells = [values.astype(object).where(values.notna(), None) for values in read]
    for index, *values in zip(frame.index, *cells, strict=True):
        yield Row(Source("DataFrame", repr(index)), dict(zip(columns, values, strict=True)))


# -- delimited ----------------------------------------------------------------------------------


class _Lines:
    """The lines of a file, and those that were read since the last row."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines, self._taken = lines, list[str]()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self._taken.append(line)
        return line

    def taken(self) -> str:
        """Return those lines, without the end of the last."""
        found = "".join(self._taken)
        self._taken.clear()
        return found.removesuffix("\n").removesuffix("\r")


def header_of(path: Path, delimiter: str) -> tuple[str, tuple[str, ...]]:
    """Return the first line of a file as it is written, its end included, and the columns it names."""
    with _opened(path) as file:
        lines = list[str]()
        seen = (lines.append(line) or line for line in file)  # type: ignore[func-returns-value]
        reader = csv.reader(seen, delimiter=delimiter, strict=True)
        try:
            cells = next(reader, [])
        except csv.Error as error:
            raise DataError(f"{path}, row 1: {error}: expected the names of the columns") from error
    raw = "".join(lines)
    if not cells or not encodes(raw):
        raise DataError(f"{path}, row 1: {shorten(raw)}: expected the names of the columns, in UTF-8")
    return raw, (cells[0].removeprefix("\ufeff"), *cells[1:])


def _opened(path: Path) -> Any:
    """Open a text file; bytes that are not UTF-8 are kept, as half surrogate pairs."""
    return path.open(encoding="utf-8", errors="surrogateescape", newline="")


def _delimited(path: Path, delimiter: str) -> Iterator[Row]:
    _, columns = header_of(path, delimiter)
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST))
    with _opened(path) as file:
        lines = _Lines(file)
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        next(reader)
        lines.taken()
        for number in itertools.count(2):
            try:
                cells, why = next(reader), ""
            except StopIteration:
                return
            except csv.Error as error:
                cells, why = [""], str(error)
            raw = lines.taken()
            if cells:
                yield _cells(Source(str(path), number), columns, cells, raw, why)


def _cells(where: Source, columns: tuple[str, ...], cells: list[str], raw: str, why: str) -> Row:
    if not why and len(cells) != len(columns):
        why = f"{len(cells)} cells where the header has {len(columns)}"
    return Row(where, {}, raw, why) if why else Row(where, dict(zip(columns, cells, strict=True)), raw)


def encodes(text: str) -> bool:
    """Say whether a text has a form in UTF-8: whether its bytes were UTF-8."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


# -- JSON lines and Parquet ---------------------------------------------------------------------


def _json_lines(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8", errors="surrogateescape", newline="\n") as file:
        for number, line in enumerate(file, start=1):
            raw = (line.removeprefix("\ufeff") if number == 1 else line).strip()
            if raw:
                yield _json_row(Source(str(path), number), raw)


def _json_row(where: Source, raw: str) -> Row:
    try:
        fields = json.loads(raw)
    except (ValueError, RecursionError) as error:
        return Row(where, {}, raw, f"not JSON ({error})")
    return Row(where, fields, raw) if isinstance(fields, dict) else Row(where, {}, raw, "no JSON object")


def arrow(path: Path) -> Any:
    """Return pyarrow with its Parquet module; DataError where it is not installed."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise DataError(f"{path}: Parquet needs pyarrow: pip install 'pytest-promptlab[parquet]'") from error
    return pyarrow


def schema_of(path: Path) -> Any:
    """Return the schema of a Parquet file; DataError where it is none."""
    pyarrow = arrow(path)
    try:
        return pyarrow.parquet.read_schema(path)
    except pyarrow.ArrowInvalid as error:
        raise DataError(f"{path}: cannot be read as Parquet: {error}") from error


def _parquet(path: Path) -> Iterator[Row]:
    number = 0
    with arrow(path).parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=TOGETHER):
            for number, fields in enumerate(batch.to_pylist(), start=number):  # noqa: B020 - it goes on
                yield Row(Source(str(path), number), fields)
            number += 1
