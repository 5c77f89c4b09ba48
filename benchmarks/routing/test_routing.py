"""Three prompts on support messages: the brief alone, rules written by hand, and eight examples."""

import csv
import re
from itertools import combinations

import pytest

import promptlab as pl

from ..bounds import threshold
from .task import HERE, task

#: The macro F1 that each prompt has to reach on test; set before any call about the test split was made.
THRESHOLDS = {"first": 0.40, "written": 0.49, "eight": 0.58}


@pytest.mark.parametrize("prompt", THRESHOLDS)
def test_the_threshold_is_what_validation_gave(result, prompt):
    assert threshold(result(prompt, "validation"), task.counts["test"]) == THRESHOLDS[prompt]


@pytest.mark.parametrize("prompt", THRESHOLDS)
def test_each_prompt_reaches_its_threshold(result, prompt):
    assert result(prompt, "test").macro_f1 >= THRESHOLDS[prompt]


def test_eight_examples_are_better_than_none(result, tabulate):
    tabulate(task, result)
    assert "better" == pl.compare(result("first", "test"), result("eight", "test")).verdict


def test_the_data_is_what_its_card_says():
    labels = [example.label for example in task.examples]
    expected = {"payments": 130, "returns": 159, "delivery": 92, "product": 111}
    assert expected == {label: labels.count(label) for label in task.labels}
    assert [185, 107, 200] == [len(examples) for examples in task.splits.values()]
    assert 4 == sum(example.canonical for example in task.examples)


def test_all_readings_of_every_message_gave_its_label():
    with (HERE / "readings.csv").open(encoding="utf-8", newline="") as file:
        readings = list(csv.DictReader(file))
    gold = {example.id: example.label for example in task.examples}
    for reading in ("writer", "first", "second"):
        assert gold == {row["id"]: row[reading] for row in readings}


def test_no_two_messages_are_nearly_the_same():
    words = {example.id: set(re.findall(r"\w+", example.text.lower())) for example in task.examples}
    for (one, a), (other, b) in combinations(words.items(), 2):
        assert len(a & b) / len(a | b) <= 0.6, (one, other)
