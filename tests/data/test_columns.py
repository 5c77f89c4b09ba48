"""Data as people have them: columns of any name and number, files in public layouts, corrections."""

from __future__ import annotations

import random

import pytest

import promptlab as pl
from promptlab.errors import DataError

from ..examples import examples, task


@pytest.fixture
def write(tmp_path):
    """Write a file and return its path."""

    def write(name: str, text: str):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return write


PAIRS = "id,qid1,qid2,question1,question2,is_duplicate\n0,1,2,How {so}?,Why?,0\n1,3,2,Where?,Why?,1\n2,5,6,A?,,0\n3,6,7,C?,D?,1\n4,8,9,E?,F?,0\n"
READ = {
    "id": "id",
    "text": ("question1", "question2"),
    "label": "is_duplicate",
    "group": ("qid1", "qid2"),
    "rename": {"0": "different", "1": "same"},
}


def test_the_public_layout_of_question_pairs_is_read_in_one_line(write):
    found = pl.read_csv(write("train.csv", PAIRS), template="A: {question1}\nB: {question2}", **READ)
    assert ["A: How {so}?\nB: Why?", "A: Where?\nB: Why?", "A: A?\nB: ", "A: C?\nB: D?", "A: E?\nB: F?"] == [
        example.text for example in found
    ]
    assert ["different", "same", "different", "same", "different"] == [example.label for example in found]
    assert ["1", "1", "5", "5", "8"] == [example.group for example in found]


def test_the_public_layout_of_insincere_questions_is_read_in_one_line(write):
    path = write("train.csv", 'qid,question_text,target\n00a,"How, why?",0\n00b,Is it so that?,1\n')
    labels = {"0": "sincere", "1": "insincere"}
    found = pl.read_csv(path, id="qid", text="question_text", label="target", rename=labels)
    assert [("00a", "How, why?", "sincere"), ("00b", "Is it so that?", "insincere")] == [
        (example.id, example.text, example.label) for example in found
    ]


def test_whatever_is_connected_is_one_group_in_any_order_of_the_rows():
    rows = [
        {"text": f"t{n}", "label": "a", "x": str(n), "y": str(n + 1 if n % 10 else n + 500)}
        for n in range(100)
    ]
    groups = {one.text: one.group for one in pl.from_dicts(rows, group=("x", "y"))}
    random.Random(3).shuffle(rows)
    assert groups == {one.text: one.group for one in pl.from_dicts(rows, group=("x", "y"))}
    assert {f"t{n}": groups["t1"] for n in range(1, 11)}.items() <= groups.items()
    assert groups["t10"] != groups["t11"]


def test_rows_without_a_value_are_no_group():
    rows = [{"text": f"t{n}", "label": "a", "x": "", "y": None} for n in range(2)]
    assert [None, None] == [one.group for one in pl.from_dicts(rows, group=("x", "y"))]


def test_without_a_template_each_column_is_named_on_its_line():
    (one,) = pl.from_dicts([{"subject": "Hi", "body": "Rain?", "label": "weather"}], text=("subject", "body"))
    assert "subject: Hi\nbody: Rain?" == one.text


def test_the_id_comes_from_the_columns_and_not_from_the_template():
    rows = [{"a": "Hi", "b": "Rain?", "label": "weather"}]
    one, other = (pl.from_dicts(rows, text=("a", "b"), template=form)[0] for form in ("{a} {b}", "{b}, {a}"))
    assert one.id == other.id
    assert one.text != other.text


def test_several_label_columns_are_a_mapping():
    (one,) = pl.from_dicts([{"text": "x", "name": "Berg", "people": 4}], label=("name", "people"))
    assert {"name": "Berg", "people": "4"} == one.label


def test_several_files_are_read_as_one(write):
    one, other = write("a.csv", "text,label\nRain?,weather\n"), write("b.csv", "text,label\nRice?,food\n")
    assert ["weather", "food"] == [example.label for example in pl.read_csv(one, other)]
    with pytest.raises(DataError, match=r"empty\.csv: holds no examples"):
        pl.read_csv(one, write("empty.csv", "text,label\n"))


def test_a_task_takes_dictionaries():
    rows = [{"text": e.text, "label": e.label, "id": e.id} for e in examples()]
    assert task().examples == task(examples=rows).examples


