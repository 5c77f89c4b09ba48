"""What replay and recording cost: promptlab, stock vcrpy and the SDK alone, side by side in one run.

Prints one JSON object a line: name, value, unit, n (recorded calls). All times are CPU time of a process
of its own for each measurement. The calls are synthetic: they stand for nothing but their size.

    python benchmarks/speed/replay.py [--sizes 200 1000 5000 20000] [--stock 200]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.server
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

SYSTEM = "Decide whether a question is sincere. " * 20
REPLY = "The question asks for facts and leaves the answer open. " * 12 + "<label>sincere</label>"
MODEL = "synthetic"
ANSWERS_IN = 0.5  # seconds; a small model seldom answers sooner


def texts(n: int) -> list[str]:
    """Make n texts that differ."""
    return [f"Question {number}: what would it take to find out about it? " * 4 for number in range(n)]


def message(body: dict) -> dict:
    """Answer a request."""
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": [{"type": "text", "text": REPLY}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": len(json.dumps(body)) // 4, "output_tokens": 180},
    }


class Server(http.server.ThreadingHTTPServer):
    """A server that many connections may knock at together."""

    request_queue_size = 128


class Handler(http.server.BaseHTTPRequestHandler):
    """A synthetic API."""

    protocol_version = "HTTP/1.1"
    seconds = 0.0

    def do_POST(self) -> None:
        """Answer."""
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        data = json.dumps(message(body)).encode()
        time.sleep(self.seconds)
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def serving(seconds: float = 0.0):
    """Serve in a process of its own, so that its CPU time is not counted; each answer takes some seconds."""
    folder = str(Path(__file__).parent)
    code = f"import sys; sys.path.insert(0, {folder!r}); import replay; replay.serve({seconds})"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.kill()


def serve(seconds: float) -> None:
    """Serve until killed; print the port."""
    Handler.seconds = seconds
    server = Server(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


def ask(n: int, url: str, transport: object = None, clock: Callable[[], float] = time.process_time) -> float:
    """Ask n questions, 16 at a time, with the SDK; return seconds, of CPU time unless told."""
    import anthropic
    import httpx2

    async def go() -> float:
        client = httpx2.AsyncClient(transport=transport) if transport else None
        async with anthropic.AsyncAnthropic(
            api_key="none", base_url=url, max_retries=0, http_client=client
        ) as sdk:
            waiting = iter(texts(n))

            async def one(text: str) -> None:
                turn = [{"role": "user", "content": text}]
                await sdk.messages.create(model=MODEL, max_tokens=99, system=SYSTEM, messages=turn)

            async def work() -> None:
                for text in waiting:
                    await one(text)

            await one("warm up")
            started = clock()
            await asyncio.gather(*(work() for _ in range(16)))
            return clock() - started

    return asyncio.run(go())


def write(path: Path, n: int) -> None:
    """Write a synthetic cassette of promptlab's, of n calls and the one that warms up."""
    from promptlab.cassettes import format as files

    entries = []
    for text in ["warm up", *texts(n)]:
        body = {
            "model": MODEL,
            "max_tokens": 99,
            "system": SYSTEM,
            "messages": [{"role": "user", "content": text}],
        }
        asked = {"method": "POST", "server": "loopback", "path": "/v1/messages", "headers": {}, "body": body}
        answered = {"status": 200, "headers": {"content-type": "application/json"}, "body": message(body)}
        entries.append({"request": asked, "response": answered})
    calls = {files.request_key("POST", "/v1/messages", e["request"]["body"]): e for e in entries}
    files.write(path, files.Recording(files.header_of(entries, files.UNKNOWN), calls))


def floor(n: int, folder: Path) -> None:
    """Measure the SDK over a transport that answers at once."""
    import httpx2

    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json=message(json.loads(request.content)))

    tell("sdk floor, a call", 1000 * ask(n, "http://127.0.0.1:9", httpx2.MockTransport(answer)) / n, "ms", n)


def promptlab(n: int, folder: Path) -> None:
    """Measure loading and replaying a cassette of promptlab's."""
    from promptlab.cassettes import recorder

    path = folder / f"{n}.jsonl"
    write(path, n)
    subprocess.run([sys.executable, __file__, "load", str(n), str(folder)], check=True)
    with recorder.use(path, mode="replay", record_with=""):
        tell("promptlab replay, a call", 1000 * ask(n, "http://127.0.0.1:9") / n, "ms", n)


