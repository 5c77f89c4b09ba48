"""A Messages API for tests: a function answers, on loopback. Its traffic is synthetic."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from promptlab.records import Reply

Answer = Callable[[dict[str, Any]], Any]


@dataclass
class Server:
    """Where it listens, and the bodies and headers it was sent."""

    url: str
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    models: dict[str, Any] = field(default_factory=dict)  # what it says of models, by name


def message(text: str, **fields: Any) -> dict[str, Any]:
    """Build the body of an answer."""
    return {
        "id": "msg_synthetic",
        "type": "message",
        "role": "assistant",
        "model": "synthetic",
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 10, "output_tokens": 5},
    } | fields


@contextlib.contextmanager
def serving(answer: Answer) -> Iterator[Server]:
    """Serve `answer(body)`: a text, a whole body, bytes as they are, or (status, headers, one of them)."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # connections are kept, as a real server keeps them
        wbufsize = -1  # head and body leave together
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            with lock:
                server.bodies.append(body)
                server.headers.append({name.lower(): value for name, value in self.headers.items()})
            said = answer(body)
            status, headers, said = said if isinstance(said, tuple) else (200, {}, said)
            if not isinstance(said, bytes):
                said = json.dumps(message(said) if isinstance(said, str) else said).encode()
            self.send_response(status)
            sent = {"content-type": "application/json", "content-length": str(len(said)), **headers}
            for name, value in sent.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(said)
            self.close_connection = sent["content-length"] != str(len(said))

        def do_GET(self) -> None:
            name = self.path.partition("?")[0].rpartition("/v1/models")[2].strip("/")
            if name not in server.models and (name or not server.models):
                self.send_error(404)
                return
            said = json.dumps(server.models[name] if name else {"data": []}).encode()
            self.send_response(200)
            for header, value in (("content-type", "application/json"), ("content-length", str(len(said)))):
                self.send_header(header, value)
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *args: Any) -> None:
            pass

    class Listener(ThreadingHTTPServer):
        request_queue_size = 128  # with the usual five, the sixth of several connections waits for a second

    http = Listener(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    lock = threading.Lock()
    server = Server(f"http://127.0.0.1:{http.server_port}")
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


@contextlib.contextmanager
def answering(answer: Answer) -> Iterator[Server]:
    """Answer within the process, which is faster: for tests that are not about the wire; texts only."""
    server = Server("http://127.0.0.1:9")

    async def reply(client: object, model: object, body: dict[str, Any], headers: object, *, live) -> Reply:
        server.bodies.append(body)
        return Reply(answer(body), "end_turn", ("text",), "synthetic", 10, 5)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("promptlab.models.client.Client._try", reply)
        yield server
