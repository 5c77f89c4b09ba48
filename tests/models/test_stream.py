"""Calls of a stream: nothing of them stays in the client."""

from __future__ import annotations

import asyncio
import gc
import threading

import pytest

from promptlab.errors import ModelError
from promptlab.models.client import Call, Client, Refused
from promptlab.records import REJECTED, Reply, Request

from .. import examples
from ..server import answering, serving


def calls(url, texts, keep=lambda reply: None, system="s"):
    return (
        Call(Request(examples.model(url), system, (("user", text),)), f"text {text}", keep) for text in texts
    )


def stream(asked, *, workers=4, **settings):
    """Ask; return how many were refused, and the client."""

    async def go():
        async with Client(workers=workers, api_key="none") as client:
            return await client.stream(asked, **settings), client

    return asyncio.run(go())


def echo(body):
    return body["messages"][0]["content"]


def refusing(body):
    """Refuse texts that begin with "bad"; with status 413 those that say long."""
    text = echo(body)
    status = 413 if "long" in text else 400
    error = {"type": "invalid_request_error", "message": "no"}
    return (status, {}, {"type": "error", "error": error}) if text.startswith("bad") else text


def test_each_reply_is_handed_over_before_it_is_counted():
    found = []

    async def go():
        async with Client(api_key="none") as client:

            def keep(reply):
                found.append((client.usage.calls, reply.text))

            await client.stream(calls("", map(str, range(50)), keep))
            return client.usage

    with answering(echo):
        usage = asyncio.run(go())
    assert [str(n) for n in range(50)] == sorted((text for _, text in found), key=int)
    assert all(counted <= number for number, (counted, _) in enumerate(found))
    assert (50, 500, 250) == (usage.calls, usage.input_tokens, usage.output_tokens)


def test_one_call_goes_first():
    began, first = [], threading.Event()

    def answer(body):
        began.append(echo(body))
        if len(began) == 1:
            first.wait(0.2)
            began.append("answered")
        return "x"

    with serving(answer) as server:
        stream(calls(server.url, "abcd"))
    assert ["a", "answered"] == began[:2]


def test_nothing_of_a_call_stays():
    """Neither replies nor requests: a thousand calls later there are as many as before."""

    def alive():
        gc.collect()
        return sum(isinstance(one, Reply | Request) for one in gc.get_objects())

    async def go():
        async with Client(api_key="none") as client:
            await client.stream(calls("", map(str, range(20))))
            before = alive()
            await client.stream(calls("", map(str, range(1000))))
            return alive() - before, client.spent

    with answering(echo):
        assert (0, ()) == asyncio.run(go())


def test_the_iterator_is_read_no_faster_than_calls_are_made():
    read = []

    def texts():
        for number in range(100):
            read.append(number)
            yield str(number)

    def keep(reply):
        assert len(read) <= int(reply.text) + 2 * 4

    with answering(echo):
        stream(calls("", texts(), keep))
    assert 100 == len(read)


def test_what_is_refused_is_passed_over_and_the_last_time_it_is_the_answer():
    texts, found = ["bad 0", "1", "bad 2", "3", "bad 4", "5"], []
    with serving(refusing) as server:
        refused, _ = stream(calls(server.url, texts, lambda reply: found.append(reply.text)), workers=1)
        assert (3, ["1", "3", "5"]) == (refused, found)
        found.clear()
        refused, _ = stream(
            calls(server.url, ["bad 0"], lambda reply: found.append((reply.stop_reason, reply.text))),
            proven=True,
            last=True,
        )
    assert (0, [(REJECTED, "no")]) == (refused, found)


@pytest.mark.parametrize(("texts", "made"), [(["bad 1", "bad 2", "3", "4"], 2), (["bad 1"], 1)])
def test_a_prompt_that_may_be_to_blame_stops_the_stream(texts, made):
    with serving(refusing) as server:
        with pytest.raises(Refused, match=r"^text bad 1|^text bad 2"):
            stream(calls(server.url, texts), workers=1)
    assert made == len(server.bodies)


def test_a_prompt_is_not_to_blame_where_it_is_proven_or_the_text_is_too_long():
    with serving(refusing) as server:
        assert 3 == stream(calls(server.url, ["bad 1", "bad 2", "bad 3"]), proven=True)[0]
        assert 3 == stream(calls(server.url, ["bad long 1", "bad long 2", "bad long 3"]))[0]


def test_what_keep_raises_stops_the_stream():
    def keep(reply):
        raise ModelError("the disk is full")

    with answering(echo) as server:
        with pytest.raises(ModelError, match="the disk is full"):
            stream(calls("", map(str, range(100)), keep))
    assert 1 == len(server.bodies)


def test_after_a_failure_what_is_in_flight_is_kept():
    found = []

    def answer(body):
        return (401, {}, {}) if echo(body) == "3" else echo(body)

    with serving(answer) as server:
        with pytest.raises(ModelError, match=r"text 3: .*refused the credential"):
            stream(calls(server.url, map(str, range(100_000)), lambda reply: found.append(reply.text)))
    assert len(server.bodies) - 1 == len(found) < 100_000  # how many depends on when the failure arrives


def test_after_an_interruption_what_is_in_flight_is_kept():
    inside, go, found = threading.Semaphore(0), threading.Event(), []

    def answer(body):
        if echo(body) != "0":
            inside.release()
            go.wait(10)
        return "x"

    async def interrupted(url):
        async with Client(workers=4, api_key="none") as client:
            asking = asyncio.ensure_future(client.stream(calls(url, map(str, range(9)), found.append)))
            await asyncio.to_thread(lambda: [inside.acquire(timeout=10) for _ in range(4)])
            asking.cancel()
            asyncio.get_running_loop().call_later(0.1, go.set)
            await asking

    with serving(answer) as server:
        with pytest.raises(asyncio.CancelledError):
            asyncio.run(interrupted(server.url))
    assert 5 == len(found) == len(server.bodies)
