"""The split of a CSV or TSV file, written into a column of it; nothing else in the file changes."""

import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from promptlab.data.columns import Columns
from promptlab.data.readers import read_csv, read_tsv
from promptlab.data.splits import SHARES, assign, count, shortage
from promptlab.errors import DataError
from promptlab.records import Example

Spans = list[tuple[int, int]]  # where the cells of a row begin and end, quotes included


def freeze(
    path: Path, columns: Columns, *, graded: bool = False, shares: Sequence[float] = SHARES, seed: int = 0
) -> Mapping[str, Mapping[str, int]]:
    """Write the split of each row that has none into the column for it, by default `split`.

    Rows that have a split keep it, and so do delimiter, quotes and line ends.

    Args:
        path: the file, in UTF-8; tab-separated where its name ends in ".tsv".
        columns: as `read_csv` takes them.
        graded: the labels are not those of a classification, so the split is by hash alone.
        shares: of train, validation and test, as `Task.shares`.
        seed: as `Task.split_seed`.

    Returns:
        How many examples of each label each split has.

    Raises:
        DataError: the file cannot be read, or a label has too few examples; nothing was written.
    """
    read, delimiter = (read_tsv, "\t") if path.suffix == ".tsv" else (read_csv, ",")
    if path.suffix not in (".csv", ".tsv"):
        raise DataError(f"{path}: expected a name that ends in .csv or .tsv")
    examples = read(path, **columns)

    def stratum(example: Example) -> str:
        return "all" if graded or not isinstance(example.label, str) else example.label

    home = assign(examples, stratum, shares, seed)
    labels = sorted({stratum(e) for e in examples})
    counts = count(examples, home, stratum, labels)
    if why := shortage(counts, shares):
        raise DataError(f"{path}: {why}; or, if the label is no class, say --graded. Nothing was written")
    text = path.read_bytes().decode()
    new = _with_column(text, delimiter, columns.get("split") or "split", [home[e.id] for e in examples])
    target = path.resolve()  # of a link, the file
    unfinished = target.with_name(target.name + ".tmp")
    unfinished.write_bytes(new.encode())
    shutil.copymode(target, unfinished)
    unfinished.replace(target)
    return counts


def _with_column(text: str, delimiter: str, name: str, values: Sequence[str]) -> str:
    """Return the text of a file with a value for each row in the column of that name, where it has none."""
    rows = _rows(text, delimiter)
    header = next(rows)
    names = [_unquoted(text[start:end]) for start, end in header]
    names[0] = names[0].removeprefix("\ufeff")
    place = names.index(name) if name in names else None
    written, pieces = 0, list[str]()
    for row, value in zip([header, *rows], [name, *values], strict=True):
        start, end = row[-1] if place is None else row[place]
        if place is None:
            pieces += [text[written:end], delimiter, value]
        else:
            kept = text[start:end]
            pieces += [text[written:start], kept if _unquoted(kept).strip() else value]
        written = end
    return "".join([*pieces, text[written:]])


def _rows(text: str, delimiter: str) -> Iterator[Spans]:
    """Yield the cells of each row, header first; the readers have found the file to be in order."""
    cell = re.compile(rf'("(?:[^"]|"")*"|[^{delimiter}\r\n]*)({delimiter}|\r\n|\n|\r|\Z)')
    row: Spans = []
    at = 0
    while at < len(text):
        found = cell.match(text, at)
        assert found, text[at : at + 80]
        row.append(found.span(1))
        at = found.end()
        if found[2] != delimiter or at == len(text):
            if found[2] == delimiter:  # an empty cell ends the file
                row.append((at, at))
            if len(row) > 1 or row[0][0] != row[0][1]:  # not an empty line
                yield row
            row = []


def _unquoted(cell: str) -> str:
    return cell[1:-1].replace('""', '"') if cell[:1] == '"' else cell
