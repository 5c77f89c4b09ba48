"""Tables in the summary, above all one of each task: prompts and baselines, validation and test."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest

import promptlab as pl

from .short import CLASSIFIER

Row = tuple[str, ...]
Result = Callable[[str, str], pl.Evaluation]  # of a prompt and a split
Table = Sequence[Row]  # a row with one cell is a line of text
TABLES = pytest.StashKey[dict[str, Sequence[Table]]]()
PROMPTS = ("first", "written", "eight")
SPLITS = ("validation", "test")


def pytest_configure(config: pytest.Config) -> None:
    """Begin with no table."""
    config.stash[TABLES] = {}


@pytest.fixture
def result(lab, request: pytest.FixtureRequest) -> Result:
    """Score one of the prompts beside the test, with the task that its module imports, on a split."""
    task, here = request.module.task, request.module.HERE
    return lambda prompt, split: lab.evaluate(task, here / prompt, split=split, name=f"{prompt}-{split}")


@pytest.fixture(scope="session")
def short(pytestconfig: pytest.Config) -> dict[str, pl.Model]:
    """Return the recorded classifier with its replies cut short; nothing where a profile is named."""
    return {} if pytestconfig.getoption("promptlab_profile") else {"classifier": CLASSIFIER}


@pytest.fixture(scope="session")
def show(pytestconfig: pytest.Config) -> Callable[..., None]:
    """Show tables at the end of the session: (title, the tables)."""

    def show(title: str, *tables: Table) -> None:
        pytestconfig.stash[TABLES][title] = tables

    return show


@pytest.fixture(scope="session")
def tabulate(show) -> Callable[..., None]:
    """Put the results of a task into its table: (task, a function of prompt and split, further lines)."""

    def tabulate(task: pl.Task, result: Result, *more: str) -> None:
        show(f"{task.name}: prompts side by side", [*_rows(task, result), *((line,) for line in more)])

    return tabulate


def _rows(task: pl.Task, result: Result) -> Iterator[Row]:
    first = result("first", "test")
    sizes = (f"{split} (n = {result('first', split).examples})" for split in SPLITS)
    yield (f"{task.name}: {first.primary_name}", *sizes, "test, against first")
    others = [("TF-IDF", False), ("majority label", True)] if task.labels else []
    for name, majority in others:
        sides = [pl.baseline(task, split=split, majority=majority) for split in SPLITS]
        yield (f"{name} (no model)", *map(_figure, sides), pl.compare(first, sides[1]).verdict)
    for prompt in PROMPTS:
        sides = [result(prompt, split) for split in SPLITS]
        yield (prompt, *map(_figure, sides), "" if prompt == "first" else pl.compare(first, sides[1]).verdict)


def _figure(one: pl.Evaluation) -> str:
    return one.primary_interval.around(one.primary)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show the tables."""
    for title, tables in sorted(config.stash[TABLES].items()):
        terminalreporter.section(title)
        for number, table in enumerate(tables):
            for line in (*([""] if number else []), *_aligned(table)):
                terminalreporter.write_line(line)


def _aligned(rows: Table) -> Iterator[str]:
    whole = [row for row in rows if len(row) > 1]
    widths = [max(map(len, column)) for column in zip(*whole, strict=True)]
    for row in rows:
        yield (
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip()
            if len(row) > 1
            else row[0]
        )
