"""`promptlab split`: the column is added, and nothing else changes."""

from __future__ import annotations

import csv
import io
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import promptlab as pl
from promptlab.cli import main
from promptlab.data.freeze import freeze
from promptlab.errors import DataError

from ..examples import examples, task

DATA = "id,text,label\n" + "".join(f"{e.id},{e.text},{e.label}\n" for e in examples())


def frozen(text: str, *arguments: str, name: str = "data.csv") -> str:
    """Return what the command makes of a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(text.encode())
        assert 0 == main(["split", str(path), *arguments])
        return path.read_bytes().decode()


def test_the_task_splits_the_file_as_it_was_split_before(tmp_path, capsys):
    (tmp_path / "data.csv").write_text(frozen(DATA))
    assert (
        "train: 30 (15 food, 15 weather)\nvalidation: 20 (10 food, 10 weather)\ntest: 30 (15 food, 15 weather)\n"
        == capsys.readouterr().out
    )
    found = task(examples=pl.read_csv(tmp_path / "data.csv"))
    assert {name: [e.id for e in of] for name, of in task().splits.items()} == {
        name: [e.id for e in of] for name, of in found.splits.items()
    }


def test_freezing_again_changes_nothing_and_new_rows_move_no_other():
    once = frozen(DATA)
    assert once == frozen(once)
    more = frozen(once + "new,Something new.,food,\n")
    assert once == more[: len(once)]
    assert more[len(once) :].startswith("new,Something new.,food,t")


cells = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])).map(
    lambda text: f"x{text}"
)


@given(
    st.lists(st.tuples(cells, cells, st.sampled_from(["", "test"])), max_size=4),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.booleans(),
    st.sampled_from([("data.csv", ","), ("data.tsv", "\t")]),
    st.sampled_from(["", "\ufeff"]),
)
def test_every_other_byte_stays(rows, end, quoting, has_column, kind, mark):
    name, delimiter = kind
    if quoting == csv.QUOTE_MINIMAL:  # the writer does not quote every line end
        rows = [tuple(" ".join(cell.split()) for cell in row) for row in rows]
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator=end, quoting=quoting, delimiter=delimiter)
    header = ["id", "text", "split", "label", "more"] if has_column else ["id", "text", "label", "more"]
    writer.writerow(header)
    listed = [
        (f"e{n}", f"text {n} {one}", split, label, other)
        for n, (one, other, split) in enumerate(rows)
        for label in ["weather"]
    ]
    listed += [(e.id, e.text, "", e.label, "") for e in examples()]
    for row in listed:
        writer.writerow([cell for number, cell in enumerate(row) if has_column or number != 2])
    before = mark + file.getvalue()
    after = frozen(before, "--id", "id", name=name)
    read = list(csv.DictReader(io.StringIO(after.removeprefix("\ufeff"), newline=""), delimiter=delimiter))
    assert [row["id"] for row in read] == [row[0] for row in listed]
    assert all(row["split"] in ("train", "validation", "test") for row in read)
    assert all(
        row["split"] == given
        for row, (*_, given, _, _) in zip(read, listed, strict=True)
        if has_column and given
    )
    for split in (row["split"] for row in read):
        if has_column:
            continue
        after = after.replace(f"{delimiter}{split}{end}", end, 1)
    if not has_column:
        assert before == after.replace(f"{delimiter}split{end}", end, 1)


def test_a_file_without_a_line_end_at_its_end_is_kept_so():
    assert frozen(DATA).removesuffix("\n") == frozen(DATA.removesuffix("\n"))


def test_too_few_examples_leave_the_file_alone(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("text,label\n" + "".join(f"t{n},{'ab'[n % 2]}\n" for n in range(28)))
    with pytest.raises(
        DataError, match=r"too few examples: 4 of 'a' in test, 4 of 'b' in test.*Nothing was written"
    ):
        freeze(path, {})
    assert "split" not in path.read_text()


def test_a_label_that_is_no_class_is_refused_and_can_be_ignored(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("text,label\n" + "".join(f"t{n},answer {n}\n" for n in range(40)))
    with pytest.raises(DataError, match="or, if the label is no class, say --graded"):
        freeze(path, {})
    assert {"train": {"all": 15}, "validation": {"all": 10}, "test": {"all": 15}} == freeze(
        path, {}, graded=True
    )


def test_a_link_stays_a_link_and_the_file_keeps_its_mode(tmp_path):
    (tmp_path / "real.csv").write_text(DATA)
    (tmp_path / "real.csv").chmod(0o640)
    (tmp_path / "data.csv").symlink_to("real.csv")
    freeze(tmp_path / "data.csv", {})
    assert (tmp_path / "data.csv").is_symlink()
    assert 0o640 == (tmp_path / "real.csv").stat().st_mode & 0o777
    assert "split" in (tmp_path / "real.csv").read_text()


def test_groups_and_several_columns_are_taken_as_the_readers_take_them(tmp_path):
    rows = "".join(f"q{n},q{n + 1},{n // 3 * 3},{n // 3 * 3 + 1},{n % 2}\n" for n in range(90))
    path = tmp_path / "pairs.csv"
    path.write_text("a,b,qid1,qid2,same\n" + rows)
    assert 0 == main(["split", str(path), "--text", "a", "b", "--label", "same", "--group", "qid1", "qid2"])
    found = pl.read_csv(path, text=("a", "b"), label="same", group=("qid1", "qid2"))
    assert 30 == len({(one.group, one.split) for one in found})
