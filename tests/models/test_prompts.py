from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import anthropic
import pytest
from hypothesis import given
from hypothesis import strategies as st

import promptlab as pl
from benchmarks.insincere.task import task as insincere
from promptlab.cassettes import format as files
from promptlab.errors import DataError
from promptlab.labels.extract import tagged
from promptlab.models import profiles
from promptlab.models.messages_api import reply_in
from promptlab.models.prompts import PARTS, build, first, load_prompt, save_prompt
from promptlab.records import Model, Prompt
from promptlab.scoring.evaluation import predict

from ..conftest import ROOT
from ..examples import task

parts = st.text(st.characters(codec="utf-8"))
demonstrations = st.lists(st.tuples(*[parts.filter(str.strip)] * 2), max_size=3)
prompts = st.builds(Prompt, parts, parts, parts, parts, demonstrations)


@given(prompts.filter(len))
def test_a_prompt_is_saved_and_loaded_to_the_byte(prompt):
    with tempfile.TemporaryDirectory() as folder:
        save_prompt(prompt, folder)
        assert prompt == load_prompt(folder)


@given(prompts.filter(len), prompts.filter(len))
def test_saving_over_another_prompt_leaves_nothing_of_it(old, new):
    with tempfile.TemporaryDirectory() as folder:
        save_prompt(old, folder)
        save_prompt(new, folder)
        assert new == load_prompt(folder)


