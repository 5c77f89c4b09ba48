"""A labeller answers about a row the same in any process, with any other rows, and can be sent to processes."""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from types import MappingProxyType

import anthropic
import pandas
import pytest

import promptlab as pl
from promptlab.bulk import labeller as module
from promptlab.models import pacing
from promptlab.models.client import Refused
from promptlab.records import Example, Form

from .. import examples
from ..conftest import ROOT
from ..server import serving
from . import labeller_parts as parts

PROMPT = pl.Prompt("Better", "<", ">")
TOO_LONG = 400, {}, {"error": {"type": "exceed_context_size_error", "message": "the text is too long"}}


@pytest.fixture(autouse=True)
def own_calls(monkeypatch):
    """Give each test clients of its own, and close them."""
    monkeypatch.setattr(module, "_one", None)
    yield
    if module._one:
        module._one._close()


@pytest.fixture
def server():
    """A server that answers, but for texts about "too long": those it refuses for good."""

    def answer(body):
        return TOO_LONG if "too long" in body["messages"][-1]["content"] else examples.answer(body)

    with serving(answer) as server:
        yield server


def labeller(server, prompt=PROMPT, task=None, **settings):
    return pl.Labeller(task or examples.task(), prompt, classifier=examples.model(server.url), **settings)


def frame(rows=12):
    """Rows of all kinds: two that begin it are refused, some are equal, and one has no text."""
    texts = [f"Sentence {number % 9}" for number in range(rows)]
    texts[:2] = ["Sentence 0, too long", "Sentence 1, too long"]
    return pandas.DataFrame({"text": [*texts, None], "n": range(rows + 1)}, index=range(100, 101 + rows))


def in_parts(label, rows, size):
    return pandas.concat([label(rows[start : start + size]) for start in range(0, len(rows), size)])


def test_it_labels_as_classify_does(server):
    rows = frame()[2:]
    done = labeller(server, replies=True)(rows)
    model = examples.model(server.url)
    expected = pl.classify(examples.task(), PROMPT, rows, classifier=model, replies=True)
    assert list(expected.columns) == list(done.columns)
    assert expected.equals(done.astype(object).where(done.notna(), None).astype(expected.dtypes))


@pytest.mark.parametrize("size", [1, 2, 5])
def test_labels_do_not_depend_on_the_size_of_the_batches(server, size):
    rows = frame()
    whole = labeller(server)(rows)
    module._one._close()
    module._one = None  # as another process begins
    pandas.testing.assert_frame_equal(whole, in_parts(labeller(server), rows, size))
    assert ["rejected", "rejected"] == list(whole["reason"][:2])


def test_rows_of_a_frame_with_the_same_text_are_asked_once(server):
    labeller(server)(pandas.DataFrame({"text": ["Sentence 1", "Sentence 2"] * 5}))
    assert 2 == len(server.bodies)


def test_a_prompt_that_the_server_refuses_is_named_whatever_the_batches_are(server):
    for size in (1, 12):
        with pytest.raises(pl.ModelError, match=r"task 'topics', example 'e001': .*the text is too long"):
            in_parts(labeller(server, pl.Prompt("", "too long")), frame(), size)


def test_what_fails_once_does_not_stop_the_next_frame():
    answers = itertools.chain([(401, {}, "")], itertools.repeat("<label>food</label>"))
    with serving(lambda _: next(answers)) as server:
        label, rows = labeller(server), pandas.DataFrame({"text": ["Sentence 1"]})
        with pytest.raises(pl.ModelError, match="refused the credential"):
            label(rows)
        assert ["food"] == list(label(rows)["label"])


def test_an_interruption_ends_the_calls_and_the_next_frame_begins_anew():
    caught = threading.Event()

    def answer(body):
        if not caught.is_set():
            os.kill(os.getpid(), signal.SIGINT)
            if not caught.wait(10):
                caught.set()
        return examples.answer(body)

    with serving(answer) as server:
        label = labeller(server)
        rows = pandas.DataFrame({"text": [f"Sentence {number}" for number in range(40)]})
        with pytest.raises(KeyboardInterrupt):
            label(rows)
        while module._one._clients:  # before the server answers, which it does in ten seconds
            time.sleep(0.01)
        assert not caught.is_set()
        caught.set()
        assert 40 == label(rows)["label"].count()
        assert 41 == len(server.bodies)


