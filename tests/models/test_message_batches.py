"""What a server says of batches is checked, whatever it is."""

from __future__ import annotations

import asyncio
import json
import time
from email.utils import formatdate

import pytest

from promptlab.errors import ModelError
from promptlab.models import message_batches
from promptlab.models.client import Client, Failure
from promptlab.models.message_batches import Batches, batch_in, result_in
from promptlab.models.prompts import build
from promptlab.records import Prompt

from ..bulk.batch_server import ROOT, errored, serving_batches
from ..examples import model

COUNTS = {"processing": 0, "succeeded": 2, "errored": 1, "canceled": 0, "expired": 0}
BATCH = {
    "id": "msgbatch_1",
    "created_at": "2026-11-20T18:37:24.5Z",
    "processing_status": "ended",
    "request_counts": COUNTS,
}


@pytest.fixture
def server():
    with serving_batches() as served:
        yield served


def on(server, work, sleep=asyncio.sleep):
    """Do some work with the batches of a server."""

    async def go():
        async with Client(api_key="none-needed") as client:
            return await work(Batches(client, model(server.url), sleep))

    return asyncio.run(go())


def test_a_batch_is_read():
    batch = batch_in(BATCH)
    assert ("msgbatch_1", True, 3, 2, False) == (
        batch.id,
        batch.ended,
        batch.calls,
        batch.succeeded,
        batch.archived,
    )
    assert 1795199844.5 == batch.created
    assert batch_in(BATCH | {"archived_at": "2026-11-20T18:37:24Z"}).archived
    assert not batch_in(BATCH | {"processing_status": "canceling"}).ended


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": None},
        {"id": "../../v1/models"},
        {"id": "a?b"},
        {"id": "\x1b[2J"},
        {"id": "a" * 300},
        {"created_at": "yesterday"},
        {"created_at": None},
        {"request_counts": None},
        {"request_counts": {"processing": 3}},
        {"request_counts": COUNTS | {"errored": "1"}},
    ],
)
def test_what_is_no_batch_is_refused(wrong):
    with pytest.raises(ValueError, match=r"id is|request_counts is|isoformat|expected an object"):
        batch_in(BATCH | wrong)


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ({"type": "expired"}, ("expired", "unknown")),
        ({"type": "canceled"}, ("canceled", "unknown")),
        (errored("api_error"), ("errored", "api_error")),
        ({"type": "errored", "error": {"type": "api_error", "message": "x"}}, ("errored", "api_error")),
        ({"type": "errored", "error": "x"}, ("errored", "unknown")),
        ({"type": "\x1b[2J"}, ("unknown", "unknown")),
        ({}, ("unknown", "unknown")),
    ],
)
def test_a_result_is_read_whatever_it_is(result, expected):
    read = result_in(json.dumps({"custom_id": "a", "result": result}).encode())
    assert ("a", *expected) == (read.custom_id, read.kind, read.error)


@pytest.mark.parametrize(
    "line", [b"", b"{", b"[]", b"\xff", b'{"custom_id": "a"}', b"[" * 100_000], ids=lambda line: line[:9]
)
def test_what_is_no_result_is_refused(line):
    with pytest.raises(ValueError, match=r"[Ee]xpect|codec"):
        result_in(line)


def test_the_size_of_a_body_is_that_of_what_is_sent(server):
    requests = [build(Prompt("é"), text, model(server.url)) for text in ("a\u2028b", "c", "€")]
    pieces = [message_batches.piece(f"key-{n}", one) for n, one in enumerate(requests)]

    async def create(batches):
        return await batches.create(pieces)

    server.outcome = lambda batch, params: "expired"
    assert 3 == on(server, create).calls
    assert message_batches.size(3, sum(map(len, pieces))) == server.sent[0].bytes
    assert ["a\u2028b", "c", "€"] == [
        one["params"]["messages"][0]["content"] for one in server.sent[0].requests
    ]


def test_results_are_lines_that_end_at_line_feeds_alone(server):
    batch = server.foreign(3)
    text = "a\u2028b\x85c\x1cd"
    for one in batch.results:
        one["result"]["message"] = {"content": text}

    async def results(batches):
        found = await batches.retrieve(batch.id)
        return [one async for page in batches.results(found) for one in page]

    assert [text] * 3 == [one.message["content"] for one in on(server, results)]


def test_a_listing_is_read_page_by_page_as_far_as_it_is_wanted(server, monkeypatch):
    monkeypatch.setattr(message_batches, "PAGE", 2)
    now = time.time()
    for age in (50, 40, 30, 20, 10):
        server.foreign(1, created=now - age)

    async def since(batches):
        return await batches.since(now - 35)

    assert ["msgbatch_other4", "msgbatch_other3", "msgbatch_other2"] == [one.id for one in on(server, since)]
    assert 2 == len(server.asked)


def test_a_listing_without_end_is_an_error(server, monkeypatch):
    monkeypatch.setattr(message_batches, "PAGE", 1)
    server.foreign(1)
    monkeypatch.setattr(
        "promptlab.models.message_batches._page", lambda page: ([batch_in(page["data"][0])], True)
    )
    monkeypatch.setattr("tests.bulk.batch_server.parse_qs", lambda query: {})

    async def since(batches):
        return await batches.since(0.0)

    with pytest.raises(ModelError, match="lists batch 'msgbatch_other0' again and again"):
        on(server, since)


def test_what_cannot_be_read_is_asked_for_again_and_then_an_error(server, monkeypatch):
    waited = []

    async def sleep(seconds):
        waited.append(seconds)

    async def check(batches):
        await batches.check()

    monkeypatch.setattr("promptlab.models.message_batches._page", lambda page: int("x"))
    with pytest.raises(Failure, match=r"http://127.0.0.1:\d+/v1/messages/batches is not what was expected"):
        on(server, check, sleep)
    assert [1.0, 2.0, 4.0, 8.0, 16.0] == waited
    assert [f"GET {ROOT}?limit=1"] * 6 == server.asked


def test_the_time_is_the_server_s(server):
    server.ahead = 5_000.0

    async def now(batches):
        await batches.check()
        return batches.now - time.time()

    assert 5_000 == pytest.approx(on(server, now), abs=2)


@pytest.mark.parametrize("date", [None, "", "soon", "Mon, 30 Nov 99999 12:00:00 GMT"])
def test_a_server_that_says_no_time_has_ours(date):
    assert 0.0 == message_batches._clock(date)


def test_a_clock_is_read():
    assert 60 == pytest.approx(message_batches._clock(formatdate(time.time() + 60, usegmt=True)), abs=2)
