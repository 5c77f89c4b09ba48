from __future__ import annotations

import asyncio
from dataclasses import replace

import pandas
import pytest

import promptlab as pl
from promptlab.errors import DataError, RecordingError
from promptlab.records import Form, Unreadable

from .. import examples
from ..examples import task
from .conftest import asked


def classify(server, frame, **settings):
    settings = {"classifier": examples.model(server.url)} | settings
    return pl.classify(settings.pop("task", task()), "prompt", frame, **settings)


def sentences(*numbers):
    return pandas.DataFrame({"text": [f"Sentence {n} of some" for n in numbers]})


def test_a_frame_comes_back_with_its_index_and_is_not_changed(server):
    frame = pandas.DataFrame(
        {"n": [1, 2, 3], "text": ["Sentence 1", None, "Sentence 2"]}, index=["a", "b", "b"]
    )
    before = frame.copy()
    done = classify(server, frame, replies=True)
    assert before.equals(frame)
    assert before.equals(done[["n", "text"]])
    assert ["n", "text", "label", "reason", "reply"] == list(done.columns)
    assert ["food", None, "weather"] == list(done["label"])
    assert [None, "no text", None] == list(done["reason"])
    assert ["<label>food</label>", "", "<label>weather</label>"] == list(done["reply"])


def test_an_empty_frame_is_asked_nothing(server):
    done = classify(server, sentences())
    assert (0, ["text", "label", "reason"]) == (len(done), list(done.columns))
    assert [] == server.bodies


def test_a_journal_is_gone_on_with(server, folder):
    classify(server, sentences(1, 2), journal="j")
    done = classify(server, sentences(2, 3, 1), journal="j")
    assert ["weather", "food", "food"] == list(done["label"])
    assert [1, 2, 3] == sorted(asked(server))
    with pytest.raises(
        RecordingError, match=r"^j: holds the replies to other calls: model 'synthetic' -> 'other'"
    ):
        classify(server, sentences(1), journal="j", classifier=examples.model(server.url, "other"))


def test_a_graded_task_gives_what_its_extractor_returns(server):
    read = lambda reply: {"said": reply} if "food" in reply else Unreadable("no food")  # noqa: E731
    graded = task(labels=(), score=lambda *_: 1.0, extract=read)
    done = classify(server, sentences(1, 2), task=graded)
    assert [{"said": "<label>food</label>"}, None] == list(done["label"])
    assert [None, "no food"] == list(done["reason"])


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (pandas.DataFrame({"t": ["a"]}), "frame: no column 'text', which task 'topics' reads; it has 't'"),
        (pandas.DataFrame({"text": ["a"], "reason": [1]}), "frame: has a column 'reason' already"),
        (pandas.DataFrame([["a", "b"]], columns=["text", "text"]), "frame: more than one column 'text'"),
    ],
)
def test_columns_are_checked_before_the_first_call(server, frame, said):
    with pytest.raises(DataError, match=said):
        classify(server, frame)
    assert [] == server.bodies


def test_it_works_while_an_event_loop_is_running(server):
    async def notebook():
        return classify(server, sentences(1), journal="j")

    assert ["food"] == list(asyncio.run(notebook())["label"])


def test_a_cap_is_kept(server):
    model = pl.Model("m", max_tokens=10, base_url=server.url, price=pl.Price(0, 100_000))  # a dollar a call
    budget = pl.Budget(3.2)
    with pytest.raises(pl.BudgetExceeded):
        classify(server, sentences(*range(9)), classifier=model, max_cost=budget)
    assert 3 <= len(server.bodies) <= 6  # a reply costs half a dollar
    assert budget.spent <= 3.2


def test_a_notebook_is_told_what_it_will_take(server, capsys):
    classify(server, sentences(1, 1))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("promptlab: not tested with this model")
    assert lines[1].startswith(
        "promptlab: 2 rows: at most 1 calls, price unknown (estimated: no usage is recorded)"
    )


def test_columns_may_have_numbers_for_names(server):
    columns = pandas.DataFrame({0: ["Sentence 1"], "text": ["Sentence 2"]})
    swapped = [replace(one, form=Form(("0",))) for one in examples.examples()]
    done = classify(server, columns, task=task(examples=swapped))
    assert [1] == asked(server)
    assert [0, "text", "label", "reason"] == list(done.columns)
