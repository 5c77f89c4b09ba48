"""The Message Batches API: a batch is created, found again, and its results are read line by line.

What a server says is checked here. All of it goes to the server of the model: an address in an answer is not
followed, since key and texts would go there.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from promptlab.errors import ModelError, shorten
from promptlab.models.client import ATTEMPTS, LONGEST_WAIT, Client, Failure, failure_of
from promptlab.models.messages_api import PATH, body_of, shown_url
from promptlab.records import Model, Request

if TYPE_CHECKING:
    import httpx2

BATCHES = f"{PATH}/batches"
MOST, LARGEST = 100_000, 256_000_000  # requests of a batch, and bytes of its body
KEPT = 29 * 86_400.0  # seconds from its creation in which a batch has its results
OUTAGE = 60  # tries of what costs nothing, about an hour of waiting in all
PAGE = 100  # batches of a listing
COUNTS = ("processing", "succeeded", "errored", "canceled", "expired")
WORD = re.compile(r"\w[\w-]{0,199}", re.ASCII)  # what is shown, and part of an address
UNKNOWN = "unknown"
BEGINNING, BETWEEN, END = b'{"requests":[', b",", b"]}"
TOGETHER = 1_000  # results, and requests that are sent in one piece
T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]


class Unsure(ModelError):
    """Nobody knows whether a batch was created: the answer did not come."""


class NotFound(ModelError):
    """The server does not know a batch, or has no results of it."""


@dataclass(frozen=True)
class Batch:
    """A batch as the server describes it.

    Attributes:
        created: seconds since 1970, by the server's clock.
        ended: whether it has its results.
        calls: how many requests it has.
        succeeded: how many of them were answered; 0 until it has ended.
        archived: whether its results are gone.
    """

    id: str
    created: float
    ended: bool
    calls: int
    succeeded: int
    archived: bool


class Result(NamedTuple):
    """What became of a request: "succeeded", "errored", "canceled" or "expired".

    Of a request that has succeeded there is a message, of one in error the error's type and message.
    """

    custom_id: str
    kind: str
    message: Any
    error: str
    why: str


def piece(custom_id: str, request: Request) -> bytes:
    """Write a request as a part of a batch's body."""
    one = {"custom_id": custom_id, "params": body_of(request)}
    return json.dumps(one, ensure_ascii=False, separators=(",", ":")).encode()


def size(pieces: int, together: int) -> int:
    """Return the bytes of a body with so many pieces, that have so many bytes together."""
    return len(BEGINNING) + together + len(BETWEEN) * max(0, pieces - 1) + len(END)


class Batches:
    """The batches of a model's server. What costs nothing is tried again, for about an hour."""

    def __init__(self, client: Client, model: Model, sleep: Sleep = asyncio.sleep) -> None:
        self._sdk, self._model, self._sleep = client.server(model), model, sleep
        self._ahead = 0.0  # seconds of the server's clock

    @property
    def now(self) -> float:
        """The time of the server, in seconds since 1970."""
        return time.time() + self._ahead

    async def check(self) -> None:
        """Refuse a server without batches; ModelError."""
        try:
            await self._get(BATCHES, _page, {"limit": 1}, tries=ATTEMPTS)
        except NotFound:
            raise ModelError(
                f"{shown_url(self._model)} has no Message Batches: leave --batch (batch=True) out, and the "
                f"calls are made one by one"
            ) from None

    async def create(self, pieces: Sequence[bytes]) -> Batch:
        """Create a batch.

        Raises:
            Refused: the server does not take it as it is.
            Failure: it takes none for now (status 429).
            Unsure: it may have created it.
            ModelError: it refuses it for another reason.
        """
        import anthropic
        import httpx2

        length = size(len(pieces), sum(map(len, pieces)))
        try:
            response = await self._sdk.post(
                BATCHES,
                cast_to=httpx2.Response,
                content=_sent(pieces),
                options={"headers": {"content-length": str(length)}},
            )
            return batch_in(response.json())
        except TypeError as error:
            raise failure_of(self._model, error) from None
        except anthropic.APIError as error:
            status = getattr(error, "status_code", None)
            failure = failure_of(self._model, error)
            if status is None or status >= 500 or status in (408, 409):
                raise Unsure(str(failure)) from None
            raise failure from None
        except ValueError as error:
            raise Unsure(f"{shown_url(self._model)} answered with no batch: {error}") from None

    async def retrieve(self, batch_id: str) -> Batch:
        """Return a batch as it is by now; NotFound."""
        return await self._get(f"{BATCHES}/{batch_id}", batch_in)

    async def since(self, earliest: float) -> list[Batch]:
        """Return the batches created from a time on, whoever created them, newest first."""
        found: list[Batch] = []
        after: dict[str, str] = {}
        while True:
            batches, more = await self._get(BATCHES, _page, {"limit": PAGE} | after)
            found += [one for one in batches if one.created >= earliest]
            last = batches[-1] if batches else None
            if last is None or last.created < earliest or not more:
                return found
            if after.get("after_id") == last.id:
                raise ModelError(f"{shown_url(self._model)} lists batch {last.id!r} again and again")
            after = {"after_id": last.id}

    async def results(self, batch: Batch) -> AsyncGenerator[list[Result], None]:
        """Yield the results of a batch, some at a time, in no order; from the first on if it is read again.

        Raises:
            NotFound: it has none, or none any more.
            Failure: they broke off.
        """
        import anthropic
        import httpx2

        get = self._sdk.get(
            f"{BATCHES}/{batch.id}/results",
            cast_to=httpx2.Response,
            stream=True,
            stream_cls=anthropic.AsyncStream[Any],
        )
        try:
            async with contextlib.aclosing(cast("httpx2.Response", await get)) as response:
                async for lines in _lines(response):
                    yield [result_in(line) for line in lines]
        except anthropic.NotFoundError as error:
            raise NotFound(str(failure_of(self._model, error))) from None
        except (TypeError, anthropic.APIError) as error:
            raise failure_of(self._model, error) from None
        except (httpx2.HTTPError, ValueError) as error:
            raise Failure(f"the results of batch {batch.id!r} broke off: {error}") from None

    async def _get(
        self, path: str, read: Callable[[Any], T], query: Mapping[str, Any] | None = None, tries: int = OUTAGE
    ) -> T:
        """Read what the server says; NotFound, ModelError."""
        import anthropic
        import httpx2

        failures = 0
        while True:
            try:
                response = await self._sdk.get(path, cast_to=httpx2.Response, options={"params": query or {}})
                self._ahead = _clock(response.headers.get("date"))
                return read(response.json())
            except anthropic.NotFoundError as error:
                raise NotFound(str(failure_of(self._model, error))) from None
            except (TypeError, anthropic.APIError) as error:
                failure = failure_of(self._model, error)
            except ValueError as error:
                failure = Failure(f"{shown_url(self._model)}{path} is not what was expected: {error}")
            failures += 1
            if not isinstance(failure, Failure) or failures >= tries:
                raise failure
            wait = min(LONGEST_WAIT, 2.0 ** (failures - 1))
            await self._sleep(wait if failure.wait is None else failure.wait)


