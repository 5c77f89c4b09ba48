"""A client of the Messages API: one connection pool for a run, retries, identical requests once.

Recordings are not known here: a cassette works below, in the transport. It only says which requests it
answers, since those are neither spaced nor paid.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import itertools
import json
import math
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

from promptlab.errors import CassetteMiss, ModelError, PromptlabError
from promptlab.models import catalog, pacing
from promptlab.models.messages_api import (
    KEPT_REFUSAL,
    PATH,
    REFUSED,
    REPEAT,
    SECONDS,
    TOO_LARGE,
    body_of,
    is_refusal,
    message_in,
    refusal_in,
    refuse,
    refused,
    reply_in,
    shown_url,
    url_of,
)
from promptlab.models.progress import Progress
from promptlab.models.spending import Budget, Spent, dollars, spent, usage_of, worst
from promptlab.network import is_loopback
from promptlab.records import REJECTED, Model, Reply, Request, Usage

if TYPE_CHECKING:
    import ssl

    import anthropic

WORKERS = 16  # calls in flight; far below the API's limits, enough to hide its latency
DEADLINE = 600.0  # seconds for one call, its tries included; a queue in front of a local server is part of it
ATTEMPTS = 6  # tries of a call that fails, about a minute of waiting in all
UNREADABLE = 3  # tries of one that is answered with no message: each may have been paid
LONGEST_WAIT = 60.0  # seconds between two tries
TOO_MANY = "more than the 5% of a split that an accident explains"
GRACE = 5.0  # seconds that calls in flight have to finish once a run is interrupted
T = TypeVar("T")
Keep = Callable[[Reply], None]
Headers = Mapping[str, str]
ANY_KEY = "no-key-needed"  # the SDK insists on one; never sent beyond loopback

#: Whether a request is answered from a recording, without a call; set while one is in use.
recorded: ContextVar[Callable[[Request], bool]] = ContextVar("recorded", default=lambda _: False)


class Refused(ModelError):
    """The API refuses a request for good: it is too long, or it is not acceptable; `status` is 400 or 413."""

    def __init__(self, message: str, status: int = REFUSED) -> None:
        # By default, since an error is unpickled with one argument.
        self.status = status
        super().__init__(message)


class Call(NamedTuple):
    """A request to be made, and who takes its reply."""

    request: Request
    asked_for: str  # the caller, in errors
    keep: Keep  # called before the reply is counted; what it raises stops the run


class _NotAsked(ModelError):
    """A call that was held back because an earlier one had failed."""


class Failure(ModelError):
    """A call that failed and may succeed if it is made again: `tries` in all, `wait` seconds later."""

    def __init__(
        self, message: str, *, status: int | None = None, tries: float = ATTEMPTS, wait: float | None = None
    ) -> None:
        self.status, self.tries, self.wait = status, tries, wait
        super().__init__(message)


class Client:
    """Asks models, at most `workers` calls at a time, identical requests once.

    While calls are made, it shows how far they are, under a `title`; as many as `planned` are made at most.
    Of a server's limits, this process has a `share`, from 0 to 1.
    Use it as an asynchronous context manager; it belongs to the event loop it was entered in.
    """

    def __init__(
        self,
        title: str = "",
        *,
        planned: int | None = None,
        workers: int = WORKERS,
        api_key: str | None = None,
        budget: Budget | None = None,
        share: float = 1.0,
    ) -> None:
        if workers < 1:
            raise ValueError(f"workers is {workers!r}, expected 1 or more")
        self.usage = Usage()  # of the distinct requests made so far
        self.progress = Progress(title, planned)
        self._replies: dict[tuple[str, str], tuple[Model, list[Reply]]] = {}  # by role and model
        self._api_key = api_key
        self._budget, self._paying, self._settled = budget, 0, asyncio.Event()
        self._workers, self._share = workers, share
        self._slots = asyncio.Semaphore(workers)
        self._asked: dict[bytes, asyncio.Future[Reply] | Reply] = {}
        self._working: list[asyncio.Future[Any]] = []  # calls are made in them
        self._answered: set[object] = set()  # how requests begin that a model has answered
        self._reached: set[str | None] = set()  # servers that have accepted a connection
        self._limiters: dict[tuple[str | None, str], pacing.Limiter] = {}
        self._failed = False

    async def __aenter__(self) -> Client:
        import anthropic

        key = self._api_key or os.environ.get("ANTHROPIC_API_KEY") or ""
        if key != key.strip():  # the transport would refuse it in words about the connection
            raise ModelError("ANTHROPIC_API_KEY begins or ends with white space: remove it")
        # A redirect would take texts and key to a server that nobody has named.
        http = anthropic.DefaultAsyncHttpxClient(follow_redirects=False, timeout=DEADLINE, verify=_tls())
        self._sdk = anthropic.AsyncAnthropic(
            api_key=self._api_key, max_retries=0, timeout=DEADLINE, http_client=http
        )
        self._servers: dict[str | None, anthropic.AsyncAnthropic] = {}
        return self

    async def __aexit__(self, *error: object) -> None:
        """Close the connections; calls in flight, where a run was interrupted, may end and be recorded."""
        self._failed = True
        self.progress.close()
        begun: list[asyncio.Future[Any]] = [
            one for one in self._asked.values() if isinstance(one, asyncio.Future)
        ]
        if flying := [one for one in begun + self._working if not one.done()]:
            await asyncio.wait(flying, timeout=GRACE)
            for one in flying:
                one.cancel()
            await asyncio.gather(*flying, return_exceptions=True)
        await self._sdk.close()

    @property
    def spent(self) -> tuple[Spent, ...]:
        """What the calls of each role took so far."""
        both = sorted(self._replies.items())
        return tuple(spent(role, model, replies) for (role, _), (model, replies) in both)

    async def ask(
        self, request: Request, asked_for: str, *, role: str = "critic", last: bool = False
    ) -> Reply:
        """Return the reply to a request; the same request is asked once, a repeated one once each.

        `asked_for` names the caller ("task 'x', iteration 1, example 'q7'") in errors: CassetteMiss where
        a replayed call was never recorded; Refused where the API refuses it for good, unless this is the
        `last` time, when the refusal is the answer; ModelError and BudgetExceeded where the run has to stop.
        What it takes is counted for its `role`.
        """
        body = body_of(request)
        text = json.dumps([request.model.base_url, body, request.repeat, last], sort_keys=True)
        key = hashlib.blake2b(text.encode(), digest_size=16).digest()
        if key not in self._asked:
            self._asked[key] = asyncio.ensure_future(self._ask(request, body, asked_for, role, last=last))
        known = self._asked[key]
        if isinstance(known, Reply):
            return known
        self._asked[key] = reply = await asyncio.shield(known)  # a finished task would keep its frames
        return reply

    async def ask_all(
        self, calls: Iterable[tuple[Request, str]], *, rejectable: int = 0
    ) -> tuple[Reply, ...]:
        """Ask several (request, asked_for) at once; one reply per call, in order.

        Of each prompt one call goes first: it fills the API's cache for the others, and shows its limits.
        Where one fails, those in flight are waited for, no other is begun, and the first failure is raised.
        As many as `rejectable` may be refused for good, as long as another with the same prompt and model is
        answered, or the status is 413. They are asked again behind the others; what the API then says is
        their answer, of the stop reason "rejected".
        """
        asked = list(calls)
        live = {number for number, (request, _) in enumerate(asked) if not recorded.get()(request)}
        self.progress.expect(len(live))
        replies: dict[int, Reply] = {}
        aside: dict[int, Refused] = {}

        def hopeless(number: int) -> list[int]:
            """Return the refused calls of a prompt, if it may be the prompt that is refused."""
            beginning = asked[number][0].beginning
            if aside[number].status == TOO_LARGE or beginning in self._answered:
                return []
            return [one for one in aside if asked[one][0].beginning == beginning]

        async def first(number: int) -> None:
            try:
                replies[number] = await self.ask(*asked[number], role="classifier")
            except Refused as error:
                aside[number] = error
                if len(aside) > rejectable > 0:
                    raise Refused(
                        f"{error}; {len(aside)} calls were refused, {TOO_MANY}", error.status
                    ) from None
                if not rejectable or len(hopeless(number)) > 1:
                    raise

        async def again(number: int) -> None:
            if hopeless(number):
                raise aside[number]
            replies[number] = await self.ask(*asked[number], role="classifier", last=True)

        leads = {asked[number][0].beginning: number for number in sorted(live, reverse=True)}
        before = sorted(number for beginning, number in leads.items() if beginning not in self._answered)
        await self._each(before, first)
        await self._each(sorted({*range(len(asked))} - {*before}), first)
        await self._each(sorted(aside), again)
        return tuple(replies[number] for number in range(len(asked)))

    async def stream(self, calls: Iterator[Call], *, proven: bool = False, last: bool = False) -> int:
        """Ask what an iterator yields, with one prompt, and keep nothing of it; return how many were refused.

        The calls differ: none is compared with those before. One call goes first, as in `ask_all`. A call
        that is refused for good is passed over, as long as the prompt is not to blame: it is `proven`, others
        are answered, or the status is 413. The `last` time a refusal is the answer.
        """
        refusals: list[Refused] = []  # while the prompt may be to blame: the second one stops the run
        count = 0

        async def one(call: Call) -> None:
            nonlocal count
            try:
                body = body_of(call.request)
                await self._ask(call.request, body, call.asked_for, "classifier", last=last, keep=call.keep)
            except Refused as error:
                count += 1
                if error.status != TOO_LARGE and not proven and call.request.beginning not in self._answered:
                    refusals.append(error)
                    if len(refusals) > 1:
                        raise
            else:
                refusals.clear()

        for call in calls:
            if call.request.beginning in self._answered:
                calls = itertools.chain([call], calls)
            else:
                await self._each([call], one)
            break
        await self._each(calls, one)
        if refusals:
            raise refusals[0]
        return count

    async def _each(self, items: Iterable[T], work: Callable[[T], Awaitable[None]]) -> None:
        """Do work on each, so much at a time; after a failure begin no other, and raise the first."""
        waiting = enumerate(items)  # all workers take from it: a failure leaves the rest untouched
        failures: dict[int, Exception] = {}

        async def worker() -> None:
            for number, item in waiting:
                try:
                    await work(item)
                except Exception as error:
                    failures[number], self._failed = error, True
                if self._failed:
                    return

        workers = [asyncio.ensure_future(worker()) for _ in range(self._workers)]
        self._working = [*filter(lambda one: not one.done(), self._working), *workers]
        await asyncio.shield(asyncio.gather(*workers))  # what is in flight has time to end, see __aexit__
        if failures:
            raise failures[min(failures, key=lambda n: (isinstance(failures[n], _NotAsked), n))]
        if self._failed:
            raise _NotAsked("an earlier call failed")

    async def _ask(
        self,
        request: Request,
        body: dict[str, Any],
        asked_for: str,
        role: str,
        *,
        last: bool = False,
        keep: Keep | None = None,
    ) -> Reply:
        async with self._slots:
            if self._failed:  # what is in flight is finished and kept, nothing new is paid
                raise _NotAsked(f"{asked_for}: call not made, because an earlier one failed")
            try:
                live = not recorded.get()(request)
                reply = await self._make(request, body, _headers(request, last), keep, live=live)
            except CassetteMiss as miss:
                self._failed = True
                raise CassetteMiss(
                    miss.path, miss.record_with, empty=miss.empty, asked_for=asked_for
                ) from None
            except _NotAsked:
                raise
            except Refused as error:
                raise Refused(f"{asked_for}: {error}", error.status) from None
            except ModelError as error:
                self._failed = True
                raise ModelError(f"{asked_for}: {error}") from None
            except BaseException:
                self._failed = True
                raise
        if reply.stop_reason != REJECTED:
            self._answered.add(request.beginning)
        if live:
            self.progress.made(role, request.model, reply)
        self.usage += usage_of(reply)
        if not keep:
            self._replies.setdefault((role, request.model.name), (request.model, []))[1].append(reply)
        return reply

    async def _make(
        self, request: Request, body: dict[str, Any], headers: Headers, keep: Keep | None, *, live: bool
    ) -> Reply:
        """Make a call; its reply is kept before it is counted."""
        if live:
            refuse(request)
            self.progress.begin()
        reply = await self._try(request.model, body, headers, live=live)
        if keep:
            keep(reply)
        return reply

    async def _try(self, model: Model, body: dict[str, Any], headers: Headers, *, live: bool) -> Reply:
        """Make a call, again where it fails in passing; what is `live` is spaced and paid."""
        if not live:
            reply, told = await self._once(model, body, headers)
            seconds = told.get(SECONDS)
            return replace(reply, seconds=float(seconds)) if seconds else reply
        limiter, left, failures, why = self._limiter(model), DEADLINE, 0, ""
        while True:
            async with self._paid(model, body) as bill:
                begun = await limiter.turn()  # which does not count: the server is not to blame
                if self._failed:
                    bill.append(None)
                    raise _NotAsked("call not made, because an earlier one failed")
                try:
                    async with asyncio.timeout(left):
                        reply, told = await self._once(model, body, headers)
                    bill.append(reply)
                    read = reply.input_tokens - reply.cache_read_tokens  # what is cached does not count
                    limiter.accepted(told, (read, reply.output_tokens))
                    return replace(reply, seconds=time.monotonic() - begun)
                except TimeoutError:
                    silent = f"gave no answer to a call to {model.name} within {DEADLINE:g} s"
                    raise ModelError(why or f"{shown_url(model)} {silent}") from None
                except Refused:
                    bill.append(None)
                    raise
                except Failure as failure:
                    failures, why = failures + 1, str(failure)
                    bill += [None] if failure.status else []
                    if failure.status == LIMITED:
                        limiter.refused(begun, failure.wait)
                    wait = _wait(failure.wait, failures)
                    left -= time.monotonic() - begun + wait
                    if failures >= failure.tries or left <= 0:
                        raise ModelError(why) from None
            await asyncio.sleep(wait)

    @contextlib.asynccontextmanager
    async def _paid(self, model: Model, body: dict[str, Any]) -> AsyncIterator[list[Reply | None]]:
        """Keep what a try may cost at most free in the budget, then count what it cost.

        The block says what it was by putting the reply into a list, or None for what costs nothing. A try
        that broke off may have been paid, so it counts as the worst case.
        """
        bill: list[Reply | None] = []
        if self._budget is None:
            yield bill
            return
        most = worst(model, body)
        while not self._budget.reserve(most):
            if not self._paying:
                raise self._budget.exceeded(model, most)
            self._settled.clear()
            await self._settled.wait()  # for what is in flight to cost less than it might
        self._paying += 1
        try:
            yield bill
        finally:
            cost = most if not bill else (dollars(model, bill[0]) or 0.0) if bill[0] else 0.0
            self._budget.settle(most, cost)
            self._paying -= 1
            self._settled.set()

    async def _once(self, model: Model, body: dict[str, Any], headers: Headers) -> tuple[Reply, Headers]:
        """Make one call; return the reply and the response's headers."""
        import anthropic
        import httpx2

        try:
            # Not messages.create, which takes longer to read an answer than it takes to keep it here.
            response = await self.server(model).post(
                PATH, body=body, options={"headers": headers}, cast_to=httpx2.Response
            )
            self._reached.add(model.base_url)
        except TypeError as error:  # the SDK's word for "no credential"
            raise ModelError(_advice(model, error)) from None
        except anthropic.APIError as error:
            if isinstance(error.__cause__, PromptlabError):
                raise error.__cause__ from None
            failure = failure_of(model, error)
            if not isinstance(error.__cause__, httpx2.ConnectError):
                self._reached.add(model.base_url)
            elif model.base_url not in self._reached:  # it is not there: waiting would not help
                raise ModelError(str(failure)) from None
            if not isinstance(failure, Refused) or not isinstance(error, anthropic.APIStatusError):
                raise failure from None
            if KEPT_REFUSAL not in {*headers, *error.response.headers}:
                raise failure from None
            return refused(model.name, refusal_in(failure.status, error.response.content)["message"]), {}
        try:
            reply = reply_in(message_in(response.content))
        except ValueError as error:
            raise Failure(f"{_no_message(model)}: {error}", tries=UNREADABLE) from None
        return reply, response.headers

    def _limiter(self, model: Model) -> pacing.Limiter:
        """Return what spaces the calls to a model."""
        key = model.base_url, model.name
        if key not in self._limiters:
            self._limiters[key] = pacing.limiter(url_of(model), model.name, self._share)
        return self._limiters[key]

    def server(self, model: Model) -> anthropic.AsyncAnthropic:
        """Return the SDK's client of a model's server; all share one connection pool."""
        url = model.base_url
        if url not in self._servers:
            url_of(model)  # one that cannot be used is refused
            key = self._api_key or os.environ.get("ANTHROPIC_API_KEY")
            if not key and is_loopback(urlsplit(url or "").hostname or ""):
                key = ANY_KEY
            self._servers[url] = self._sdk.with_options(base_url=url, api_key=key) if url else self._sdk
        return self._servers[url]


