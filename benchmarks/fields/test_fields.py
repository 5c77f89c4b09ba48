"""Three prompts on booking messages: the brief alone, rules written by hand, and eight examples."""

import csv
import re
from itertools import combinations

import pytest

import promptlab as pl

from ..bounds import threshold
from .task import FIELDS, HERE, task

#: The mean score that each prompt has to reach on test; set before any call about the test split was made.
THRESHOLDS = {"first": 0.68, "written": 0.66, "eight": 0.72}


@pytest.mark.parametrize("prompt", THRESHOLDS)
def test_the_threshold_is_what_validation_gave(result, prompt):
    assert threshold(result(prompt, "validation"), task.counts["test"]) == THRESHOLDS[prompt]


@pytest.mark.parametrize("prompt", THRESHOLDS)
def test_each_prompt_reaches_its_threshold(result, prompt):
    assert result(prompt, "test").score >= THRESHOLDS[prompt]


def test_eight_examples_score_higher_and_break_a_canonical_one(result, tabulate):
    tabulate(task, result)
    found = pl.compare(result("first", "test"), result("eight", "test"))
    assert ("better", "broken") == (found.difference.verdict, found.verdict)


def test_the_data_is_what_its_card_says():
    assert [146, 80, 161] == [len(examples) for examples in task.splits.values()]
    assert 4 == sum(example.canonical for example in task.examples)


def test_all_readings_of_every_message_gave_its_fields():
    with (HERE / "readings.csv").open(encoding="utf-8", newline="") as file:
        readings = list(csv.DictReader(file))
    gold = {example.id: " | ".join(example.label[field] for field in FIELDS) for example in task.examples}
    for reading in ("writer", "first", "second"):
        assert gold == {row["id"]: row[reading] for row in readings}


def test_every_field_has_its_form():
    forms = {"day": r"\d\d-\d\d|none", "time": r"\d\d:\d\d|none", "people": r"\d+|none"}
    for example in task.examples:
        assert example.label["name"] == "none" or example.label["name"] in example.text
        for field, form in forms.items():
            assert re.fullmatch(form, example.label[field]), (example.id, field)


def test_no_two_messages_are_nearly_the_same():
    words = {example.id: set(re.findall(r"\w+", example.text.lower())) for example in task.examples}
    for (one, a), (other, b) in combinations(words.items(), 2):
        assert len(a & b) / len(a | b) <= 0.6, (one, other)