def _clock(date: str | None) -> float:
    """Return how many seconds a clock is ahead, by the header that says its time."""
    try:
        return parsedate_to_datetime(date or "").timestamp() - time.time()
    except (ValueError, OverflowError):
        return 0.0


async def _sent(pieces: Sequence[bytes]) -> AsyncIterator[bytes]:
    """Yield the body of a batch, which need not be whole in memory twice."""
    yield BEGINNING
    for start in range(0, len(pieces), TOGETHER):
        yield (BETWEEN if start else b"") + BETWEEN.join(pieces[start : start + TOGETHER])
    yield END


async def _lines(response: httpx2.Response) -> AsyncIterator[list[bytes]]:
    """Yield the lines of a response, some at a time. They end where JSON lines do, not at U+2028."""
    rest, waiting = b"", list[bytes]()
    async for chunk in response.aiter_bytes():
        *whole, rest = (rest + chunk).split(b"\n")
        waiting += filter(None, map(bytes.strip, whole))
        if len(waiting) >= TOGETHER:
            yield waiting
            waiting = []
    yield [*waiting, *filter(None, [rest.strip()])]


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"expected an object, found {shorten(value)}")
    return value


def _page(value: Any) -> tuple[list[Batch], bool]:
    """Read a page of a listing, and whether there is more."""
    page = _object(value)
    if not isinstance(page.get("data"), list):
        raise ValueError(f"data is {shorten(page.get('data'))}, expected batches")
    return [batch_in(one) for one in page["data"]], bool(page.get("has_more"))


def _word(value: Any) -> str:
    return value if isinstance(value, str) and WORD.fullmatch(value) else UNKNOWN


def batch_in(value: Any) -> Batch:
    """Read a batch; ValueError, with the reason, where it is none."""
    fields = _object(value)
    counts = _object(fields.get("request_counts"))
    numbers = [counts.get(name) for name in COUNTS]
    if not all(isinstance(number, int) for number in numbers):
        raise ValueError(f"request_counts is {shorten(counts)}, expected {', '.join(COUNTS)}")
    if _word(fields.get("id")) == UNKNOWN:
        raise ValueError(f"id is {shorten(fields.get('id'))}, expected a name")
    return Batch(
        id=fields["id"],
        created=datetime.fromisoformat(str(fields.get("created_at"))).timestamp(),
        ended=fields.get("processing_status") == "ended",
        calls=sum(cast("list[int]", numbers)),
        succeeded=counts["succeeded"],
        archived=fields.get("archived_at") is not None,
    )


def result_in(line: bytes) -> Result:
    """Read a line of results; ValueError, with the reason, where it is none."""
    try:
        fields = _object(json.loads(line))
    except RecursionError:
        raise ValueError(f"expected JSON, found {shorten(line[:60])}") from None
    result, name = _object(fields.get("result")), fields.get("custom_id")
    error = result.get("error")
    while isinstance(error, dict) and isinstance(error.get("error"), dict):
        error = error["error"]
    of = error if isinstance(error, dict) else {}
    kind, error_type = _word(result.get("type")), _word(of.get("type"))
    return Result(str(name), kind, result.get("message"), error_type, str(of.get("message")))
