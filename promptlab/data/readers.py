"""Read examples from CSV, TSV, JSON lines, Parquet and DataFrames.

Every error names the file, the row and the value. Rows are counted as a spreadsheet shows them: the
header of a CSV file is row 1.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptlab.errors import DataError, shorten
from promptlab.records import Example, Source

if TYPE_CHECKING:
    import pandas

Row = tuple[Source, Mapping[str, Any]]  # where it was read, and its fields by column


def read_csv(path: str | Path, **columns: str) -> tuple[Example, ...]:
    """Read examples from a CSV file in UTF-8 with a header.

    Columns are `text` and `label`, and where present `id`, `note`, `canonical` and `group`; other
    names are given by keyword: `read_csv(path, text="question")`. Nothing is guessed: "NA" or
    "null" is read as text.

    Raises:
        DataError: for a file, a column or a row that cannot be used.
    """
    return _examples(_delimited(Path(path), ","), str(path), columns)


def read_tsv(path: str | Path, **columns: str) -> tuple[Example, ...]:
    """Read examples from a tab-separated file; see `read_csv`."""
    return _examples(_delimited(Path(path), "\t"), str(path), columns)


def read_jsonl(path: str | Path, **columns: str) -> tuple[Example, ...]:
    """Read examples from a file with one JSON object per line; see `read_csv`."""
    return _examples(_json_lines(Path(path)), str(path), columns)


def read_parquet(path: str | Path, **columns: str) -> tuple[Example, ...]:
    """Read examples from a Parquet file; see `read_csv`. Needs the extra `pytest-promptlab[parquet]`."""
    import pandas

    try:
        frame = pandas.read_parquet(path)
    except ImportError as error:
        raise DataError(
            f"{path}: reading Parquet needs pyarrow: pip install 'pytest-promptlab[parquet]'"
        ) from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as Parquet: {error}") from error
    return _examples(_frame_rows(frame, str(path)), str(path), columns)


def rows_of(path: Path) -> Iterator[Row]:
    """Yield the rows of a file as they are, by the end of its name; see `read_csv`."""
    if path.suffix == ".parquet":
        import pandas

        return _frame_rows(pandas.read_parquet(path), str(path))
    if path.suffix in (".jsonl", ".ndjson"):
        return _json_lines(path)
    return _delimited(path, "\t" if path.suffix == ".tsv" else ",")


def from_dataframe(frame: pandas.DataFrame, **columns: str) -> tuple[Example, ...]:
    """Read examples from a DataFrame; see `read_csv`. Errors name rows by the frame's index."""
    return _examples(_frame_rows(frame, "DataFrame"), "DataFrame", columns)


def _text_of(path: Path) -> str:
    """Read a file as UTF-8, with or without a byte order mark; line ends stay as they are."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        where = "" if path.is_absolute() else f" (looked in {Path.cwd()})"
        raise DataError(f"{path}: cannot be read: {error.strerror or error}{where}") from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = raw[: error.start].count(b"\n") + 1
        raise DataError(
            f"{path}, row {row}: byte {raw[error.start : error.end]!r} is not UTF-8. Save the file as UTF-8."
        ) from error


def _delimited(path: Path, delimiter: str) -> Iterator[Row]:
    text = _text_of(path)
    longest = csv.field_size_limit(max(csv.field_size_limit(), len(text)))
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        header = next(reader, [])
        for number, cells in enumerate(reader, start=2):
            if not cells:
                continue
            where = Source(str(path), number)
            if len(cells) != len(header):
                raise DataError(
                    f"{where}: {len(cells)} cells where the header has {len(header)}: {shorten(cells)}. "
                    f"Quote texts that contain {delimiter!r}."
                )
            yield where, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}") from error
    finally:
        csv.field_size_limit(longest)


def _json_lines(path: Path) -> Iterator[Row]:
    for number, line in enumerate(_text_of(path).split("\n"), start=1):
        if not line.strip():
            continue
        where = Source(str(path), number)
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(f"{where}: not JSON ({error}): {shorten(line)}") from error
        if not isinstance(row, dict):
            raise DataError(f"{where}: expected a JSON object, got {shorten(row)}")
        yield where, row


def _frame_rows(frame: pandas.DataFrame, name: str) -> Iterator[Row]:
    clean = frame.astype(object).where(frame.notna(), None)
    for index, row in zip(frame.index, clean.to_dict("records"), strict=True):
        yield Source(name, repr(index)), {str(column): value for column, value in row.items()}


COLUMNS = ("text", "label", "id", "note", "canonical", "group")
TRUE, FALSE = (
    ("1", "1.0", "true", "yes"),
    ("", "0", "0.0", "false", "no"),
)  # pandas writes 1.0 for 1 where a cell is empty


def _examples(rows: Iterable[Row], source: str, columns: Mapping[str, str]) -> tuple[Example, ...]:
    for given in columns:
        if given not in COLUMNS:
            raise DataError(f"{source}: column {given!r}: expected one of {', '.join(COLUMNS)}")
    examples = tuple(_example(where, row, columns) for where, row in rows)
    if not examples:
        raise DataError(f"{source}: holds no examples")
    return examples


def _example(where: Source, row: Mapping[str, Any], columns: Mapping[str, str]) -> Example:
    for column in ("text", "label", *columns):
        name = columns.get(column, column)
        if name not in row:
            raise DataError(
                f"{where}: no column {name!r}, only {', '.join(map(repr, row))}. "
                f"Name the right one: {column}=..."
            )
    cell = {column: row.get(columns.get(column, column)) for column in COLUMNS}
    text = cell["text"]
    if not isinstance(text, str) or not text.strip():
        raise DataError(f"{where}: text is {text!r}, expected some text. Fill it in or drop the row.")
    canonical = _string(cell["canonical"]).strip().casefold()
    if canonical not in TRUE + FALSE:
        raise DataError(f"{where}: canonical is {cell['canonical']!r}, expected true, false or nothing")
    return Example(
        id=_string(cell["id"]) or hashlib.blake2b(text.encode(), digest_size=6).hexdigest(),
        text=text,
        label=_string(cell["label"]),
        note=_string(cell["note"]),
        canonical=canonical in TRUE,
        group=_string(cell["group"]) or None,
        source=where,
    )


def _string(value: object) -> str:
    return "" if value is None else str(value)