@given(st.dictionaries(st.sampled_from(PARTS), parts, min_size=1))
def test_loading_and_saving_changes_no_file(files):
    with tempfile.TemporaryDirectory() as folder:
        for part, text in files.items():
            Path(folder, f"{part}.md").write_bytes(text.encode())
        before = {path.name: path.read_bytes() for path in Path(folder).iterdir()}
        save_prompt(load_prompt(folder), folder)
        assert before == {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def test_an_unexpected_file_is_named(tmp_path):
    (tmp_path / "sytem.md").write_text("Classify.")
    with pytest.raises(DataError, match=r"sytem\.md: not a part of a prompt, expected system\.md"):
        load_prompt(tmp_path)


def test_a_folder_without_a_prompt_is_named(tmp_path):
    with pytest.raises(DataError, match="nowhere: no such folder"):
        load_prompt(tmp_path / "nowhere")


def test_bytes_that_are_no_utf8_are_named(tmp_path):
    (tmp_path / "system.md").write_bytes(b"caf\xe9")
    with pytest.raises(DataError, match=r"system\.md: byte b'\\xe9' at offset 3 is not UTF-8"):
        load_prompt(tmp_path)


def test_the_first_prompt_is_this_text():
    expected = Prompt(
        system=(
            "Weather or food?\n\nAnswer in this form:\nReasoning: one or two sentences\n"
            "<label>weather or food</label>\n"
        ),
        prefix="Text:\n",
        suffix="\n\nWrite your reasoning, then <label>weather</label> or <label>food</label>.",
    )
    assert expected == first(task())


def test_the_first_prompt_needs_to_know_the_answer_format():
    with pytest.raises(DataError, match="answer_format="):
        first(task(extract=str.strip))
    assert "Answer: food" in first(task(extract=str.strip, answer_format="Answer: LABEL")).suffix


@given(prompts, st.text())
def test_the_text_stands_between_prefix_and_suffix(prompt, text):
    turns = build(prompt, text, Model("any")).messages
    before = 2 * len(prompt.demonstrations)
    assert ("user", prompt.prefix + text + prompt.suffix) == turns[before]
    assert ([("assistant", prompt.reply_prefix)] if prompt.reply_prefix else []) == list(turns[before + 1 :])


def test_tagged_states_its_format():
    assert "<verdict>LABEL</verdict>" == tagged("verdict").answer_format


SHOWN = (
    pl.Demonstration("Hail?", "<label>weather</label>"),
    pl.Demonstration("Rice?", "<label>food</label>"),
)


def test_demonstrations_are_turns_before_the_text():
    asked = build(Prompt("system", "<", ">", demonstrations=SHOWN), "Rain?", Model("any"))
    assert (
        ("user", "<Hail?>"), ("assistant", "<label>weather</label>"),
        ("user", "<Rice?>"), ("assistant", "<label>food</label>"), ("user", "<Rain?>"),
    ) == asked.messages  # fmt: skip


def test_ids_of_prompts_without_demonstrations_are_what_they_were():
    assert Prompt("x").id == Prompt("x", demonstrations=()).id
    assert 4 == len({Prompt("x", demonstrations=some).id for some in ((), SHOWN, SHOWN[::-1], SHOWN[:1])})


def test_the_id_of_a_prompt_is_this_hash():
    """Recordings, ledgers and reports name prompts by it."""
    assert "9c44d769" == load_prompt(ROOT / "benchmarks/insincere/one-line").id


def test_the_length_counts_demonstrations():
    assert 1 + sum(len(text) + len(reply) for text, reply in SHOWN) == len(Prompt("x", demonstrations=SHOWN))


def test_a_line_that_is_no_demonstration_is_named(tmp_path):
    path = tmp_path / "demonstrations.jsonl"
    for line in (
        '{"text": "Hail?"}',
        '["Hail?", "weather"]',
        '{"text": "", "reply": "x"}',
        '{"text": 1, "reply": "x"}',
        "{",
    ):
        path.write_text(f'{{"text": "Rice?", "reply": "food"}}\n{line}\n')
        with pytest.raises(
            DataError,
            match=r'demonstrations\.jsonl, line 2: expected \{"text": \.\.\., "reply": \.\.\.\}, got ',
        ):
            load_prompt(tmp_path)
    (tmp_path / "examples.jsonl").write_text("{}")
    with pytest.raises(DataError, match=r"examples\.jsonl: not a part of a prompt"):
        load_prompt(tmp_path)


def test_an_empty_prompt_is_a_prompt(tmp_path):
    save_prompt(Prompt(), tmp_path)
    assert Prompt() == load_prompt(tmp_path)
    assert bool(Prompt())
    assert (("user", "Rain?"),) == build(load_prompt(tmp_path), "Rain?", Model("any")).messages


HELD_OUT = {
    "in test": lambda of: of.split("test")[0],
    "in validation": lambda of: of.split("validation")[0],
    "canonical": lambda of: of.canonical[0],
}


@pytest.mark.parametrize("where", HELD_OUT)
def test_a_demonstration_that_the_prompt_is_judged_on_is_refused(where):
    of = task(examples=[replace(e, canonical=n == 9) for n, e in enumerate(task().examples)])
    example = HELD_OUT[where](of)
    prompt = Prompt(demonstrations=[(f" {example.text}\n", "x")])
    with pytest.raises(
        DataError,
        match=rf"is example '{example.id}', which is {'canonical' if where == 'canonical' else 'in validation or test'}",
    ):
        of.demonstrated(prompt)
    with pytest.raises(DataError, match=example.id):
        pl.evaluate(of, prompt, classifier="any")  # no call is made


def test_case_and_punctuation_do_not_make_another_text_of_a_demonstration():
    of = task()
    text = of.split("test")[0].text.upper().replace(".", " !")
    with pytest.raises(DataError, match="which is in validation or test"):
        of.demonstrated(Prompt(demonstrations=[(text, "x")]))
    assert () == of.demonstrated(Prompt(demonstrations=[("?!", "x"), ("Something else.", "x")]))


def test_a_demonstration_from_train_does_not_count_in_the_minibatches_of_its_prompt():
    of = task()
    drawn = of.minibatch(Prompt(), per_label=100, seed=0, iteration=1)
    shown = Prompt(demonstrations=[(drawn[0].text, "x")])
    assert (drawn[0],) == of.demonstrated(shown)
    assert set(drawn[1:]) == set(of.minibatch(shown, per_label=100, seed=0, iteration=1))


def test_what_was_tested_is_what_runs():
    """Production asks with the body that is recorded, and reads as the tests read, to the byte."""
    folder = ROOT / "benchmarks/insincere/one-line"
    recording = files.read(ROOT / "cassettes/local/insincere/one-line-test.jsonl")
    model = profiles.read(ROOT / "pyproject.toml", live=False, name="local").classifier
    for example in insincere.split("test")[:20]:
        arguments = pl.request(folder, example.text, model)
        sent = arguments | arguments.pop("extra_body")
        sent.pop("extra_body", None)
        entry = recording.calls[files.request_key("POST", "/v1/messages", sent)]
        message = anthropic.types.Message.model_validate(entry["response"]["body"] | {"id": "x"})
        expected = predict(insincere, example, reply_in(entry["response"]["body"]))
        assert (expected.label, expected.missing) == insincere.read(message)
