"""Read examples from CSV, TSV, JSON lines, Parquet, DataFrames and dictionaries.

Every error names the file, the row and the value. Rows are counted as a spreadsheet shows them: the
header of a CSV file is row 1.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from promptlab.data.columns import Columns, Row, examples_of
from promptlab.errors import DataError, shorten
from promptlab.records import Example, Source

if TYPE_CHECKING:
    import pandas


def read_csv(path: str | Path, *more: str | Path, **columns: Unpack[Columns]) -> tuple[Example, ...]:
    """Read examples from CSV files in UTF-8 with a header.

    Nothing is guessed: "NA" or "null" is read as text. Columns are `text` and `label`, and where present
    `id`, `note`, `canonical`, `group`, `split` and `disputed`; other names are given by keyword.

    Args:
        path: the file; several are read as one.
        more: further files.
        columns: `text="question"` names the column; of several, `text=("question1", "question2")`, the
            text is `template`, such as "{question1} / {question2}". `label=("name", "date")` makes
            the label a mapping, for graded tasks. Of `group=("qid1", "qid2")`, rows that share a value in
            any of these columns are one group. `split=None` ignores a column of that name, likewise for
            others. `rename={"0": "sincere"}` changes labels. `overlay` is a CSV file of corrections with
            the columns `id` and any of `label`, `exclude`, `disputed` and `reason`.

    Raises:
        DataError: for a file, a column or a row that cannot be used.
    """
    return _examples(((str(one), _delimited(Path(one), ",")) for one in (path, *more)), columns)


def read_tsv(path: str | Path, *more: str | Path, **columns: Unpack[Columns]) -> tuple[Example, ...]:
    """Read examples from tab-separated files; see `read_csv`."""
    return _examples(((str(one), _delimited(Path(one), "\t")) for one in (path, *more)), columns)


def read_jsonl(path: str | Path, *more: str | Path, **columns: Unpack[Columns]) -> tuple[Example, ...]:
    """Read examples from files with one JSON object per line; see `read_csv`."""
    return _examples(((str(one), _json_lines(Path(one))) for one in (path, *more)), columns)


def read_parquet(path: str | Path, *more: str | Path, **columns: Unpack[Columns]) -> tuple[Example, ...]:
    """Read examples from Parquet files; see `read_csv`. Needs the extra `pytest-promptlab[parquet]`."""
    return _examples(((str(one), _parquet(Path(one))) for one in (path, *more)), columns)


def from_dataframe(frame: pandas.DataFrame, **columns: Unpack[Columns]) -> tuple[Example, ...]:
    """Read examples from a DataFrame; see `read_csv`. Errors name rows by the frame's index."""
    return _examples([("DataFrame", _frame_rows(frame, "DataFrame"))], columns)


def from_dicts(rows: Iterable[Mapping[str, Any]], **columns: Unpack[Columns]) -> tuple[Example, ...]:
    """Read examples from dictionaries; see `read_csv`. Errors count them from 1."""
    numbered = ((Source("examples", number), row) for number, row in enumerate(rows, start=1))
    return _examples([("examples", numbered)], columns)


def rows_of(path: Path) -> Iterator[Row]:
    """Yield the rows of a file as they are, by the end of its name; see `read_csv`."""
    if path.suffix == ".parquet":
        return _parquet(path)
    if path.suffix in (".jsonl", ".ndjson"):
        return _json_lines(path)
    return _delimited(path, "\t" if path.suffix == ".tsv" else ",")


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


def _parquet(path: Path) -> Iterator[Row]:
    import pandas

    try:
        frame = pandas.read_parquet(path)
    except ImportError as error:
        raise DataError(
            f"{path}: reading Parquet needs pyarrow: pip install 'pytest-promptlab[parquet]'"
        ) from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as Parquet: {error}") from error
    yield from _frame_rows(frame, str(path))


def _examples(sources: Iterable[tuple[str, Iterable[Row]]], columns: Columns) -> tuple[Example, ...]:
    overlay = columns.get("overlay")
    return examples_of(sources, columns, list(_delimited(Path(overlay), ",")) if overlay else [])
