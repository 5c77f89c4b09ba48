"""A recording process for tests to kill: `python -m tests.durable URL CASSETTE CALLS [WORKERS]`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from promptlab.cassettes import recorder
from promptlab.errors import PromptlabError
from promptlab.models import pacing
from promptlab.models.client import Client
from promptlab.records import Request

from .examples import model


def run(url: str, path: Path, calls: int, workers: int) -> None:
    """Make calls live; the process says when it begins to ask."""

    async def go() -> None:
        async with Client(api_key="none-needed", workers=workers) as client:
            asked = [Request(model(url), "system", (("user", f"text {n}"),)) for n in range(calls)]
            sys.stdout.write("asking\n")
            sys.stdout.flush()
            await client.ask_all((one, "a call") for one in asked)

    with recorder.use(path, mode="live", record_with=""):
        asyncio.run(go())


if __name__ == "__main__":
    pacing.START = 1e6  # it is about files
    try:
        run(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    except PromptlabError as error:
        sys.exit(str(error))
