from __future__ import annotations

from dataclasses import replace

from promptlab.records import Prompt, Reply
from promptlab.scoring.doubts import doubtful
from promptlab.scoring.evaluation import evaluation_of, predict

from ..examples import task


def answered(prompt: str, *labels: str | None):
    """Make an evaluation of the first examples: weather, food, weather, food ..."""
    rows = [
        predict(task(), one, Reply(f"<label>{label}</label>" if label else "hm", "end_turn", (), "m", 1, 1))
        for one, label in zip(task().examples, labels, strict=False)
    ]
    return evaluation_of(task(), "validation", Prompt(prompt), rows)


def found(*evaluations, **fewest):
    return [(one.example.id, one.answer, len(one.answers)) for one in doubtful(evaluations, **fewest)]


WRONG = ("food", "food", "weather", "weather")  # e000 and e003


def test_what_every_prompt_answers_in_the_same_wrong_way_is_in_doubt():
    some = [answered(name, *WRONG) for name in "abc"]
    assert [("e000", "food", 3), ("e003", "weather", 3)] == found(*some)
    ((_, *_), *_) = doubtful(some)[0].answers
    assert ["food"] * 3 == [row.label for _, row in doubtful(some)[0].answers]


def test_one_prompt_that_has_it_right_or_no_label_clears_it():
    some = [answered("a", *WRONG), answered("b", *WRONG), answered("c", "weather", "food", "weather", None)]
    assert [] == found(*some)


def test_two_prompts_are_too_few_and_one_prompt_counts_once():
    some = [answered("a", *WRONG), answered("b", *WRONG), answered("b", *WRONG)]
    assert [] == found(*some)
    assert 2 == len(found(*some, fewest=2))


def test_those_of_most_prompts_come_first():
    some = [answered(name, *WRONG[: 4 if name == "d" else 1]) for name in "abcd"]
    some += [answered(name, "weather", *WRONG[1:]) for name in "ef"]
    assert [("e003", "weather", 3)] == found(*some)


def test_a_prompt_that_goes_by_two_names_counts_once():
    b = answered("b", *WRONG)
    assert [] == found(answered("a", *WRONG), b, replace(b, name="iteration 1"))
