"""A Message Batches API for tests, on loopback, with its documented faults. Its traffic is synthetic."""

from __future__ import annotations

import contextlib
import json
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from promptlab.models.messages_api import plain

from ..examples import answer
from ..server import message

ROOT = "/v1/messages/batches"
Outcome = Callable[[int, dict[str, Any]], Any]  # of the number of a batch, and a request's params


def error(kind: str, said: str = "synthetic") -> dict[str, Any]:
    """Build the body of an error."""
    return {"type": "error", "error": {"type": kind, "message": said}, "request_id": "req_synthetic"}


def errored(kind: str, said: str = "synthetic") -> dict[str, Any]:
    """Build the result of a request in error."""
    return {"type": "errored", "error": error(kind, said)}


def answered(number: int, params: dict[str, Any]) -> dict[str, Any]:
    """Answer as the model of the tests does."""
    return {"type": "succeeded", "message": message(answer(plain(params)))}


@dataclass
class Sent:
    """A batch: what it was sent with, and what becomes of it."""

    id: str
    created: float
    requests: list[dict[str, Any]]
    results: list[dict[str, Any]]
    bytes: int = 0
    polls: int = 0  # until it has ended
    archived: bool = False
    canceled: bool = False

    def describe(self) -> dict[str, Any]:
        """Describe it as the API does."""
        ended = self.polls <= 0
        kinds = Counter(one["result"]["type"] for one in self.results)
        counts = {
            name: kinds[name] if ended else 0 for name in ("succeeded", "errored", "canceled", "expired")
        }
        return {
            "id": self.id,
            "type": "message_batch",
            "processing_status": "ended" if ended else "canceling" if self.canceled else "in_progress",
            "request_counts": {"processing": 0 if ended else len(self.results), **counts},
            "created_at": datetime.fromtimestamp(self.created, UTC).isoformat().replace("+00:00", "Z"),
            "expires_at": datetime.fromtimestamp(self.created + 86_400, UTC).isoformat(),
            "ended_at": datetime.fromtimestamp(self.created, UTC).isoformat() if ended else None,
            "archived_at": datetime.fromtimestamp(self.created, UTC).isoformat() if self.archived else None,
            "cancel_initiated_at": None,
            "results_url": f"http://127.0.0.1:9{ROOT}/{self.id}/results" if ended else None,
        }


@dataclass
class BatchServer:
    """What it was asked, what it does, and what was paid."""

    url: str = ""
    outcome: Outcome = answered
    polls: int = 1  # that a batch is in progress for
    largest: int = 256_000_000  # bytes of a body
    ahead: float = 0.0  # seconds of its clock
    on_create: list[Any] = field(
        default_factory=list
    )  # for each None, a status, "cut", "accept, cut" or "accept, 504"
    cut_results: int = 0  # answers with results that break off
    short_results: int = 0  # answers with half of the results, that end as if they were all
    before_create: Callable[[Any], None] = lambda _: None
    before_poll: Callable[[Sent], None] = lambda _: None
    sent: list[Sent] = field(default_factory=list)
    paid: Counter[str] = field(default_factory=Counter)  # by the call
    asked: list[str] = field(default_factory=list)  # methods and paths
    holds: dict[str, threading.Event] = field(default_factory=dict)  # stages that wait until they are set
    reached: dict[str, threading.Event] = field(default_factory=dict)

    def hold(self, stage: str) -> threading.Event:
        """Hold everybody at a stage; return the event that somebody is there."""
        self.holds[stage], self.reached[stage] = threading.Event(), threading.Event()
        return self.reached[stage]

    def release(self) -> None:
        """Let everybody go on."""
        holds, self.holds = self.holds, {}
        for one in holds.values():
            one.set()

    def stage(self, name: str) -> None:
        """Wait where that was wished for."""
        if name in self.holds:
            held = self.holds[name]
            self.reached[name].set()
            held.wait(30)

    def accept(self, requests: list[dict[str, Any]], size: int = 0) -> Sent:
        """Create a batch; what is answered is paid."""
        results = []
        for one in requests:
            result = self.outcome(len(self.sent), one["params"])
            if isinstance(result, str):
                result = {"type": result}
            results.append({"custom_id": one["custom_id"], "result": result})
            if result["type"] == "succeeded":
                self.paid[json.dumps(one["params"], sort_keys=True)] += 1
        random.Random(len(results)).shuffle(results)
        return self.add(Sent(f"msgbatch_{len(self.sent):04}", 0.0, requests, results, size, self.polls))

    def add(self, batch: Sent) -> Sent:
        """Add a batch, whoever sent it."""
        batch.created = batch.created or time.time() + self.ahead
        self.sent.append(batch)
        return batch

    def cancel(self, batch: Sent) -> None:
        """Cancel a batch: every other call is done already, and paid."""
        batch.canceled = True
        for one in batch.results[::2]:
            if one["result"]["type"] == "succeeded":
                (params,) = (of["params"] for of in batch.requests if of["custom_id"] == one["custom_id"])
                self.paid[json.dumps(params, sort_keys=True)] -= 1
                one["result"] = {"type": "canceled"}

    def foreign(self, count: int, polls: int = 0, created: float = 0.0) -> Sent:
        """Add a batch of other people in the same workspace."""
        requests = [{"custom_id": f"row-{n}", "params": {}} for n in range(count)]
        results = [{"custom_id": one["custom_id"], "result": answered(0, OTHER)} for one in requests]
        return self.add(Sent(f"msgbatch_other{len(self.sent)}", created, requests, results, 0, polls))

    @property
    def twice(self) -> list[str]:
        """The calls that were paid more than once."""
        return [call for call, times in self.paid.items() if times > 1]


