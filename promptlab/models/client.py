"""A client of the Messages API: one connection pool for a run, retries, identical requests once.

Recordings are not known here: a cassette works below, in the transport.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from promptlab.errors import CassetteMiss, ModelError, PromptlabError
from promptlab.models.messages_api import REPEAT, arguments, reply_in, shown_url, url_of
from promptlab.network import is_loopback
from promptlab.records import Model, Reply, Request, Usage

if TYPE_CHECKING:
    import anthropic

WORKERS = 16  # calls in flight; far below the API's limits, enough to hide its latency
TIMEOUT = 600.0  # seconds for one call; a queue in front of a local server is part of it
ATTEMPTS = 6  # tries of one call, about a minute of waiting in all
LONGEST_WAIT = 60.0  # seconds; a server may ask for hours, which would only look like a hang
RETRIED = (408, 409, 429)  # and every status from 500 up
ANY_KEY = "no-key-needed"  # the SDK insists on one; never sent beyond loopback


class _NotAsked(ModelError):
    """A call that was held back because an earlier one had failed."""


class Client:
    """Asks models, at most `workers` calls at a time, identical requests once.

    Use it as an asynchronous context manager; it belongs to the event loop it was entered in.
    """

    def __init__(self, *, workers: int = WORKERS, api_key: str | None = None) -> None:
        if workers < 1:
            raise ValueError(f"workers is {workers!r}, expected 1 or more")
        self.usage = Usage()  # of the distinct requests made so far
        self._api_key = api_key
        self._workers = workers
        self._slots = asyncio.Semaphore(workers)
        self._asked: dict[str, asyncio.Future[Reply]] = {}
        self._failed = False

    async def __aenter__(self) -> Client:
        import anthropic

        key = self._api_key or os.environ.get("ANTHROPIC_API_KEY") or ""
        if key != key.strip():  # the transport would refuse it in words about the connection
            raise ModelError("ANTHROPIC_API_KEY begins or ends with white space: remove it")
        self._sdk = anthropic.AsyncAnthropic(api_key=self._api_key, max_retries=0, timeout=TIMEOUT)
        self._servers: dict[str, anthropic.AsyncAnthropic] = {}
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._sdk.close()

    async def ask(self, request: Request, asked_for: str) -> Reply:
        """Return the reply to a request; the same request is asked once, a repeated one once each.

        `asked_for` names the caller ("task 'x', iteration 1, example 'q7'") in errors: CassetteMiss where
        a replayed call was never recorded, ModelError where the API refused it or stayed unreachable.
        """
        body = arguments(request)
        key = json.dumps([request.model.base_url, body, request.repeat], sort_keys=True)
        if request.repeat:
            body["extra_headers"] = {REPEAT: str(request.repeat)}
        if key not in self._asked:
            self._asked[key] = asyncio.ensure_future(self._ask(request.model, body, asked_for))
        return await self._asked[key]

    async def ask_all(self, calls: Iterable[tuple[Request, str]]) -> tuple[Reply, ...]:
        """Ask several (request, asked_for) at once; one reply per call, in order.

        Where one fails, those in flight are waited for, no other is begun, and the first failure is raised.
        """
        waiting = enumerate(calls)  # all workers take from it: a failure leaves the rest untouched
        replies: dict[int, Reply] = {}
        failures: dict[int, Exception] = {}

        async def work() -> None:
            for number, (request, asked_for) in waiting:
                try:
                    replies[number] = await self.ask(request, asked_for)
                except Exception as error:
                    failures[number] = error
                if self._failed:
                    return

        await asyncio.gather(*(work() for _ in range(self._workers)))
        if failures:
            raise failures[min(failures, key=lambda n: (isinstance(failures[n], _NotAsked), n))]
        if self._failed:
            raise _NotAsked("an earlier call failed")
        return tuple(replies[number] for number in sorted(replies))

    async def _ask(self, model: Model, body: dict[str, Any], asked_for: str) -> Reply:
        async with self._slots:
            if self._failed:  # what is in flight is finished and kept, nothing new is paid
                raise _NotAsked(f"{asked_for}: call not made, because an earlier one failed")
            try:
                reply = await self._try(model, body)
            except CassetteMiss as miss:
                self._failed = True
                raise CassetteMiss(
                    miss.path, miss.record_with, empty=miss.empty, asked_for=asked_for
                ) from None
            except BaseException:
                self._failed = True
                raise
        self.usage += Usage(1, reply.input_tokens, reply.output_tokens)
        return reply

    async def _try(self, model: Model, body: dict[str, Any]) -> Reply:
        import anthropic

        for attempt in range(1, ATTEMPTS + 1):
            try:
                message = await self._at(model).messages.create(**body)
            except TypeError as error:  # the SDK's word for "no credential"
                raise ModelError(_advice(model, error)) from None
            except anthropic.APIError as error:
                if isinstance(error.__cause__, PromptlabError):
                    raise error.__cause__ from None
                if attempt == ATTEMPTS or not _worth_retrying(error):
                    raise ModelError(_advice(model, error)) from None  # its body may hold the text
                await asyncio.sleep(_wait(error, attempt))
            else:
                if not isinstance(message.content, list):
                    raise ModelError(f"{shown_url(model)} answered with status 200, but with no message")
                return reply_in(message.to_dict(mode="json"))
        raise AssertionError("unreachable")

    def _at(self, model: Model) -> anthropic.AsyncAnthropic:
        """Return the client for a model's server; all share one connection pool."""
        url_of(model)  # one that cannot be used is refused
        if model.base_url is None:
            return self._sdk
        if model.base_url not in self._servers:
            key = self._api_key or os.environ.get("ANTHROPIC_API_KEY")
            if not key and is_loopback(urlsplit(model.base_url).hostname or ""):
                key = ANY_KEY
            self._servers[model.base_url] = self._sdk.with_options(base_url=model.base_url, api_key=key)
        return self._servers[model.base_url]


