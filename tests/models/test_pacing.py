"""The limiter, on a clock of its own: what a server allows is used, and little is refused."""

from __future__ import annotations

import asyncio
import itertools
import math
import time

import pytest

from promptlab.models import pacing
from promptlab.models.pacing import Limiter, wait_in


class Clock(asyncio.SelectorEventLoop):
    """An event loop that does not wait: its time, which is `time.monotonic` too, jumps to what is due."""

    now = 1000.0

    def time(self):
        return self.now

    def _run_once(self):
        if not self._ready and self._scheduled:
            self.now = max(self.now, self._scheduled[0].when())
        super()._run_once()


class Server:
    """A bucket of requests that fills steadily, and so many of them that may come at once."""

    def __init__(self, loop, rate, burst, headers=None, wait="1", latency=0.2):
        self.loop, self.rate, self.burst, self.latency = loop, rate, burst, latency
        self.headers, self.wait = headers or {}, {"retry-after": wait} if wait else {}
        self.left, self.then, self.refused, self.asked = burst, loop.time(), 0, []

    async def call(self):
        now = self.loop.time()
        self.asked.append(now)
        self.left, self.then = min(self.burst, self.left + (now - self.then) * self.rate), now
        if self.left < 1:
            self.refused += 1
            await asyncio.sleep(0.005)
            return 429, self.wait
        self.left -= 1
        await asyncio.sleep(self.latency)
        return 200, self.headers


def used(monkeypatch, calls, workers=100, tokens=(600, 20), processes=1, **server):
    """Make calls; return the share of the server's rate that was used, the share refused, and the server."""
    loop = Clock()
    monkeypatch.setattr(time, "monotonic", loop.time)
    api, waiting = Server(loop, **server), itertools.repeat(None, calls)
    limiters = [Limiter(1 / processes) for _ in range(processes)]

    async def one(limiter):
        while True:
            begun = await limiter.turn()
            status, headers = await api.call()
            if status == 200:
                return limiter.accepted(headers, tokens)
            wait = wait_in(headers)
            limiter.refused(begun, wait)
            await asyncio.sleep(wait or 0.5)

    async def work(limiter):
        for _ in waiting:
            await one(limiter)

    async def run():
        began = loop.time()
        await asyncio.gather(*map(one, limiters))
        await asyncio.gather(*(work(limiters[number % processes]) for number in range(workers)))
        return loop.time() - began

    try:
        seconds = loop.run_until_complete(run())
    finally:
        loop.close()
    return calls / seconds / api.rate, api.refused / calls, api


@pytest.fixture(autouse=True)
def slow_start(monkeypatch):
    monkeypatch.setattr(pacing, "START", 25.0)


HEADERS = {"anthropic-ratelimit-requests-limit": "3000"}


@pytest.mark.parametrize("workers", [16, 100])
@pytest.mark.parametrize("burst", [5, 50])
def test_a_limit_that_the_headers_state_is_used_and_not_exceeded(monkeypatch, workers, burst):
    share, refused, _ = used(monkeypatch, 600, workers, rate=50, burst=burst, headers=HEADERS)
    assert (share > 0.95, refused) == (True, 0.0)


@pytest.mark.parametrize("processes", [2, 4])
@pytest.mark.parametrize("burst", [5, 50])
def test_processes_that_have_a_share_each_use_the_stated_limit_together(monkeypatch, processes, burst):
    of = {"rate": 50, "burst": burst, "headers": HEADERS}
    share, refused, _ = used(monkeypatch, 1200, 16, processes=processes, **of)
    assert (share > 0.95, refused) == (True, 0.0)


@pytest.mark.parametrize("wait", ["1", None])
def test_processes_that_have_a_share_each_find_a_limit_that_nothing_states(monkeypatch, wait):
    share, refused, _ = used(monkeypatch, 3000, processes=2, rate=50, burst=50, wait=wait)
    assert share > 0.9
    assert refused < 0.03


