"""Work on a table: it is looked through, announced, and asked about.

Files and DataFrames have this in common; how their rows come and go is not known here.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from promptlab.bulk import batches, tested
from promptlab.bulk.journal import Journal
from promptlab.bulk.table import Row
from promptlab.bulk.work import Asked, Unfit, Work
from promptlab.cassettes import format as files
from promptlab.cassettes.estimates import Plan, Usage
from promptlab.errors import RecordingError
from promptlab.models import progress, spending
from promptlab.models.blocking import synchronous
from promptlab.models.client import WORKERS, Call, Client
from promptlab.models.messages_api import refuse
from promptlab.models.spending import Budget, Spent, budget_of
from promptlab.records import Reply
from promptlab.records import Usage as Tokens

ADDED = ("label", "reason")
REPLY = "reply"
NAMED = 10  # rows that are not asked, and named on the terminal
WIDE = 300  # characters of such a line
Rows = Callable[[], Iterable[Row]]  # the rows of a table from the first on, each time


@dataclass
class Look:
    """What a look through a table found, before anything is asked."""

    rows: int = 0
    calls: int = 0  # that have no reply yet
    characters: int = 0  # of those
    known: int = 0  # calls whose reply is in the journal
    unfit: Counter[str] = field(default_factory=Counter)  # rows that are not asked, by reason
    named: list[str] = field(default_factory=list)  # the first of them, a sentence each


@dataclass
class Job:
    """Work on a table, with its journal.

    Attributes:
        asked: tokens of the calls that this job has made.
        dollars: what they cost; None where that is not known.
        batch: whether they are made in Message Batches.
    """

    work: Work
    rows: Rows
    journal: Journal
    asked: Tokens = Tokens()  # noqa: RUF009 - frozen
    dollars: float | None = 0.0
    batch: bool = False
    _flying: set[str] = field(default_factory=set)  # keys of the calls under way, and of those refused

    def look(self) -> Look:
        """Look through all rows: how many calls are to be made, and which rows are not fit for one."""
        found, request = Look(), self.work.request("")
        around = len(request.system) + sum(len(text) for _, text in request.messages)
        self.journal.db.execute("BEGIN")  # what is seen first is written together
        for row in self.rows():
            found.rows += 1
            text = self.work.text(row)
            if isinstance(text, Unfit):
                found.unfit[text.reason] += 1
                found.named += [text.why[:WIDE]] if len(found.named) < NAMED else []
                continue
            key = self.work.key(text)
            if not self.journal.first(key):
                continue
            if key in self.journal:
                found.known += 1
            else:
                found.calls += 1
                found.characters += around + len(text)
        self.journal.db.execute("COMMIT")
        return found

    def pending(self) -> Iterator[Asked]:
        """Yield the calls that have no reply yet, each once, in the order of the rows."""
        self._flying.clear()
        return self.work.pending(self.rows(), self.journal, self._flying)

    def keep(self, asked: Asked, reply: Reply) -> None:
        """Put a reply into the journal, and count what it took."""
        self.work.keep(self.journal, asked, reply)
        self._flying.discard(asked.key)
        self.asked += spending.usage_of(reply)
        cost = spending.dollars(self.work.model, reply)
        self.dollars = None if cost is None or self.dollars is None else self.dollars + cost

    @property
    def spent(self) -> Spent:
        """What this job's calls took."""
        return Spent("classifier", self.work.model.name, self.asked, self.dollars)


def calls(job: Job) -> Iterator[Call]:
    """Yield the calls that have no reply yet; their replies are kept."""
    for asked in job.pending():
        keep = functools.partial(job.keep, asked)
        yield Call(asked.request, f"task {job.work.task.name!r}, {asked.where}", keep)


async def ask(job: Job, look: Look, *, workers: int = WORKERS, budget: Budget | None = None) -> None:
    """Make the calls that have no reply yet, one by one."""
    name = job.work.task.name
    client = Client(name, planned=look.calls, workers=workers, api_key=job.work.api_key, budget=budget)
    async with client:
        if await client.stream(calls(job), proven=len(job.journal) > 0):
            await client.stream(calls(job), proven=True, last=True)  # what was refused is asked once more


def announce(job: Job, look: Look, cassettes: Path) -> None:
    """Say what will be done, before it is."""
    for line in _announcement(job, look, cassettes):
        progress.output.get().line(f"promptlab: {line}")


def _announcement(job: Job, look: Look, cassettes: Path) -> Iterator[str]:
    work = job.work
    yield tested.figures(work.task, work.prompt, work.model, cassettes)
    if look.unfit:
        each = ", ".join(f"{reason}: {count:,}" for reason, count in look.unfit.items())
        yield f"{look.unfit.total():,} of {look.rows:,} rows are not asked ({each})"
        yield from (f"  {why}" for why in look.named)
    if look.known:
        yield f"{look.known:,} replies are known already, from {job.journal.path}"
    if look.calls:
        part = _usage(work.task.name, cassettes).part(
            "classifier", work.model, look.calls, look.characters / look.calls
        )
        halved = " in Message Batches, at half the price" if job.batch else ""
        yield str(Plan(f"{look.rows:,} rows{halved}", (part,)))
    else:
        yield f"{look.rows:,} rows: no call is needed"


def _usage(task: str, cassettes: Path) -> Usage:
    """Return the usage that is recorded for a task; a recording that cannot be read is no reason to stop."""
    try:
        return Usage(path for path in files.recordings(cassettes) if path.parent.name == task)
    except RecordingError:
        return Usage(())


def run(job: Job, look: Look, **settings: Any) -> None:
    """Make the calls that have no reply yet; an error that stops them says what is kept."""
    if not look.calls:
        return
    if (sent := batches.under_way(job.journal)) and not job.batch:
        raise RecordingError(
            f"{job.journal.path}: {sent}, which are paid: collect them with --batch (batch=True)"
        )
    try:
        if job.batch:
            synchronous(batches.send)(job, look.calls, **settings)
        else:
            synchronous(ask)(job, look, **settings)
    except BaseException:
        if job.journal.path and len(job.journal):
            kept = f"{len(job.journal):,} replies are kept in {job.journal.path}: the same command goes on"
            progress.output.get().line(f"promptlab: {kept}")
        raise


def check(
    work: Work, name: str, columns: Sequence[str], replies: bool, max_cost: float | Budget | None
) -> tuple[tuple[str, ...], Budget | None]:
    """Refuse what can be refused before anything is asked; return the columns to add, and the budget."""
    added = (*ADDED, REPLY) if replies else ADDED
    work.check_columns(name, tuple(columns), added)
    refuse(work.request(""))
    work.check_prompt()
    return added, budget_of(max_cost, work.model)
