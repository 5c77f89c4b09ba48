from __future__ import annotations

import json
from dataclasses import replace

import promptlab as pl
from promptlab.bulk.tested import NOT_TESTED, figures, on_test
from promptlab.cassettes import format as files
from promptlab.cassettes import recorder
from promptlab.records import Prompt

from .. import examples
from ..server import serving

TASK, PROMPT = examples.task(), Prompt("Better")


def test_an_evaluation_counts_once_all_of_test_is_recorded(tmp_path):
    """Of whatever profile; its repeats count, and part of a split is no figure."""
    path = tmp_path / "any/topics/some.jsonl"
    with serving(examples.answer) as server:
        model = examples.model(server.url)
        with recorder.use(path, mode="live", record_with=""):
            result = pl.evaluate(TASK, PROMPT, classifier=model, repeats=2, api_key="none")
    other = replace(model, base_url="http://127.0.0.1:1")  # who serves it does not matter
    found = on_test(TASK, PROMPT, other, tmp_path)
    assert result.rows == found.rows
    assert f"on test: {', '.join(map(str, result.figures))}; n = 30, each asked 2 times" == figures(
        TASK, PROMPT, other, tmp_path
    )
    for task, prompt, who in (
        (TASK, Prompt("Better."), model),
        (TASK, PROMPT, replace(model, max_tokens=9)),
        (replace(TASK, name="other"), PROMPT, model),
    ):
        assert on_test(task, prompt, who, tmp_path) is None
        assert figures(task, prompt, who, tmp_path).startswith(NOT_TESTED)
    recording = files.read(path)
    some = {key: recording.calls[key] for key in list(recording.calls)[:-2]}
    files.write(path, files.Recording(recording.header, some))
    assert on_test(TASK, PROMPT, model, tmp_path) is None


def test_a_recording_that_cannot_be_read_is_passed_over(tmp_path):
    (tmp_path / "any/topics").mkdir(parents=True)
    (tmp_path / "any/topics/some.jsonl").write_text(json.dumps({"promptlab": 99}))
    assert on_test(TASK, PROMPT, examples.model("http://127.0.0.1:1"), tmp_path) is None


def test_a_task_without_enough_examples_is_not_tested(tmp_path):
    assert on_test(examples.task(8), PROMPT, examples.model("http://127.0.0.1:1"), tmp_path) is None


def test_where_one_repeat_of_one_example_is_lacking_all_are_read_once(tmp_path):
    path = tmp_path / "any/topics/some.jsonl"
    with serving(examples.answer) as server:
        model = examples.model(server.url)
        with recorder.use(path, mode="live", record_with=""):
            pl.evaluate(TASK, PROMPT, classifier=model, repeats=2, api_key="none")
    recording = files.read(path)
    lost = next(key for key, call in recording.calls.items() if call.get("repeat"))
    files.write(path, files.without(recording, [lost]))
    assert [0] * 30 == [row.repeat for row in on_test(TASK, PROMPT, model, tmp_path).rows]
