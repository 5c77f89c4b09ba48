"""What an optimization cost: its calls, from promptlab's recording or from the log of the proxy."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import promptlab as pl
from promptlab.cassettes import format as files

READ = (
    "input_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
)  # from the server's cache too


class Call(NamedTuple):
    """A call: of the "search" or about "test", of the "classifier" or the "critic"."""

    phase: str
    role: str
    tokens_in: int
    tokens_out: int
    seconds: float


def role_of(body: dict, classifier: pl.Model) -> str:
    """Say whose call a request is: the classifier's replies are cut shorter than the critic's."""
    return "classifier" if body["max_tokens"] <= classifier.max_tokens else "critic"


def recorded(path: Path, task: pl.Task, classifier: pl.Model) -> Iterator[Call]:
    """Read the calls of one of promptlab's runs from its recording."""
    texts = [one.text for one in task.splits["test"]]
    for entry in files.read(path).calls.values():
        body, usage = entry["request"]["body"], entry["response"]["body"]["usage"]
        role, asked = role_of(body, classifier), body["messages"][-1]["content"]
        tested = role == "classifier" and any(text in asked for text in texts)
        read = sum(usage.get(name) or 0 for name in READ)
        yield Call("test" if tested else "search", role, read, usage["output_tokens"], entry["seconds"])


def logged(path: Path) -> Iterator[Call]:
    """Read the calls of another optimizer's run from its log."""
    for line in path.read_text(encoding="utf-8").splitlines():
        one = json.loads(line)
        yield Call(*(one[name] for name in ("phase", "role", "input_tokens", "output_tokens", "seconds")))
