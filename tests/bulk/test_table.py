from __future__ import annotations

import pandas
import pytest

from promptlab.bulk.table import open_table
from promptlab.errors import DataError


def read(path, content):
    path.write_bytes(content)
    return list(open_table(path))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", b'\xef\xbb\xbftext,n\r\n"a, ""b""\nc",1\r\n\r\n\xc3\xa9,2'),
        ("t.tsv", b'text\tn\n"a, ""b""\nc"\t1\n\xc3\xa9\t2\n'),
        ("t.jsonl", b'{"text": "a, \\"b\\"\\nc", "n": "1"}\n\n{"text": "\\u00e9", "n": "2"}'),
        ("t.ndjson", b'\xef\xbb\xbf {"text": "a, \\"b\\"\\nc", "n": "1"}\n{"text": "\xc3\xa9", "n": "2"}\n'),
    ],
)
def test_each_format_is_read(tmp_path, name, content):
    expected = [{"text": 'a, "b"\nc', "n": "1"}, {"text": "é", "n": "2"}]
    assert expected == [row.fields for row in read(tmp_path / name, content)]
    assert ("text", "n") == open_table(tmp_path / name).columns


def test_parquet_is_read_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr("promptlab.bulk.table.TOGETHER", 2)
    frame = pandas.DataFrame({"text": ["a", None, "c", "d", "e"], "n": [1, 2, 3, 4, 5]})
    frame.to_parquet(tmp_path / "t.parquet")
    rows = list(open_table(tmp_path / "t.parquet"))
    assert [{"text": text, "n": n + 1} for n, text in enumerate(["a", None, "c", "d", "e"])] == [
        row.fields for row in rows
    ]
    assert [0, 1, 2, 3, 4] == [row.where.row for row in rows]


def test_a_row_that_cannot_be_read_does_not_stop_the_others(tmp_path):
    rows = read(tmp_path / "t.csv", b'text,n\na,1\nb\n"c"d,3\n\xff,4\ne,5,6\nf,7\n')
    assert [
        "",
        "1 cells where the header has 2",
        "',' expected after '\"'",
        "",
        "3 cells where the header has 2",
        "",
    ] == [row.broken for row in rows]
    assert [2, 3, 4, 5, 6, 7] == [row.where.row for row in rows]
    assert ["a,1", "b", '"c"d,3', "\udcff,4", "e,5,6", "f,7"] == [row.raw for row in rows]


def test_a_line_that_is_no_object_does_not_stop_the_others(tmp_path):
    rows = read(tmp_path / "t.jsonl", b'{"text": "a"}\n[1]\n{"text"\n{"text": "\xff"}\n')
    assert [True, False, False, True] == [not row.broken for row in rows]
    assert "no JSON object" == rows[1].broken
    assert rows[2].broken.startswith("not JSON (")
    assert [1, 2, 3, 4] == [row.where.row for row in rows]


def test_columns_of_json_lines_are_those_of_all_rows(tmp_path):
    read(tmp_path / "t.jsonl", b'{"b": 1}\n{"a": 2, "b": 3}\n{"c": 1}\n')
    assert ("b", "a", "c") == open_table(tmp_path / "t.jsonl").columns


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.xlsx", b"", r"t\.xlsx: expected a name that ends in \.csv, \.tsv"),
        ("t.csv", b"", r"t\.csv, row 1: '': expected the names of the columns"),
        ("t.csv", b"t\xffxt\na\n", r"expected the names of the columns, in UTF-8"),
        ("t.parquet", b"text", r"t\.parquet: cannot be read as Parquet"),
        ("none/t.csv", None, r"none/t\.csv: cannot be read: No such file or directory"),
    ],
)
def test_a_file_that_is_no_table_is_named(tmp_path, name, content, said):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=said):
        list(open_table(tmp_path / name))


def test_a_long_cell_is_read(tmp_path):
    (row,) = read(tmp_path / "t.csv", b"text\n" + b"a" * 200_000 + b"\n")
    assert 200_000 == len(row.fields["text"])
