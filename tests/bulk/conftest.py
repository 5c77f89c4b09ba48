"""A project with a task, a prompt and a synthetic server."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import promptlab as pl
from promptlab import cli

from .. import examples
from ..server import Server, serving

TASK = """
import promptlab as pl

task = pl.Task(
    name="topics", examples=pl.read_csv("topics.csv"), labels=("weather", "food"), brief="Weather or food?"
)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make the user's project, and go there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "test_topics", raising=False)
    rows = "".join(f"{e.text},{e.label}\n" for e in examples.examples())
    (tmp_path / "topics.csv").write_text("text,label\n" + rows)
    (tmp_path / "test_topics.py").write_text(TASK)
    pl.save_prompt(pl.Prompt("Better", "<", ">"), "prompt")
    yield tmp_path
    sys.modules.pop("test_topics", None)  # sessions within other tests have a file of that name


@pytest.fixture
def answer() -> Callable[[dict], object]:
    """Answer about a text; a module may have another."""
    return examples.answer


@pytest.fixture
def server(folder: Path, answer: Callable[[dict], object]) -> Iterator[Server]:
    """Serve, and name the server in the project's profile."""
    with serving(answer) as server:
        examples.connect(folder, server.url)
        yield server


def classify(*arguments: str, prompt: str = "prompt") -> int:
    """Run the command."""
    sys.modules.pop("test_topics", None)
    return cli.main(["classify", "test_topics.py:task", "--prompt", prompt, *arguments])


def asked(server: Server) -> list[int]:
    """Return the numbers of the sentences that were asked about, in order."""
    turns = (body["messages"][-1]["content"] for body in server.bodies)
    return [int(re.search(r"Sentence (\d+)", turn)[1]) for turn in turns]


def sentences(path: Path, *numbers: int) -> None:
    """Write a CSV file of sentences."""
    path.write_text("id,text\n" + "".join(f"r{n},Sentence {n} of some\n" for n in numbers))