def test_the_column_of_the_split_may_have_another_name_or_none():
    row = {"text": "x", "label": "a", "split": "fold 3", "part": "test"}
    assert "test" == pl.from_dicts([row], split="part")[0].split
    assert None is pl.from_dicts([row], split=None)[0].split
    with pytest.raises(
        DataError, match=r"row 1: split is 'fold 3', expected train, validation, test or nothing.*split=None"
    ):
        pl.from_dicts([row])


BAD = {
    "template with another column": ({"text": ("a", "b"), "template": "{a} {c}"}, r"template '\{a\} \{c\}' fills in 'a', 'c', expected \{a\} and \{b\}"),
    "template without a column": ({"text": ("a", "b"), "template": "{a}"}, r"fills in 'a', expected"),
    "a text column that is missing": ({"text": ("a", "c")}, r"row 1: no column 'c', only 'a', 'b', 'label'"),
    "a group column that is missing": ({"text": "a", "group": ("a", "who")}, "no column 'who'"),
    "a label column that is missing": ({"text": "a", "label": ("b", "day")}, "no column 'day'"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_columns_that_cannot_be_used_are_refused_by_name(case):
    columns, message = BAD[case]
    with pytest.raises(DataError, match=message):
        pl.from_dicts([{"a": "x", "b": "y", "label": "z"}], **columns)


def test_several_texts_may_not_all_be_empty():
    with pytest.raises(DataError, match=r"row 1: a is ' ', b is None, expected some text"):
        pl.from_dicts([{"a": " ", "b": None, "label": "z"}], text=("a", "b"))


DATA = "id,text,label\n" + "".join(f"{e.id},{e.text},{e.label}\n" for e in examples(6))


def test_an_overlay_changes_labels_excludes_and_disputes_and_leaves_the_data_alone(write):
    path = write("data.csv", DATA)
    overlay = write(
        "overlay.csv",
        "id,label,exclude,disputed,reason\ne000,food,,,it is about soup\ne001,,yes,,a copy\ne002,,,1,?\n",
    )
    plain, found = pl.read_csv(path), pl.read_csv(path, overlay=overlay)
    assert ["e000", "e002", "e003", "e004", "e005"] == [example.id for example in found]
    assert ("weather", "food") == (plain[0].label, found[0].label)
    assert [False, True, False, False, False] == [example.disputed for example in found]
    assert DATA == path.read_text()


OVERLAYS = {
    "id,label\ne01,food\n": r"overlay\.csv, row 2: id is 'e01', which no example has; did you mean 'e00",
    "id,label\ne001,food\ne001,weather\n": r"overlay\.csv, row 3: id 'e001' is already in .*row 2",
    "id,label,reason\ne001,,because\n": r"row 2: changes nothing",
    "id,lable\ne001,food\n": r"row 2: no column 'lable' is known, only id, label, exclude",
    "id,exclude\ne001,perhaps\n": r"row 2: exclude is 'perhaps', expected true, false or nothing",
}


@pytest.mark.parametrize(("overlay", "message"), OVERLAYS.items())
def test_an_overlay_that_cannot_be_used_is_refused_by_row_and_value(write, overlay, message):
    with pytest.raises(DataError, match=message):
        pl.read_csv(write("data.csv", DATA), overlay=write("overlay.csv", overlay))


def test_a_disputed_example_is_not_drawn_and_figures_are_given_without_it():
    doubtful = [
        e if n % 8 else pl.Example(e.id, e.text, e.label, disputed=True) for n, e in enumerate(examples())
    ]
    about = task(examples=doubtful)
    drawn = about.minibatch(pl.Prompt(), per_label=100, seed=0, iteration=1)
    assert {e.id for e in about.split("train") if not e.disputed} == {e.id for e in drawn}
    wrong = pl.score(
        about, [{"id": e.id, "reply": "" if e.disputed else f"<label>{e.label}</label>"} for e in doubtful]
    )
    assert 1.0 == wrong.undisputed.macro_f1 > wrong.macro_f1
    assert None is pl.score(task(), [{"id": e.id, "reply": ""} for e in examples()]).undisputed