# -- processes ----------------------------------------------------------------------------------


def label_part(label, rows):
    return label(rows)


@pytest.mark.thorough
def test_processes_that_get_it_pickled_answer_as_one(server):
    label = labeller(server, task=examples.task(extract=parts.read), processes=2)
    rows = frame()
    alone, asked = label(rows), len(server.bodies)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(label_part, label, part) for part in (rows[:5], rows[5:])]
        pandas.testing.assert_frame_equal(alone, pandas.concat([one.result() for one in futures]))
        assert len(server.bodies) > asked
        refused = labeller(server, pl.Prompt("", "too long"), processes=2)
        error = pool.submit(label_part, refused, rows).exception()
    assert (Refused, 400) == (type(error), error.status)


@pytest.mark.thorough
def test_connections_are_closed_as_the_process_ends_and_one_that_was_forked_has_its_own(server):
    code = f"from tests.bulk.labeller_parts import label_and_fork as go; go({server.url!r})"
    command = [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    labels = ["weather food weather food", "food weather food weather", "weather food weather food"]
    assert (labels, "") == (done.stdout.splitlines(), done.stderr)


def test_no_credential_is_pickled(server, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "a-key-of-nobody-1")
    label = labeller(server)
    label(frame())
    assert {"a-key-of-nobody-1"} == {
        one["authorization"].removeprefix("Bearer ") for one in server.headers if "authorization" in one
    }
    assert b"a-key-of-nobody-1" not in pickle.dumps(label)


class Asking:
    """An extractor that asks a model."""

    def __init__(self):
        self.client = anthropic.Anthropic(api_key="x")

    def __call__(self, reply):
        return reply


def closure():
    return lambda *_: 0.5


GRADED = {"labels": (), "score": lambda *_: 1.0}


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("extract is <function <lambda>", {"extract": lambda reply: reply}),
        ("extract is <function closure.<locals>", {"extract": closure()}),
        ("score is <function <lambda>", GRADED),
        ("draw is <function <lambda>", {"draw": lambda *_: ()}),
    ],
)
def test_what_cannot_be_pickled_is_refused_by_name(server, name, fields):
    with pytest.raises(pl.DataError) as error:
        labeller(server, task=examples.task(**fields))
    assert str(error.value).startswith(f"task 'topics': {name}")
    assert "cannot be pickled" in str(error.value)


def test_an_open_client_is_refused_by_name(server):
    extract = Asking()
    with extract.client, pytest.raises(pl.DataError, match=r"^task 'topics': extract is <.*Asking"):
        labeller(server, task=examples.task(extract=extract))


def test_examples_and_models_that_cannot_be_pickled_are_refused_by_name(server):
    label = MappingProxyType({"a": "x"})
    one = [Example(f"e{number}", f"text {number}", label) for number in range(20)]
    graded = examples.task(labels=(), score=sum, examples=one)
    with pytest.raises(pl.DataError, match=r"^task 'topics': examples is "):
        labeller(server, task=graded)
    model = pl.Model("x", base_url=server.url, extra_body=MappingProxyType({"temperature": 0}))
    with pytest.raises(pl.DataError, match=r"^task 'topics': classifier is "):
        pl.Labeller(examples.task(), PROMPT, classifier=model)


def test_nothing_is_asked_by_what_is_refused_at_construction(server):
    first, *others = examples.examples()
    columns = [replace(first, form=Form(("title",))), *others]
    with pytest.raises(pl.DataError, match="made of different columns"):
        labeller(server, task=examples.task(examples=columns))
    model = pl.Model("claude-haiku-5-5", extra_body={"temperature": 0})
    with pytest.raises(pl.ModelError, match="temperature"):
        pl.Labeller(examples.task(), PROMPT, classifier=model)
    for processes in (0, 17):
        with pytest.raises(ValueError, match=f"processes is {processes}, expected 1 to 16"):
            labeller(server, processes=processes)
    assert [] == server.bodies


