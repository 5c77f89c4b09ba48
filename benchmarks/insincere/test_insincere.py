"""The predecessor's algorithm, and beside it a prompt of one-line answers written by hand."""

import csv
import re
from itertools import combinations

import pytest

import promptlab as pl

from ..bounds import most_without_label, threshold
from .task import HERE, SETTINGS, task

#: What validation gave, by formulas that were fixed before.
THRESHOLD = 0.38
MOST_WITHOUT_LABEL = 0.23


@pytest.fixture(scope="session")
def run(lab):
    """Run the optimization once, for all tests."""
    return lab.optimize(task, **SETTINGS)


def test_the_bounds_are_what_validation_gave(run):
    validation = run.finalists[0].validation
    assert threshold(validation, task.counts["test"]) == THRESHOLD
    assert most_without_label(validation) == MOST_WITHOUT_LABEL


def test_the_best_prompt_reaches_its_threshold(run):
    assert run.test.macro_f1 >= THRESHOLD


def test_few_replies_have_no_label(run):
    assert run.test.without_label <= MOST_WITHOUT_LABEL


def test_the_best_prompt_is_not_worse_than_the_first(run):
    assert run.comparison.verdict != "worse"


def test_the_prompt_folder_holds_the_best_prompt(run):
    assert pl.load_prompt(HERE / "prompt") == run.best


def test_every_reply_is_counted(run):
    assert len(task.split("test")) == run.test.scores.n == run.test_first.scores.n


@pytest.mark.parametrize("split", ["validation", "test"])
def test_the_prompt_written_by_hand_is_evaluated_beside_it(lab, split):
    one_line = lab.evaluate(task, HERE / "one-line", split=split, name=f"one-line-{split}")
    assert len(task.split(split)) == one_line.scores.n


def test_the_data_is_what_its_card_says():
    labels = [example.label for example in task.examples]
    assert {"sincere": 210, "insincere": 210} == {label: labels.count(label) for label in task.labels}
    assert 142 == sum(bool(example.note) for example in task.examples)
    assert 8 == sum(example.canonical for example in task.examples)


def test_both_readings_of_every_question_gave_its_label():
    with (HERE / "readings.csv").open(encoding="utf-8", newline="") as file:
        readings = list(csv.DictReader(file))
    gold = {example.id: example.label for example in task.examples}
    assert gold == {row["id"]: row["first"] for row in readings}
    assert gold == {row["id"]: row["second"] for row in readings}
    assert len(gold) * 0.15 <= sum(bool(row["hesitated"]) for row in readings)


def test_no_two_questions_are_nearly_the_same():
    words = {example.id: set(re.findall(r"\w+", example.text.lower())) for example in task.examples}
    for (one, a), (other, b) in combinations(words.items(), 2):
        assert len(a & b) / len(a | b) <= 0.6, (one, other)