def check(*models: Model) -> None:
    """Refuse a model that rejects its own settings, unless all is replayed; ModelError."""
    for model in models:
        request = Request(model, "", (("user", ""),))
        if not recorded.get()(request):
            refuse(request)


def reachable(*models: Model) -> list[str]:
    """Ask each server of these models for its list of models, which is free; ModelError says what to set.

    Returns what to know of the models, a sentence each: that one retires, or takes something else by now.
    """
    import anthropic

    notes = list[str]()

    async def reach(url: str | None) -> None:
        asked = {model.name: model for model in models if model.base_url == url}
        async with Client() as client:
            server = client.server(next(iter(asked.values()))).with_options(timeout=20)
            try:
                await server.models.list(limit=1)
            except (TypeError, anthropic.APIError) as error:
                # Any other status is an answer too: not every server has this list.
                if isinstance(error, TypeError) or getattr(error, "status_code", None) in (None, 401, 403):
                    raise ModelError(_advice(next(iter(asked.values())), error)) from None
                return
            for model in filter(catalog.known, asked.values()):
                with contextlib.suppress(anthropic.APIError, KeyError, TypeError, AttributeError):
                    info = await server.models.retrieve(model.name)
                    notes.extend(catalog.outdated(model, info.to_dict(mode="json")))

    for url in dict.fromkeys(model.base_url for model in models):
        asyncio.run(reach(url))
    return notes