def test_there_is_one_limiter_for_each_share(monkeypatch):
    monkeypatch.setattr(pacing, "_limiters", {})
    whole, half = pacing.limiter("url", "model"), pacing.limiter("url", "model", 1 / 2)
    assert pacing.limiter("url", "model", 1 / 2) is half
    assert whole.rate(0.0) == 2 * half.rate(0.0)


def test_processes_that_have_a_share_each_begin_as_slowly_as_one(monkeypatch):
    whole, half = Limiter(), Limiter(1 / 2)
    assert [whole.rate(now) for now in (0.0, 1.0, 3.0)] == [2 * half.rate(now) for now in (0.0, 1.0, 3.0)]


@pytest.mark.parametrize("wait", ["1", None])
@pytest.mark.parametrize("burst", [5, 50])
def test_a_limit_that_nothing_states_is_found(monkeypatch, burst, wait):
    share, refused, _ = used(monkeypatch, 3000, rate=50, burst=burst, wait=wait)
    assert share > 0.95
    assert refused < 0.02


@pytest.mark.parametrize("headers", [HEADERS, None])
def test_a_bucket_without_any_burst_is_followed_too(monkeypatch, headers):
    share, refused, _ = used(monkeypatch, 600, rate=50, burst=1, headers=headers)
    assert share > 0.8
    assert refused < 0.02


@pytest.mark.parametrize("limit", ["nan", "-5", "0", "inf", "many"])
def test_a_limit_that_makes_no_sense_is_none(limit):
    limiter = Limiter()
    limiter.accepted({"anthropic-ratelimit-requests-limit": limit}, (1, 1))
    assert limiter.rate(time.monotonic()) > 1e6


def test_a_limit_is_the_last_that_was_stated_and_is_looked_for_ten_times_a_second(monkeypatch):
    limiter, found = Limiter(), []
    for now, headers in (
        (10.0, HEADERS),
        (10.2, {}),
        (10.3, {"anthropic-ratelimit-requests-limit": "6000"}),
        (10.35, HEADERS),
        (10.5, HEADERS),
    ):
        monkeypatch.setattr(time, "monotonic", lambda now=now: now)
        limiter.accepted(headers, (1, 1))
        found.append(limiter.rate(now))
    assert [49.5, 49.5, 99.0, 99.0, 49.5] == found


def test_tokens_limit_the_rate_where_they_are_scarcer(monkeypatch):
    headers = HEADERS | {"anthropic-ratelimit-input-tokens-limit": "360000"}  # of 600 each: 10 a second
    share, refused, _ = used(monkeypatch, 200, rate=10, burst=30, headers=headers, tokens=(600, 20))
    assert 0.9 < share < 1.1
    assert 0.0 == refused


def test_where_nothing_limits_it_the_pace_is_soon_as_fast_as_the_workers(monkeypatch):
    share, _, api = used(
        monkeypatch, 10_000, rate=100, burst=math.inf, latency=1.0
    )  # 100 workers, 1 s a call
    assert share > 0.95
    first = [one - api.asked[0] for one in api.asked]
    assert 25 <= sum(one < 2.0 for one in first) < 110  # and it begins slowly


@pytest.mark.parametrize(("wait", "seconds"), [(30.0, 30), (1.0, 0)])
def test_a_long_wait_stops_all_calls_and_a_short_one_its_own(monkeypatch, wait, seconds):
    """A bucket that is empty for long has room for nobody; one that fills steadily has."""
    loop = Clock()
    monkeypatch.setattr(time, "monotonic", loop.time)
    limiter = Limiter()

    async def run():
        begun = await limiter.turn()
        limiter.refused(begun, wait)
        return await limiter.turn() - begun

    assert seconds <= loop.run_until_complete(run()) < seconds + 1
    loop.close()


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after": "3600"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
    ],
)
def test_what_a_server_asks_for_is_waited_for_unless_it_makes_no_sense(headers, expected):
    assert expected == wait_in(headers)


def test_calls_begin_slowly_again_after_a_pause(monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    limiter = Limiter()
    asyncio.run(limiter.turn())
    clock[0] += 10
    assert limiter.rate(clock[0]) > 1000
    clock[0] += 100
    asyncio.run(limiter.turn())
    assert 25.0 == limiter.rate(clock[0])
