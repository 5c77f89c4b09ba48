"""Three prompts on pairs of questions: the brief alone, rules written by hand, and eight examples."""

import csv
import re
from itertools import combinations

import pytest

import promptlab as pl

from ..bounds import threshold
from .task import HERE, swapped, task

#: The macro F1 that each prompt has to reach on test; set before any call about the test split was made.
THRESHOLDS = {"first": 0.41, "written": 0.38, "eight": 0.58}


@pytest.mark.parametrize("prompt", THRESHOLDS)
def test_the_threshold_is_what_validation_gave(result, prompt):
    assert threshold(result(prompt, "validation"), task.counts["test"]) == THRESHOLDS[prompt]


@pytest.mark.parametrize("prompt", THRESHOLDS)
def test_each_prompt_reaches_its_threshold(result, prompt):
    assert result(prompt, "test").macro_f1 >= THRESHOLDS[prompt]


def test_eight_examples_are_better_than_none(result):
    assert "better" == pl.compare(result("first", "test"), result("eight", "test")).verdict


def test_the_order_of_the_two_questions_changes_some_answers(lab, result, tabulate):
    other = lab.evaluate(swapped, HERE / "eight", name="eight-swapped-test")
    said = {row.example.id: row.label for row in result("eight", "test").rows}
    changed = sum(said[row.example.id] != row.label for row in other.rows)
    line = f"eight, the two questions swapped: {changed} of {other.examples} answers change"
    tabulate(task, result, line)
    assert 0 < changed < other.examples / 2


def test_the_data_is_what_its_card_says():
    labels = [example.label for example in task.examples]
    assert {"same": 249, "different": 252} == {label: labels.count(label) for label in task.labels}
    assert [189, 104, 208] == [len(examples) for examples in task.splits.values()]
    assert 4 == sum(example.canonical for example in task.examples)


def test_all_readings_of_every_pair_gave_its_label():
    with (HERE / "readings.csv").open(encoding="utf-8", newline="") as file:
        readings = list(csv.DictReader(file))
    gold = {example.id: example.label for example in task.examples}
    for reading in ("writer", "first", "second"):
        assert gold == {row["id"]: row[reading] for row in readings}


def test_pairs_that_share_a_question_are_one_group():
    homes: dict[str, set[str | None]] = {}
    for example in task.examples:
        for question in (
            re.sub("^(First|Second): ", "", example.text, flags=re.MULTILINE).casefold().splitlines()
        ):
            homes.setdefault(question, set()).add(example.group)
    assert {1} == set(map(len, homes.values()))


def test_no_two_pairs_are_nearly_the_same():
    words = {example.id: set(re.findall(r"\w+", example.text.lower())) for example in task.examples}
    for (one, a), (other, b) in combinations(words.items(), 2):
        assert len(a & b) / len(a | b) <= 0.8, (one, other)
