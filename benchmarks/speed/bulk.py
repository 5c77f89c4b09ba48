"""How fast and in how much memory a table is labelled, beside the SDK with a bare asyncio loop.

First, distinct rows against a synthetic server in a process of its own, which answers at once: promptlab,
which validates, screens and journals every reply and writes the table, and the bare loop, which does none of
that, in turn. Then many distinct rows with the answers made inside the process. Prints one JSON object a line:
name, value, unit, n (rows).

    python benchmarks/speed/bulk.py [--rows 50000] [--rounds 5] [--many 1000000]
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pacing import serving
from replay import MODEL, REPLY, SYSTEM, message, peak, tell

WORKERS = 16


def table(path: Path, rows: int) -> None:
    """Write so many rows that differ."""
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write("id,text\n")
        for number in range(rows):
            text = f"Question {number}: what would it take to find out about it? " * 4
            file.write(f"{number},{text}\n")


async def bare(path: Path, url: str) -> None:
    """Ask about each row with the SDK; read each answer, and keep none."""
    import anthropic

    async with anthropic.AsyncAnthropic(api_key="none", base_url=url, max_retries=1000) as sdk:
        with path.open(encoding="utf-8", newline="") as file:
            waiting = csv.DictReader(file)

            async def work() -> None:
                for row in waiting:
                    turn = [{"role": "user", "content": row["text"]}]
                    said = await sdk.messages.create(model=MODEL, max_tokens=99, system=SYSTEM, messages=turn)
                    assert said.content[0].text == REPLY

            await asyncio.gather(*(work() for _ in range(WORKERS)))


def ours(path: Path, url: str) -> None:
    """Label the rows, and write the table."""
    import promptlab as pl
    from promptlab.bulk.files import label_file

    texts = (f"text {label} {number}" for label in ("sincere", "other") for number in range(15))
    examples = [{"text": text, "label": text.split()[1]} for text in texts]
    task = pl.Task(name="speed", examples=examples, labels=("sincere", "other"), brief="Sincere?")
    model = pl.Model(MODEL, max_tokens=99, base_url=url)
    done = label_file(task, pl.Prompt(SYSTEM), model, path, path.with_name("labels.csv"), root=path.parent)
    assert done.rows == done.labels["sincere"], done


def in_process() -> None:
    """Answer inside the process: no request leaves the SDK's transport."""
    import anthropic
    import httpx2

    async def answer(request: httpx2.Request) -> httpx2.Response:
        await asyncio.sleep(0)  # as a socket does; else the loop would never clear away timers
        return httpx2.Response(200, json=message(json.loads(request.content)))

    stub = functools.partial(anthropic.DefaultAsyncHttpxClient, transport=httpx2.MockTransport(answer))
    anthropic.DefaultAsyncHttpxClient = stub


def measure(who: str, path: Path, url: str) -> None:
    """Do it, once everything is loaded; print seconds, CPU seconds and the peak of memory, as JSON."""
    import anthropic
    import httpcore2  # noqa: F401

    import promptlab.bulk.files  # noqa: F401

    assert anthropic.AsyncAnthropic
    os.environ["ANTHROPIC_API_KEY"] = "none"
    began, cpu = time.perf_counter(), time.process_time()
    if who == "bare":
        asyncio.run(bare(path, url))
    else:
        if not url:
            in_process()
        ours(path, url or "http://127.0.0.1:9")
    print(json.dumps([time.perf_counter() - began, time.process_time() - cpu, peak()]))


def run(who: str, rows: int, url: str) -> tuple[float, float, float]:
    """Measure in a process of its own, on rows that are written before; return what it prints."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "rows.csv")
        table(path, rows)
        command = [sys.executable, __file__, "measure", who, str(path), url]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=folder)
    return tuple(json.loads(done.stdout.splitlines()[-1]))


def compare(rows: int, rounds: int) -> None:
    """Label with the bare loop and with promptlab in turn, and compare."""
    rates: dict[str, list[float]] = {"bare": [], "ours": []}
    for number in range(rounds):
        for who in ("bare", "ours") if number % 2 else ("ours", "bare"):
            with serving(0, 0) as url:
                seconds, cpu, memory = run(who, rows, url)
            rates[who].append(rows / seconds)
            tell(f"{who}, round {number + 1}: rows a second", rows / seconds, "", rows)
            tell(f"{who}, round {number + 1}: CPU a row", 1000 * cpu / rows, "ms", rows)
            tell(f"{who}, round {number + 1}: peak memory", memory, "MB", rows)
    ratios = [a / b for a, b in zip(rates["ours"], rates["bare"], strict=True)]
    tell("promptlab's rate, as a share of the bare loop's, median", statistics.median(ratios), "", rows)


def many(rows: int) -> None:
    """Label with the answers made inside the process."""
    seconds, _, memory = run("ours", rows, "")
    tell("in one process: rows a second", rows / seconds, "", rows)
    tell("in one process: peak memory, imports included", memory, "MB", rows)


def main() -> None:
    """Do what the arguments say."""
    if sys.argv[1:2] == ["measure"]:
        measure(sys.argv[2], Path(sys.argv[3]), sys.argv[4])
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--many", type=int, default=1_000_000)
    sizes = parser.parse_args()
    compare(sizes.rows, sizes.rounds)
    many(sizes.many)


if __name__ == "__main__":
    main()
