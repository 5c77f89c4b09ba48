"""A proxy on loopback that counts calls and tokens, keeps every reply in a log, and goes on from it.

A request that is in the log is answered from it: the first time with the first reply to it, the second time
with the second, and so on. So a run that was stopped repeats its course for nothing and goes on.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import time
import urllib.error
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import promptlab as pl
from benchmarks.optimizers.calls import READ, role_of


class Log:
    """The replies of a run, in a file of JSON lines; each has the phase and the role of its call.

    What is `known` from elsewhere is answered from there, and not written.
    """

    def __init__(self, path: Path, classifier: pl.Model, known: Iterable[dict[str, Any]] = ()) -> None:
        self.phase = "search"
        self._path, self._classifier = path, classifier
        self._known: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._asked: Counter[str] = Counter()
        self._lock = threading.Lock()
        self.played: list[dict[str, Any]] = []
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        for one in (*known, *map(json.loads, lines)):
            self._known[one["request"]].append(one)

    def answer(self, body: bytes, upstream: str) -> dict[str, Any]:
        """Return the reply to a request: from the log, or else from the server."""
        request = _key(json.loads(body))
        with self._lock:
            number = self._asked[request]
            self._asked[request] += 1
            known = self._known[request][number] if number < len(self._known[request]) else None
        if known is None:
            started = time.monotonic()
            reply = _post(f"{upstream}/v1/messages", body)
            seconds = round(time.monotonic() - started, 3)
            known = line_of(json.loads(body), reply, seconds, self._classifier, self.phase)
            with self._lock, self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(known, ensure_ascii=False) + "\n")
        with self._lock:
            self.played.append(known)
        return self.message(known)

    @staticmethod
    def message(known: dict[str, Any]) -> dict[str, Any]:
        """Return a line of the log as the server's message."""
        return {
            "id": "msg_logged",
            "type": "message",
            "role": "assistant",
            "model": known["model"],
            "content": [{"type": "text", "text": known["text"]}],
            "stop_reason": known["stop_reason"],
            "stop_sequence": None,
            "usage": {"input_tokens": known["input_tokens"], "output_tokens": known["output_tokens"]},
        }


def line_of(
    body: dict[str, Any], reply: dict[str, Any], seconds: float, classifier: pl.Model, phase: str
) -> dict[str, Any]:
    """Return the line of the log for a request and its reply."""
    return {
        "request": _key(body),
        "phase": phase,
        "role": role_of(body, classifier),
        "seconds": seconds,
        "text": "".join(block["text"] for block in reply["content"] if block["type"] == "text"),
        "stop_reason": reply["stop_reason"],
        "input_tokens": sum(reply["usage"].get(name) or 0 for name in READ),
        "output_tokens": reply["usage"]["output_tokens"],
        "model": reply["model"],
    }


def _key(body: dict[str, Any]) -> str:
    return hashlib.blake2b(json.dumps(body, sort_keys=True).encode(), digest_size=12).hexdigest()


def _post(url: str, body: bytes) -> dict[str, Any]:
    request = urllib.request.Request(url, body, {"content-type": "application/json", "x-api-key": "none"})
    with urllib.request.urlopen(request, timeout=600) as answered:
        found: dict[str, Any] = json.load(answered)
    return found


@contextlib.contextmanager
def logging(log: Log, upstream: str) -> Iterator[str]:
    """Serve the log on loopback; yields the address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            status, found = 200, dict[str, Any]()
            try:
                found = log.answer(body, upstream)
            except urllib.error.HTTPError as error:
                status, found = error.code, json.loads(error.read() or b"{}")
            sent = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
