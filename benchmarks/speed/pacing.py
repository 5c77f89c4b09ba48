"""How fast calls are made: promptlab beside the SDK with a bare asyncio loop, in turn, on one machine.

The server is synthetic, in a process of its own. Prints one JSON object a line: name, value, unit, n (calls).

    python benchmarks/speed/pacing.py [--calls 10000] [--limited 600 3000]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
import time

from replay import MODEL, SYSTEM, message, peak, tell, texts

WORKERS = 100
LATENCY = 1.0  # seconds an answer takes, where nothing is limited
CLIENTS = (("bare", "sdk"), ("ours", "promptlab"))
RATE, BURST = 50, 50  # requests a second that the limited server takes, and at once


class Server:
    """Answers after a fixed time; with a rate, from a bucket, and it says so in its headers."""

    def __init__(self, latency: float, rate: float) -> None:
        self.latency, self.rate, self.left, self.then = latency, rate, float(BURST), time.monotonic()
        self.refused = 0

    def takes(self) -> bool:
        """Say whether the bucket has a request left, and take it."""
        if not self.rate:
            return True
        now = time.monotonic()
        self.left, self.then = min(BURST, self.left + (now - self.then) * self.rate), now
        if self.left < 1:
            self.refused += 1
            return False
        self.left -= 1
        return True

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of a connection."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                length = head.partition("content-length:")[2].partition("\r\n")[0]
                body = json.loads(await reader.readexactly(int(length))) if length else {}
                if head.startswith("get"):  # how much it has refused
                    status, headers, said = 200, {}, {"refused": self.refused}
                elif self.takes():
                    await asyncio.sleep(self.latency)
                    limit = (
                        {"anthropic-ratelimit-requests-limit": str(int(self.rate * 60))} if self.rate else {}
                    )
                    status, headers, said = 200, limit, message(body)
                else:
                    error = {"type": "rate_limit_error", "message": "too many"}
                    status, headers, said = 429, {"retry-after": "1"}, {"type": "error", "error": error}
                data = json.dumps(said).encode()
                lines = {"content-type": "application/json", "content-length": str(len(data)), **headers}
                top = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
                writer.write(f"HTTP/1.1 {status} X\r\n{top}\r\n".encode() + data)
                await writer.drain()
        writer.close()


def serve(latency: float, rate: float) -> None:
    """Serve until killed; print the port."""

    async def go() -> None:
        server = await asyncio.start_server(Server(latency, rate).serve, "127.0.0.1", 0, backlog=512)
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()

    asyncio.run(go())


@contextlib.contextmanager
def serving(latency: float, rate: float):
    """Serve in a process of its own."""
    command = [sys.executable, __file__, "serve", str(latency), str(rate)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.kill()


async def bare(n: int, url: str) -> None:
    """Ask with the SDK, as many at a time as there are workers, and let it retry."""
    import anthropic

    async with anthropic.AsyncAnthropic(api_key="none", base_url=url, max_retries=1000) as sdk:
        waiting = iter(texts(n))

        async def work() -> None:
            for text in waiting:
                turn = [{"role": "user", "content": text}]
                await sdk.messages.create(model=MODEL, max_tokens=99, system=SYSTEM, messages=turn)

        await asyncio.gather(*(work() for _ in range(WORKERS)))


async def ours(n: int, url: str) -> None:
    """Ask with promptlab's client."""
    from promptlab.models.client import Client
    from promptlab.records import Model, Request

    model = Model(MODEL, max_tokens=99, base_url=url)
    async with Client(workers=WORKERS, api_key="none") as client:
        asked = (Request(model, SYSTEM, (("user", text),), shared=True) for text in texts(n))
        await client.ask_all((one, "a call") for one in asked)


def measure(who: str, n: int, url: str) -> None:
    """Make calls, once everything is loaded; print seconds, CPU seconds and the peak of memory, as JSON."""
    import anthropic
    import httpcore2  # noqa: F401

    import promptlab.models.client  # noqa: F401

    assert anthropic.AsyncAnthropic
    began, cpu = time.perf_counter(), time.process_time()
    asyncio.run({"bare": bare, "ours": ours}[who](n, url))
    print(json.dumps([time.perf_counter() - began, time.process_time() - cpu, peak()]))


def run(who: str, n: int, latency: float, rate: float) -> tuple[float, float, float, int]:
    """Measure in a process of its own; return that, and how many calls were refused."""
    import urllib.request

    with serving(latency, rate) as url:
        command = [sys.executable, __file__, "measure", who, str(n), url]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        with urllib.request.urlopen(url) as response:
            refused = json.load(response)["refused"]
    return (*json.loads(done.stdout.splitlines()[-1]), refused)


def compare(calls: int, limited: list[int]) -> None:
    """Measure one after the other."""
    for who, name in CLIENTS:
        few = run(who, calls // 10, LATENCY, 0)
        seconds, cpu, memory, _ = run(who, calls, LATENCY, 0)
        what = f"{name}, {LATENCY:g} s an answer, {WORKERS} workers"
        tell(f"{what}: share of the ideal", calls / WORKERS * LATENCY / seconds, "", calls)
        tell(f"{what}: CPU a call", 1000 * cpu / calls, "ms", calls)
        tell(f"{what}: more memory than for a tenth", memory - few[2], "MB", calls)
    for n in limited:
        for who, name in CLIENTS:
            seconds, _, _, refused = run(who, n, 0.2, RATE)
            what = f"{name}, a server that takes {RATE} a second, {WORKERS} workers"
            tell(f"{what}: share used", n / RATE / seconds, "", n)
            tell(f"{what}: share refused", refused / n, "", n)


def main() -> None:
    """Do what the arguments say."""
    if sys.argv[1:2] == ["serve"]:
        serve(float(sys.argv[2]), float(sys.argv[3]))
    elif sys.argv[1:2] == ["measure"]:
        measure(sys.argv[2], int(sys.argv[3]), sys.argv[4])
    else:
        parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
        parser.add_argument("--calls", type=int, default=10_000)
        parser.add_argument("--limited", nargs="*", type=int, default=[600, 3000])
        sizes = parser.parse_args()
        compare(sizes.calls, sizes.limited)


if __name__ == "__main__":
    main()