def load(n: int, folder: Path) -> None:
    """Measure loading alone, in time and memory."""
    from promptlab.cassettes import recorder

    path = folder / f"{n}.jsonl"
    before = peak()
    started = time.process_time()
    with recorder.use(path, mode="replay", record_with=""):
        tell("promptlab load", time.process_time() - started, "s", n)
    tell("promptlab load, more memory", peak() - before, "MB", n)
    tell("promptlab load, peak memory of the process", peak(), "MB", n)
    tell("promptlab file", path.stat().st_size / 1e6, "MB", n)


def peak() -> float:
    """Return the most memory that this process has had, in MB; its parent's does not count."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # macOS counts bytes


def recording(n: int, folder: Path) -> None:
    """Measure what recording adds to a call through a socket, and to one whose answer takes its time."""
    from promptlab.cassettes import recorder

    def recorded(number: int, url: str, clock: Callable[[], float]) -> float:
        with recorder.use(folder / f"recorded{number}.jsonl", mode="live", record_with=""):
            return ask(n, url, clock=clock)

    for seconds, clock, what in (
        (0.0, time.process_time, "CPU"),
        (ANSWERS_IN, time.perf_counter, f"of the clock at {ANSWERS_IN} s an answer, 16 at a time"),
    ):
        with serving(seconds) as url:
            pairs = [(ask(n, url, clock=clock), recorded(number, url, clock)) for number in range(3)]
        plain, kept = (1000 * statistics.median(times) / n for times in zip(*pairs, strict=True))
        tell(f"sdk over http, a call, {what}", plain, "ms", n)
        tell(f"promptlab record, a call, {what}", kept, "ms", n)
        for number in range(3):
            (folder / f"recorded{number}.jsonl").unlink()


def stock(n: int, folder: Path) -> None:
    """Measure vcrpy as it comes."""
    import vcr

    recorder = vcr.VCR(match_on=["method", "path", "body"], record_mode="once")
    path = str(folder / "stock.yaml")
    with serving() as url:
        with recorder.use_cassette(path):
            tell("stock vcrpy record, a call", 1000 * ask(n, url) / n, "ms", n)
        started = time.process_time()
        with recorder.use_cassette(path):
            tell("stock vcrpy load", time.process_time() - started, "s", n)
            tell("stock vcrpy replay, a call", 1000 * ask(n, url) / n, "ms", n)


def miss(n: int, folder: Path) -> None:
    """Measure how long a run takes to fail whose prompt has changed."""
    from promptlab.cassettes import recorder
    from promptlab.errors import CassetteMiss
    from promptlab.models.client import Client
    from promptlab.records import Model, Request

    async def go() -> None:
        async with Client(api_key="none") as client:
            asked = [Request(Model(MODEL), "changed", (("user", text),)) for text in texts(n)]
            await client.ask_all((request, "an example") for request in asked)

    started = time.process_time()
    with contextlib.suppress(CassetteMiss):
        with recorder.use(folder / f"{n}.jsonl", mode="replay", record_with=""):
            asyncio.run(go())
    tell("promptlab, until a changed prompt fails", time.process_time() - started, "s", n)


def tell(name: str, value: float, unit: str, n: int) -> None:
    """Print a figure."""
    print(json.dumps({"name": name, "value": round(value, 3), "unit": unit, "n": n}), flush=True)


def main() -> None:
    """Run each measurement in a process of its own."""
    if len(sys.argv) == 4 and sys.argv[1] in globals():
        globals()[sys.argv[1]](int(sys.argv[2]), Path(sys.argv[3]))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="*", type=int, default=[200, 1000, 5000, 20000])
    parser.add_argument("--stock", nargs="*", type=int, default=[200])
    sizes = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for n in sizes.sizes:
            for what in ("floor", "promptlab", "miss"):
                subprocess.run([sys.executable, __file__, what, str(n), folder], check=True)
        subprocess.run([sys.executable, __file__, "recording", "1000", folder], check=True)
        for n in sizes.stock:
            subprocess.run([sys.executable, __file__, "stock", str(n), folder], check=True)
            Path(folder, "stock.yaml").unlink()


if __name__ == "__main__":
    main()
