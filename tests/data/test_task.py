from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from random import Random

import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptlab.data.readers import from_dataframe, read_csv, read_jsonl, read_parquet, read_tsv
from promptlab.data.splits import SPLITS, assign
from promptlab.data.task import Task
from promptlab.errors import DataError
from promptlab.records import Example

from ..examples import LABELS, examples, task

CSV = 'id,text,label,note\na,"Rain, they say.",weather,\nb,NA,food,why not\n'
ROWS = [
    {"id": "a", "text": "Rain, they say.", "label": "weather", "note": ""},
    {"id": "b", "text": "NA", "label": "food", "note": "why not"},
]


def from_csv(tmp_path, text: str | bytes):
    path = tmp_path / "data.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_csv(path)


def every_way(tmp_path):
    (tmp_path / "data.csv").write_bytes(CSV.encode())
    (tmp_path / "excel.csv").write_bytes(b"\xef\xbb\xbf" + CSV.replace("\n", "\r\n").encode())
    (tmp_path / "data.tsv").write_text(CSV.replace(",", "\t").replace("Rain\t they", "Rain, they"))
    (tmp_path / "data.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    pandas.DataFrame(ROWS).to_parquet(tmp_path / "data.parquet")
    yield read_csv(tmp_path / "data.csv")
    yield read_csv(tmp_path / "excel.csv")
    yield read_tsv(tmp_path / "data.tsv")
    yield read_jsonl(tmp_path / "data.jsonl")
    yield read_parquet(tmp_path / "data.parquet")
    yield from_dataframe(pandas.DataFrame(ROWS))


def test_every_format_gives_the_same_examples(tmp_path):
    expected = (Example("a", "Rain, they say.", "weather"), Example("b", "NA", "food", note="why not"))
    for read in every_way(tmp_path):
        assert expected == read


def test_columns_may_have_other_names(tmp_path):
    (tmp_path / "data.csv").write_text("question,class\nRain?,weather\n")
    (one,) = read_csv(tmp_path / "data.csv", text="question", label="class")
    assert ("Rain?", "weather") == (one.text, one.label)


def test_an_id_is_made_from_the_text_and_not_from_the_row(tmp_path):
    two = from_csv(tmp_path, "text,label\nRain?,weather\nRice?,food\n")
    (one,) = from_csv(tmp_path, "text,label\nRice?,weather\n")
    assert one.id == two[1].id != two[0].id


def test_numbers_and_flags_of_other_formats_are_read(tmp_path):
    (one,) = from_dataframe(
        pandas.DataFrame({"text": ["x"], "label": [1], "canonical": [True], "note": [None]})
    )
    assert ("1", True, "") == (one.label, one.canonical, one.note)


def test_a_frame_with_a_missing_flag_has_floats_for_the_others():
    frame = pandas.DataFrame(
        {"text": ["x", "y", "z"], "label": ["a", "b", "b"], "canonical": [1.0, None, 0.0]}
    )
    assert [True, False, False] == [one.canonical for one in from_dataframe(frame)]


def test_a_text_longer_than_the_csv_module_allows_is_read(tmp_path):
    (one,) = from_csv(tmp_path, f"text,label\n{'x' * 200_000},weather\n")
    assert 200_000 == len(one.text)


BAD_FILES = {
    "text,lable\nRain?,weather\n": r"data\.csv, row 2: no column 'label', only 'text', 'lable'",
    "text,label\n ,weather\n": r"data\.csv, row 2: text is ' ', expected some text",
    "text,label\nRain, or not?,weather\n": r"data\.csv, row 2: 3 cells where the header has 2",
    "text,label\nRain?\n": r"data\.csv, row 2: 1 cells where the header has 2: \['Rain\?'\]",
    'text,label\n"Rain?,weather\n': r"data\.csv, line 2: unexpected end of data",
    "text,label,canonical\nRain?,weather,maybe\n": r"data\.csv, row 2: canonical is 'maybe', expected true",
    "text,label\n": r"data\.csv: holds no examples",
    "": r"data\.csv: holds no examples",
    b"text,label\nRain?,weather\ncaf\xe9,food\n": r"data\.csv, row 3: byte b'\\xe9' is not UTF-8",
}


@pytest.mark.parametrize(("content", "message"), BAD_FILES.items())
def test_a_bad_file_is_refused_by_row_and_value(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        from_csv(tmp_path, content)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.csv: cannot be read: No such file"):
        read_csv(tmp_path / "nowhere.csv")


def test_a_broken_line_of_json_is_named(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_text('{"text": "Rain?", "label": "weather"}\n{"text": \n')
    with pytest.raises(DataError, match=r"data\.jsonl, row 2: not JSON"):
        read_jsonl(path)
    path.write_text('["Rain?"]\n')
    with pytest.raises(DataError, match=r"row 1: expected a JSON object, got \['Rain\?'\]"):
        read_jsonl(path)


def test_a_file_that_is_no_parquet_is_named(tmp_path):
    (tmp_path / "data.parquet").write_text("no")
    with pytest.raises(DataError, match=r"data\.parquet: cannot be read as Parquet"):
        read_parquet(tmp_path / "data.parquet")


def test_a_column_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(DataError, match="column 'txt': expected one of text, template, label"):
        read_csv(tmp_path / "data.csv", txt="question")


def with_row(**fields):
    return (*examples(), replace(Example("new", "A new one.", "food", source="data.csv, row 82"), **fields))


BAD_TASKS = {
    "unknown label": ({"examples": with_row(label="foood")}, r"row 82: label is 'foood', expected one of 'weather', 'food'; did you mean 'food'"),
    "label in another case": ({"examples": with_row(label="Food")}, r"row 82: label is 'Food'"),
    "empty text": ({"examples": with_row(text="\t")}, r"row 82: text is '\\t'"),
    "text twice": ({"examples": with_row(text=" Sentence 3 about  the food of day 3. ")}, r"row 82: text .* is already in 'e003'"),
    "id twice": ({"examples": with_row(id="e003")}, r"row 82: id 'e003' is already in 'Sentence 3"),
    "one label": ({"labels": ("food",)}, r"labels are \('food',\), expected two or more"),
    "labels that differ by case": ({"labels": ("weather", "food", "Food")}, r"'food' and 'Food' do not differ once case is ignored"),
    "a label twice": ({"labels": ("weather", "food", "food")}, r"'food' and 'food' do not differ"),
    "a label with spaces": ({"labels": ("weather", " food")}, r"label ' food' is empty or has spaces"),
    "labels as one text": ({"labels": "food"}, r"labels is the string 'food', expected a tuple"),
    "text twice, labelled otherwise": ({"examples": with_row(text="Sentence 2 about the weather of day 2.")}, r"in 'e002', labelled 'weather' there"),
    "unknown positive": ({"positive": "fod"}, r"positive is 'fod', expected one of"),
    "shares that do not add up": ({"shares": (0.5, 0.2, 0.4)}, r"shares are \(0\.5, 0\.2, 0\.4\), expected three"),
    "a name that is no file name": ({"name": "a/b"}, r"Task\(name='a/b'\): expected letters"),
    "examples of one label": ({"examples": [e for e in examples() if e.label == "food"]}, "40 examples, all of the same label"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_TASKS)
def test_a_bad_task_is_refused_by_row_and_value(case):
    fields, message = BAD_TASKS[case]
    with pytest.raises(DataError, match=message):
        task(**fields)


def test_a_split_too_small_is_refused_with_all_that_is_short_and_what_to_add():
    small = task(28)
    assert ["weather", "food"] == list(small.split("train")[0].label and LABELS)
    with pytest.raises(DataError) as error:
        small.split("test")
    assert (
        "too few examples: 4 of 'weather' in test, 4 of 'food' in test. Each split needs 5 of each label, "
        in str(error.value)
    )
    assert "15 of each in all: add 1 of 'weather', 1 of 'food'" in str(error.value)


def test_an_unknown_split_is_refused():
    with pytest.raises(DataError, match="split 'dev': expected one of train, validation, test"):
        task().split("dev")


def test_small_splits_are_noted():
    assert 3 == len(task().notices)
    assert "below 30" in task().notices[0]
    assert () == task(600).notices


def test_every_example_is_in_one_split():
    splits = task().splits
    together = [example for name in SPLITS for example in splits[name]]
    assert sorted(e.id for e in together) == sorted(e.id for e in examples())


@given(st.integers(0, 79), st.integers(0, 3))
def test_a_new_example_moves_at_most_five_others(number, seed):
    """One at each border between the splits: among the first fifteen of its label, and behind them."""

    def homes(of: Task) -> dict[str, str]:
        return {e.id: name for name in SPLITS for e in of.splits[name]}

    every = homes(task(split_seed=seed))
    without = homes(task(examples=examples()[:number] + examples()[number + 1 :], split_seed=seed))
    assert sum(every[name] != split for name, split in without.items()) <= 5


def test_a_new_example_moves_no_other_of_another_label():
    more = (*examples(), Example("new", "A new one.", "food"))
    before, after = (
        {e.id for e in of.splits["test"] if e.label == "weather"} for of in (task(), task(examples=more))
    )
    assert before == after


@pytest.mark.parametrize("seed", range(100))
def test_fifteen_examples_of_a_label_will_do(seed):
    labels = ("a", "b", "c", "d")
    four = [Example(f"{label}{n}", f"{label} {n}", label) for label in labels for n in range(15)]
    assert [dict.fromkeys(labels, 5)] * 3 == [
        *task(examples=four, labels=labels, split_seed=seed).counts.values()
    ]


def test_five_come_first_and_the_rest_is_divided_by_the_shares():
    """25 = 15 + 10, of which 4, 2 and 4; 60 = 15 + 45, of which 18, 9 and 18."""
    for count, expected in {25: [9, 7, 9], 60: [23, 14, 23]}.items():
        assert expected == [of["food"] for of in task(2 * count).counts.values()]


def test_a_split_in_the_data_is_kept_and_the_others_are_placed_around_it():
    given = [replace(e, split="validation" if n < 40 else None) for n, e in enumerate(examples())]
    splits = task(examples=given).splits
    assert set(given[:40]) <= set(splits["validation"])
    assert {"validation": {"weather": 20, "food": 20}} == {
        "validation": task(examples=given).counts["validation"]
    }


def test_a_group_in_two_splits_is_refused_and_so_is_a_canonical_example_in_test():
    torn = [
        replace(e, group="g" if n < 2 else None, split=("train", "test")[n % 2])
        for n, e in enumerate(examples())
    ]
    with pytest.raises(DataError, match="group 'g' is in two splits: 'e000' in train, 'e001' in test"):
        task(examples=torn)
    with pytest.raises(DataError, match="example 'e000' is in two splits: 'e000' in test, 'e000' in train"):
        task(examples=[replace(examples()[0], canonical=True, split="test"), *examples()[1:]])


def test_groups_go_where_their_labels_are_most_lacking():
    """Groups of six of one label: five of each label are in each split, although 30 of a label are few."""
    grouped = [replace(e, group=f"{e.label}{n // 12}") for n, e in enumerate(examples(72))]
    for seed in range(20):
        counts = task(examples=grouped, split_seed=seed).counts
        assert 5 <= min(n for of in counts.values() for n in of.values())


def test_a_group_stays_together_and_goes_to_train_with_a_canonical_example():
    grouped = [replace(e, group=f"g{n // 4}", canonical=n == 9) for n, e in enumerate(examples())]
    splits = task(examples=grouped).splits
    groups = [{e.group for e in splits[name]} for name in SPLITS]
    assert 20 == sum(map(len, groups)) == len(set.union(*groups))
    assert "g2" in groups[0]


def test_the_data_hash_names_the_data():
    changed = (replace(examples()[0], note="new"), *examples()[1:])
    same = [replace(e, source="elsewhere") for e in examples()]
    assert task().data_hash == task(examples=same).data_hash
    assert task().data_hash != task(examples=changed).data_hash


def test_large_groups_with_several_labels_leave_five_of_each_in_every_split():
    """Five of each come first: with the shares alone, one of these 150 drawings leaves fewer."""
    for seed in range(150):
        random = Random(seed)
        drawn = [
            Example(f"g{g}-{n}", f"t{g} {n}", random.choices("abc", (6, 3, 1))[0], group=f"g{g}")
            for g in range(30)
            for n in range(random.choice((2, 4, 8)))
        ]
        home = assign(drawn, lambda e: e.label, seed=seed)
        total = Counter(e.label for e in drawn)
        counts = Counter((e.label, home[e.id]) for e in drawn)
        assert 5 <= min(counts[label, split] for label in total if total[label] >= 20 for split in SPLITS)
