"""How fast a server is asked: one limiter for each server and model, for the whole process.

The API counts requests, input and output tokens of a model in buckets that fill steadily, says in each
response how large they are, and answers 429 to what does not fit, and to an increase that is too sharp. So
calls are spaced evenly, begin slowly, follow the limits in the headers, and after a 429 the rate that was
accepted before it.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Mapping

START = 25.0  # calls a second, at first
DOUBLED = 0.25  # seconds in which that doubles, as long as nothing is refused
USED = 0.99  # share of a stated limit that is used; beyond it, clocks that differ cost refusals
WINDOW = 1.0  # seconds before a 429 in which accepted calls are counted
BACK = 0.9  # share of their rate that is used after it,
FLOOR = 0.7  # or this share of the rate before, if that is more
REGAINED = 10.0  # seconds in which the rate then doubles, up to the one before
RECOVERY = 0.01  # of the rate before, by which it goes beyond that each second, where no header says more
SHORT = 2.0  # seconds; a 429 that asks for more than that stops all calls, not only the one
IDLE = 60.0  # seconds without a call after which calls begin slowly again
LOOKED = 0.1  # seconds between two looks at the headers; three look-ups take 12 microseconds
LONGEST_WAIT = 60.0  # seconds; a server that asks for more would only look like a hang
KINDS = ("requests", "input-tokens", "output-tokens")  # in the headers anthropic-ratelimit-...-limit


class Limiter:
    """Spaces the calls to one model of one server; it belongs to no event loop, and to one thread.

    Where several processes ask the same server, each has its `share`: of what the server allows, and of the
    rate at which calls begin.
    """

    def __init__(self, share: float = 1.0) -> None:
        self._share = share
        self._stated = math.inf  # calls a second that the headers allow
        self._proven = self._before = math.inf  # calls a second accepted before the last 429, and asked
        self._slowed = 0.0  # when that was
        self._times = 0  # how often it was
        self._started = self._next = self._paused = self._look = 0.0
        self._begun = deque[float]()  # when calls began that have not been refused, in the last second
        self._costs = [1.0, 0.0, 0.0]  # of a call, of each kind, on average

    def rate(self, now: float) -> float:
        """Return the calls a second that may be begun."""
        slowly = self._share * START * math.exp2(min(50.0, (now - self._started) / DOUBLED))
        since = now - self._slowed
        regained = self._proven * math.exp2(min(50.0, since / REGAINED))
        before = self._before * (1 + RECOVERY * since)
        return min(slowly, regained, before if self._stated == math.inf else self._stated)

    async def turn(self) -> float:
        """Wait until the next call may begin; return when that was, for `refused`."""
        while True:
            now = time.monotonic()
            if now - self._next > IDLE:
                self._started = now
            begin = max(self._next, self._paused, now)
            self._next = begin + 1 / self.rate(begin)
            times = self._times
            if begin > now:
                await asyncio.sleep(begin - now)
            if times == self._times:  # nothing was refused while it waited
                self._begun.append(begin)
                while begin - self._begun[0] > WINDOW:
                    self._begun.popleft()
                return begin

    def accepted(self, headers: Mapping[str, str], tokens: tuple[int, int]) -> None:
        """Take note of an answer: the limits in its headers, and the input and output tokens that it cost."""
        for kind, cost in enumerate(tokens, start=1):
            self._costs[kind] += (cost - self._costs[kind]) * (0.05 if self._costs[kind] else 1.0)
        if (now := time.monotonic()) < self._look:
            return
        self._look = now + LOOKED
        limits = (_number(headers.get(f"anthropic-ratelimit-{kind}-limit")) for kind in KINDS)
        stated = [most / 60 / cost for most, cost in zip(limits, self._costs, strict=True) if most and cost]
        self._stated = self._share * USED * min(stated) if stated else self._stated

    def refused(self, begun: float, wait: float | None) -> None:
        """Take note of a 429 to a call that was begun then; the server asks to wait so many seconds."""
        now = time.monotonic()
        if begun in self._begun:
            self._begun.remove(begun)
        if wait and wait > SHORT:  # a bucket is empty, where a short wait means that it fills too slowly
            self._paused = max(self._paused, now + wait)
        self._times += 1
        if begun < self._slowed:  # it had been sent before the last one slowed calls down
            return
        seconds = min(WINDOW, max(0.1, now - self._started))
        count = sum(now - one < seconds for one in self._begun)
        self._before = self.rate(now)
        self._proven = max(FLOOR * self._before, BACK * min(count / seconds, self._before))
        self._slowed = self._next = now


_limiters: dict[tuple[str, str, float], Limiter] = {}


def limiter(url: str, model: str, share: float = 1.0) -> Limiter:
    """Return the limiter of a server, a model and a share, the same one for the whole process."""
    return _limiters.setdefault((url, model, share), Limiter(share))


def wait_in(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a server asks to wait; None where it does not, or for no sensible time."""
    milliseconds = _number(headers.get("retry-after-ms"))
    asked = _number(headers.get("retry-after")) if milliseconds is None else milliseconds / 1000
    return asked if asked is not None and asked <= LONGEST_WAIT else None


def _number(text: str | None) -> float | None:
    try:
        found = float(text or "")
    except ValueError:
        return None
    return found if math.isfinite(found) and found >= 0 else None