@functools.cache
def _tls() -> ssl.SSLContext:
    """Return what servers are verified by; it is read once, since that takes 16 ms."""
    import httpx2

    return httpx2.create_ssl_context()


def _headers(request: Request, last: bool) -> Headers:
    """Return the headers of our own that a call needs; mostly none."""
    headers = {REPEAT: str(request.repeat)} if request.repeat else {}
    return headers | {KEPT_REFUSAL: "yes"} if last else headers


LIMITED = 429  # status


def failure_of(model: Model, error: anthropic.APIError | TypeError) -> ModelError:
    """Return the error that a response, or the lack of one, amounts to."""
    said = _advice(model, error)  # the SDK's own may hold the text
    if isinstance(error, TypeError):
        return ModelError(said)
    response = getattr(error, "response", None)
    if response is None:  # no connection, one that broke off, or what cannot be decompressed
        return Failure(said, tries=UNREADABLE if _no_message(model) in said else ATTEMPTS)
    status, headers = response.status_code, response.headers
    if is_refusal(status, response.content):
        return Refused(said, status)
    if status == LIMITED and not catalog.SPENT.search(response.text):
        return Failure(said, status=status, tries=math.inf, wait=pacing.wait_in(headers))
    if response.is_redirect:
        return Failure(f"{said}. Set base_url to the server that answers", tries=UNREADABLE)
    if (status in (408, 409) or status >= 500) and headers.get("x-should-retry") != "false":
        return Failure(said, status=status, wait=pacing.wait_in(headers))
    return ModelError(said)