def reachable(*models: Model) -> None:
    """Ask each server of these models for its list of models, which is free; ModelError says what to set."""
    import anthropic

    async def reach(model: Model) -> None:
        async with Client() as client:
            try:
                await client._at(model).with_options(timeout=20).models.list(limit=1)
            except (TypeError, anthropic.APIError) as error:
                # Any other status is an answer too: not every server has this list.
                if isinstance(error, TypeError) or getattr(error, "status_code", None) in (None, 401, 403):
                    raise ModelError(_advice(model, error)) from None

    for model in {model.base_url: model for model in models}.values():
        asyncio.run(reach(model))


def _worth_retrying(error: anthropic.APIError) -> bool:
    status = getattr(error, "status_code", None)  # None: no connection, or no answer in time
    spent = getattr(error, "error_code", None) == "enforced_spend_limit_reached"
    return status is None or (status in RETRIED and not spent) or status >= 500


def _wait(error: anthropic.APIError, attempt: int) -> float:
    """Return the seconds to wait: what the server asks for, else doubling from one, with jitter."""
    response = getattr(error, "response", None)
    try:
        asked = float(response.headers["retry-after"]) if response is not None else 0.0
    except (KeyError, ValueError):
        asked = 0.0
    jitter = random.uniform(0.75, 1)  # noqa: S311 - no secret
    return min(LONGEST_WAIT, max(asked, 2.0 ** (attempt - 1) * jitter))


def _advice(model: Model, error: Exception) -> str:
    """Say in one sentence what was refused and what to set."""
    where = shown_url(model)
    status = getattr(error, "status_code", None)
    if isinstance(error, TypeError):
        return f"no credential for {where}: set ANTHROPIC_API_KEY"
    if status in (401, 403):
        key = f"set ANTHROPIC_API_KEY to a key with access to {model.name}"
        return f"{where} refused the credential (status {status}): {key}"
    if status is None:
        return f"{where} cannot be reached: start the server, or set base_url to one that answers"
    message = getattr(error, "message", str(error))
    return f"{where} answered a call to {model.name} with status {status}: {message[:300]}"
