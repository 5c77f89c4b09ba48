"""What other processes import for the tests of the labeller."""

from __future__ import annotations

import os

import pandas

import promptlab as pl

from .. import examples


def read(reply: str) -> str | None:
    """Read a tag, as an extractor of a user's own does."""
    return pl.tagged("label")(reply)


def label_and_fork(url: str) -> None:
    """Label in a process, in one that is forked off it, and again, and leave it to end by itself."""
    label = pl.Labeller(examples.task(), pl.Prompt("Better"), classifier=examples.model(url), processes=2)
    say(label, 0)
    if not (child := os.fork()):
        say(label, 1)
        os._exit(0)  # as multiprocessing does
    os.waitpid(child, 0)
    say(label, 2)


def say(label: pl.Labeller, first: int) -> None:
    """Print the labels of four rows."""
    texts = [f"Sentence {number}" for number in range(first, first + 4)]
    print(*label(pandas.DataFrame({"text": texts}))["label"], flush=True)  # noqa: T201