def _wait(asked: float | None, attempt: int) -> float:
    """Return the seconds to wait: what the server asks for, else doubling from one, with jitter."""
    jitter = random.uniform(0.75, 1)  # noqa: S311 - no secret
    return min(LONGEST_WAIT, 2.0 ** (attempt - 1) * jitter) if asked is None else asked


def _no_message(model: Model) -> str:
    return f"{shown_url(model)} answered a call to {model.name} with status 200, but with no message"


def _advice(model: Model, error: Exception) -> str:
    """Say in one sentence what was refused and what to set."""
    import httpx2

    where = shown_url(model)
    status = getattr(error, "status_code", None)
    if isinstance(error, TypeError):
        return f"no credential for {where}: set ANTHROPIC_API_KEY"
    if status in (401, 403):
        key = f"set ANTHROPIC_API_KEY to a key with access to {model.name}"
        return f"{where} refused the credential (status {status}): {key}"
    cause = error.__cause__
    if isinstance(cause, httpx2.DecodingError):
        return f"{_no_message(model)}: {cause}"
    if isinstance(cause, httpx2.RemoteProtocolError | httpx2.ReadError):
        return f"{where} broke off its answer to a call to {model.name}: {cause}"
    if status is None:
        return f"{where} cannot be reached: start the server, or set base_url to one that answers"
    message = getattr(error, "message", str(error))
    return f"{where} answered a call to {model.name} with status {status}: {message[:300]}"