OTHER = {"messages": [{"role": "user", "content": "Sentence 1"}]}


def refusal(body: dict[str, Any]) -> str:
    """Say why a batch is not taken; "" where it is."""
    names = [one["custom_id"] for one in body["requests"]]
    if len(names) > 100_000:
        return "requests: List should have at most 100000 items"
    if len(names) != len({*names}):
        return "requests: custom_id must be unique"
    bad = [name for name in names if not re.fullmatch("[a-zA-Z0-9_-]{1,64}", name)]
    return f"requests.0.custom_id: {bad[0]!r} does not match" if bad else ""


class Handler(BaseHTTPRequestHandler):
    """Speaks the documented API."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    server: Listener

    def date_time_string(self, timestamp: float | None = None) -> str:
        return formatdate(time.time() + self.server.api.ahead, usegmt=True)

    def say(self, status: int, body: Any, **headers: str) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"content-type": "application/json", "content-length": str(len(content))}.items():
            self.send_header(name, value)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def cut(self) -> None:
        self.close_connection = True

    def do_POST(self) -> None:
        api = self.server.api
        size = int(self.headers["content-length"])
        content = self.rfile.read(size)
        api.asked.append(f"POST {self.path}")
        if self.path == ROOT:
            self.create(json.loads(content), size)
            return
        found = [one for one in api.sent if self.path == f"{ROOT}/{one.id}/cancel"]
        for batch in found:
            api.cancel(batch)
            self.say(200, batch.describe())
        if not found:
            self.say(404, error("not_found_error"))

    def create(self, body: dict[str, Any], size: int) -> None:
        api = self.server.api
        api.before_create(body)
        if "arrival" in api.holds:
            api.stage("arrival")
            self.cut()
            return
        fault = api.on_create.pop(0) if api.on_create else None
        if fault == "cut":
            self.cut()
        elif isinstance(fault, int):
            self.say(fault, error("synthetic_error"), retry_after="0")
        elif size > api.largest:
            self.say(413, error("request_too_large", "Request exceeds the maximum size"))
        elif why := refusal(body):
            self.say(400, error("invalid_request_error", why))
        else:
            batch = api.accept(body["requests"], size)
            api.stage("create")
            if fault == "accept, 504":
                self.say(504, error("timeout_error"))
            elif fault:
                self.cut()
            else:
                self.say(200, batch.describe())

    def do_GET(self) -> None:
        api = self.server.api
        api.asked.append(f"GET {self.path}")
        parts = urlsplit(self.path)
        name = parts.path.removeprefix(ROOT).strip("/")
        batch = next((one for one in api.sent if one.id == name.removesuffix("/results")), None)
        if not parts.path.startswith(ROOT) or (name and batch is None):
            self.say(404, error("not_found_error"))
        elif batch is None:
            self.listing({key: value[0] for key, value in parse_qs(parts.query).items()})
        elif name.endswith("/results"):
            self.results(batch)
        else:
            api.stage("poll")
            api.before_poll(batch)
            batch.polls -= 1
            self.say(200, batch.describe())

    def listing(self, query: dict[str, str]) -> None:
        newest = self.server.api.sent[::-1]
        ids = [one.id for one in newest]
        if "after_id" in query:
            newest = newest[ids.index(query["after_id"]) + 1 :]
        if "before_id" in query:
            newest = newest[: ids.index(query["before_id"])]
        limit = int(query.get("limit", 20))
        data = [one.describe() for one in newest[:limit]]
        first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
        more = len(newest) > limit
        self.say(200, {"data": data, "has_more": more, "first_id": first, "last_id": last})

    def results(self, batch: Sent) -> None:
        api = self.server.api
        if batch.polls > 0 or batch.archived:
            self.say(404, error("not_found_error", "results are not available"))
            return
        lines = [json.dumps(one, ensure_ascii=False).encode() + b"\n" for one in batch.results]
        if api.short_results:
            api.short_results -= 1
            lines = lines[::2]
        content = b"".join(lines)
        self.send_response(200)
        self.send_header("content-type", "application/x-jsonl")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        half = b"".join(lines[: len(lines) // 2]) + lines[len(lines) // 2][:9]
        self.wfile.write(half)
        self.wfile.flush()
        if api.cut_results:
            api.cut_results -= 1
            self.cut()
            return
        api.stage("results")
        self.wfile.write(content[len(half) :])

    def log_message(self, *args: Any) -> None:
        pass


class Listener(ThreadingHTTPServer):
    """Has the state that the handlers share."""

    daemon_threads = True
    api: BatchServer

    def handle_error(self, request: Any, address: Any) -> None:
        """Say nothing: clients are killed."""


@contextlib.contextmanager
def serving_batches(**settings: Any) -> Iterator[BatchServer]:
    """Serve batches until the end of the block."""
    http = Listener(("127.0.0.1", 0), Handler)
    http.api = BatchServer(f"http://127.0.0.1:{http.server_port}", **settings)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield http.api
    finally:
        http.api.release()
        http.shutdown()
        http.server_close()
        thread.join()
