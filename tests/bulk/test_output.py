from __future__ import annotations

import csv
import datetime
import io
import json

import pandas
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptlab.bulk import output
from promptlab.bulk.table import open_table
from promptlab.errors import DataError

ROWS = [{"id": "1", "text": 'a, "b"\n c'}, {"id": "2", "text": "é\t"}, {"id": "a\nb", "text": "=1"}]
ANSWERS = [
    {"label": "food", "reason": None},
    {"label": None, "reason": 'no, "label"'},
    {"label": "weather", "reason": None},
]
KINDS = ("csv", "tsv", "jsonl", "parquet")


def write_rows(path):
    frame = pandas.DataFrame(ROWS)
    match path.suffix:
        case ".csv" | ".tsv":
            frame.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
        case ".jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
        case _:
            frame.to_parquet(path)


def read_rows(path):
    """Read a file with pandas; what is empty is ""."""
    match path.suffix:
        case ".csv" | ".tsv":
            frame = pandas.read_csv(path, sep="\t" if path.suffix == ".tsv" else ",", dtype=str)
        case ".jsonl":
            frame = pandas.read_json(path, lines=True, dtype=False)
        case _:
            frame = pandas.read_parquet(path)
    return frame.astype(object).where(frame.notna(), "").to_dict("records")


def written(source, target):
    table = open_table(source)
    output.write(target, table, ("label", "reason"), zip(table, ANSWERS, strict=True))
    return target


@pytest.mark.parametrize("source", KINDS)
@pytest.mark.parametrize("target", KINDS)
def test_every_format_becomes_every_format(tmp_path, source, target):
    write_rows(tmp_path / f"rows.{source}")
    expected = [
        row | {key: value or "" for key, value in more.items()}
        for row, more in zip(ROWS, ANSWERS, strict=True)
    ]
    assert expected == read_rows(written(tmp_path / f"rows.{source}", tmp_path / f"labels.{target}"))


CELLS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=8)


@given(
    st.lists(st.lists(CELLS, min_size=2, max_size=2), min_size=1, max_size=5),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
def test_rows_of_a_csv_file_stay_byte_for_byte(tmp_path_factory, rows, end, last):
    """Quotes, spaces and line ends included; reading the new file gives the cells and the answers."""
    folder = tmp_path_factory.mktemp("t")
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator=end, quoting=csv.QUOTE_ALL).writerows([["id", "text"], *rows])
    text = buffer.getvalue()
    (folder / "rows.csv").write_bytes((text if last else text.removesuffix(end)).encode())
    table = open_table(folder / "rows.csv")
    answers = [{"label": "a\n,", "reason": None}] * len(rows)
    output.write(folder / "labels.csv", table, ("label", "reason"), zip(table, answers, strict=True))
    new = (folder / "labels.csv").read_bytes().decode()
    assert text == new.replace(f",label,reason{end}", end, 1).replace(f',"a\n,",{end}', end)
    found = list(csv.reader(io.StringIO(new, newline=""), strict=True))
    assert [[*row, "a\n,", ""] for row in rows] == found[1:]


def test_objects_of_json_lines_stay_as_they_are_written(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"n": 1.0, "n": 1e3, "t": "\\u00e9"}\n{}\n  { "b":[] }  \n')
    written(tmp_path / "rows.jsonl", tmp_path / "labels.jsonl")
    assert [
        '{"n": 1.0, "n": 1e3, "t": "\\u00e9", "label": "food", "reason": null}',
        '{"label": null, "reason": "no, \\"label\\""}',
        '{ "b":[], "label": "weather", "reason": null}',
    ] == (tmp_path / "labels.jsonl").read_text().splitlines()


def test_parquet_keeps_the_types_of_its_columns(tmp_path):
    columns = {
        "text": ["a", None, "c"],
        "n": pyarrow.array([1, None, 3], pyarrow.int16()),
        "when": pyarrow.array([datetime.datetime(2026, 1, 2, 3, 4, 5, 6)] * 3, pyarrow.timestamp("ns")),
        "list": pyarrow.array([[1.5], [], None], pyarrow.list_(pyarrow.float32())),
        "kind": pyarrow.array(["x", "y", "x"]).dictionary_encode(),
        "raw": pyarrow.array([b"\xff", b"", None]),
    }
    table = pyarrow.table(columns)
    pyarrow.parquet.write_table(table, tmp_path / "rows.parquet")
    new = pyarrow.parquet.read_table(written(tmp_path / "rows.parquet", tmp_path / "labels.parquet"))
    assert pyarrow.parquet.read_table(tmp_path / "rows.parquet").equals(new.drop_columns(["label", "reason"]))
    assert ["food", None, "weather"] == new["label"].to_pylist()


def test_columns_of_json_lines_get_the_type_that_their_values_share(tmp_path):
    rows = [{"n": 1, "f": 1, "b": True, "m": 1, "x": {"a": [1]}}, {"n": None, "f": 2.5, "m": "é\ud800"}, {}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    new = pyarrow.parquet.read_table(written(tmp_path / "rows.jsonl", tmp_path / "labels.parquet"))
    assert ["int64", "double", "bool", "string", "string", "string", "string"] == [
        str(one.type) for one in new.schema
    ]
    assert ["1", "é?", None] == new["m"].to_pylist()
    assert ['{"a": [1]}', None, None] == new["x"].to_pylist()


def test_what_stops_writing_leaves_the_old_file(tmp_path):
    write_rows(tmp_path / "rows.csv")
    (tmp_path / "labels.csv").write_text("old")

    def rows():
        yield next(iter(open_table(tmp_path / "rows.csv"))), ANSWERS[0]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        output.write(tmp_path / "labels.csv", open_table(tmp_path / "rows.csv"), ("label",), rows())
    assert "old" == (tmp_path / "labels.csv").read_text()
    assert ["labels.csv", "rows.csv"] == sorted(path.name for path in tmp_path.iterdir())


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_a_reply_of_several_lines_is_one_cell(tmp_path, end):
    """Without a comma or a quote in it, too."""
    (tmp_path / "rows.csv").write_text("text\na\n")
    table = open_table(tmp_path / "rows.csv")
    output.write(tmp_path / "new.csv", table, ("label",), [(row, {"label": f"b{end}c"}) for row in table])
    with (tmp_path / "new.csv").open(newline="") as file:
        assert [["text", "label"], ["a", f"b{end}c"]] == list(csv.reader(file))


def test_a_number_that_parquet_has_no_place_for_says_so(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"id": 18446744073709551615}\n')
    table = open_table(tmp_path / "rows.jsonl")
    with pytest.raises(DataError, match=r"new\.parquet: cannot be written: .*\. The replies are kept"):
        output.write(tmp_path / "new.parquet", table, (), [(row, {}) for row in table])
    assert ["rows.jsonl"] == [path.name for path in tmp_path.iterdir()]


def test_parquet_is_written_piece_by_piece(tmp_path, monkeypatch):
    monkeypatch.setattr(output, "TOGETHER", 2)
    (tmp_path / "rows.csv").write_text("id\n" + "".join(f"{n}\n" for n in range(5)))
    table = open_table(tmp_path / "rows.csv")
    output.write(tmp_path / "new.parquet", table, (), [(row, {}) for row in table])
    assert [*"01234"] == pandas.read_parquet(tmp_path / "new.parquet")["id"].to_list()
