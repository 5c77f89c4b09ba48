"""What a miss says: which settings, which files of the prompt, which rows differ from the recording."""

from __future__ import annotations

from dataclasses import replace

import pytest

from promptlab.cassettes import format as files
from promptlab.cassettes.format import Recording
from promptlab.cassettes.misses import of_model, of_prompt, of_texts
from promptlab.models import prompts
from promptlab.models.messages_api import body_of
from promptlab.records import Model, Prompt, Source

from ..examples import examples
from ..server import message

MODEL = Model("small", max_tokens=160, extra_body={"temperature": 0})
PROMPT = Prompt("Say it.", "Text: ", "\nLabel:", "", (("a text", "a reply"),))
ABOUT = examples(12)


def recorded(prompt=PROMPT, model=MODEL, about=ABOUT, repeats=1):
    """Make a recording of a prompt; its answers are synthetic."""
    calls = {}
    for one in about:
        for repeat in range(repeats):
            request = prompts.build(prompt, one.text, model, repeat)
            asked = {"method": "POST", "path": "/v1/messages", "headers": {}, "body": body_of(request)}
            answer = {"headers": {}, "status": 200, "body": message("x")}
            calls[files.message_key(request)] = {"request": asked, "response": answer}
    return Recording({}, calls)


def asked(about, prompt=PROMPT, repeats=1):
    return [
        (one, prompts.build(prompt, one.text, MODEL, number)) for one in about for number in range(repeats)
    ]


@pytest.mark.parametrize(("changed", "said"), [
    ({"system": "Say it!"}, ["system.md changed"]),
    ({"system": ""}, ["system.md is gone"]),
    ({"prefix": "Sentence: "}, ["prefix.md changed"]),
    ({"prefix": ""}, ["prefix.md is gone"]),
    ({"suffix": "\nAnswer:"}, ["suffix.md changed"]),
    ({"reply_prefix": "<label>"}, ["reply_prefix.md is new"]),
    ({"demonstrations": ()}, ["demonstrations.jsonl is gone"]),
    ({"demonstrations": (("a text", "another"),)}, ["demonstrations.jsonl changed"]),
    ({"system": "x", "suffix": "y"}, ["system.md changed", "suffix.md changed"]),
    ({}, []),
])  # fmt: skip
def test_the_files_of_a_prompt_that_differ_are_named(changed, said):
    assert said == list(of_prompt(replace(PROMPT, **changed), MODEL, recorded(), ABOUT))


@pytest.mark.parametrize(("changed", "said"), [
    ({"max_tokens": 200}, ["max_tokens 160 -> 200"]),
    ({"name": "large"}, ["model small -> large"]),
    ({"extra_body": {"temperature": 1}}, ["temperature 0 -> 1"]),
    ({"extra_body": {}}, ["temperature 0 -> none"]),
    ({"effort": "low"}, ["output_config none -> {'effort': 'low'}"]),
    ({"base_url": "http://127.0.0.1:2"}, []),
])  # fmt: skip
def test_the_settings_of_a_model_that_differ_are_named(changed, said):
    model = replace(MODEL, **changed)
    assert said == list(of_prompt(PROMPT, model, recorded(), ABOUT)) == list(of_model(model, recorded()))


def test_of_several_recorded_prompts_the_most_alike_is_compared_with():
    other = recorded(Prompt("Something else."), replace(MODEL, name="large"))
    both = Recording({}, other.calls | recorded().calls)
    assert ["system.md changed"] == list(of_prompt(replace(PROMPT, system="x"), MODEL, both, ABOUT))


def test_texts_that_are_gone_do_not_hide_what_is_the_same():
    old = [replace(one, text=f"Gone {n}.") for n, one in enumerate(ABOUT)]
    assert [] == list(of_prompt(PROMPT, MODEL, recorded(about=old), ABOUT))


def test_rows_that_are_not_recorded_are_named_three_at_most():
    rows = [replace(one, source=Source("topics.csv", n)) for n, one in enumerate(ABOUT, 2)]
    assert ["topics.csv, row 2 is new or changed"] == list(
        of_texts(asked(rows[:1]), recorded(about=ABOUT[1:]))
    )
    said = "topics.csv, row 2; topics.csv, row 3; topics.csv, row 4 and 9 more rows are new or changed"
    assert [said] == list(of_texts(asked(rows), Recording()))
    assert ["e000 is new or changed"] == list(of_texts(asked(ABOUT[:1]), Recording()))


def test_answers_that_lack_to_what_is_asked_several_times_are_counted():
    lacking = [one for one in asked(ABOUT, repeats=3) if one[1].repeat]
    assert ["24 further answers to what is asked several times are lacking"] == list(
        of_texts(lacking, recorded())
    )


def test_of_an_empty_recording_nothing_is_compared():
    assert [] == list(of_prompt(PROMPT, MODEL, Recording(), ABOUT)) == list(of_model(MODEL, Recording()))