# -- calls --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("processes", "expected"), [(1, 4), (2, 2), (3, 1)])
def test_a_process_makes_its_share_of_the_concurrent_calls(processes, expected):
    flying, most, lock = [], [], threading.Lock()
    full = threading.Barrier(expected, lambda: time.sleep(0.05))  # in which one more could come

    def answer(body):
        with lock:
            flying.append(body)
            most.append(len(flying))
        if "Sentence 0" not in body["messages"][-1]["content"]:  # which goes first, alone
            full.wait(10)
        with lock:
            flying.remove(body)
        return examples.answer(body)

    with serving(answer) as server:
        rows = pandas.DataFrame({"text": [f"Sentence {number}" for number in range(13)]})
        labeller(server, workers=4, processes=processes)(rows)
    assert expected == max(most)


def test_a_process_asks_at_its_share_of_the_rate(server, monkeypatch):
    limiter, shares = pacing.limiter, []
    monkeypatch.setattr(pacing, "limiter", lambda *given: shares.append(given[2]) or limiter(*given))
    labeller(server, processes=4)(frame())
    assert {1 / 4} == set(shares)


def test_one_client_serves_all_frames_and_threads_of_a_process(server, monkeypatch):
    made = []

    class Counted(module.Client):
        def __init__(self, **settings):
            made.append(settings)
            super().__init__(**settings)

    monkeypatch.setattr(module, "Client", Counted)
    rows, label = frame(), labeller(server)
    copies = [pickle.loads(pickle.dumps(label)) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda copy: in_parts(copy, rows, 5), copies))
    for one in found:
        pandas.testing.assert_frame_equal(label(rows), one)
    assert 1 == len(made)


def test_one_call_goes_first_in_a_process_and_not_in_each_frame():
    full = threading.Barrier(2)

    def answer(body):
        if len(server.bodies) > 1:
            full.wait(10)  # a call that went first would wait for another in vain
        return examples.answer(body)

    with serving(answer) as server:
        label = labeller(server)
        for texts in (["Sentence 0"], ["Sentence 1", "Sentence 2"]):
            assert label(pandas.DataFrame({"text": texts}))["reason"].isna().all()


def test_it_may_be_called_where_an_event_loop_runs(server):
    async def main():
        return labeller(server)(frame())

    pandas.testing.assert_frame_equal(labeller(server)(frame()), asyncio.run(main()))


def test_it_prints_nothing(server, capfd, monkeypatch):
    monkeypatch.setattr("promptlab.models.progress.EVERY", 0.0)
    labeller(server)(frame())
    assert ("", "") == capfd.readouterr()


# -- columns ------------------------------------------------------------------------------------


def test_frames_have_the_same_types_with_a_reason_and_without(server):
    rows, label = frame(), labeller(server, replies=True)
    kinds = [label(part).dtypes.to_dict() for part in (rows[:1], rows[2:4], rows[-1:], rows[:0])]
    added = [{name: str(kind[name]) for name in ("label", "reason", "reply")} for kind in kinds]
    assert [dict.fromkeys(("label", "reason", "reply"), "string[pyarrow]")] * 4 == added


def score(example, answer):
    return 1.0


def test_an_answer_that_is_no_text_is_written_as_json(server):
    task = examples.task(labels=(), score=score, extract=str.split)
    done = labeller(server, task=task)(pandas.DataFrame({"text": ["Sentence 1"]}))
    assert ['["<label>food</label>"]'] == list(done["label"])


def test_half_a_surrogate_pair_in_a_reply_does_not_lose_the_batch():
    with serving(lambda _: "\ud800 <label>food</label>") as server:
        done = labeller(server, replies=True)(pandas.DataFrame({"text": ["Sentence 1"]}))
    assert ["food", "? <label>food</label>"] == [*done["label"], *done["reply"]]


def test_what_is_no_frame_is_refused_and_says_what_ray_needs(server):
    with pytest.raises(pl.DataError, match="batch_format='pandas'"):
        labeller(server)({"text": ["Sentence 1"]})
