"""A table is labelled: it is looked through, announced, asked about, and written with its answers."""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptlab import secrets
from promptlab.bulk import output, tested
from promptlab.bulk.journal import JOURNAL, Journal
from promptlab.bulk.table import SUFFIXES, Row, Table, open_table, rows_of_frame
from promptlab.bulk.work import NO_ROW, Asked, Unfit, Work
from promptlab.cassettes import format as files
from promptlab.cassettes.estimates import Plan, Usage
from promptlab.data.task import Task
from promptlab.errors import DataError
from promptlab.models import progress, prompts, spending
from promptlab.models.client import WORKERS, Call, Client, check
from promptlab.models.spending import Budget, Spent, budget_of
from promptlab.optimizer.loop import synchronous
from promptlab.records import Model, Prompt, Reply
from promptlab.records import Usage as Tokens

if TYPE_CHECKING:
    import pandas

ADDED = ("label", "reason")
REPLY = "reply"
NAMED = 10  # rows that are not asked, and named on the terminal
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
    """

    work: Work
    rows: Rows
    journal: Journal
    asked: Tokens = Tokens()  # noqa: RUF009 - frozen
    dollars: float | None = 0.0

    def look(self) -> Look:
        """Look through all rows: how many calls are to be made, and which rows are not fit for one."""
        found = Look()
        self.journal.db.execute("BEGIN")
        for row in self.rows():
            found.rows += 1
            text = self.work.text(row)
            if isinstance(text, Unfit):
                found.unfit[text.reason] += 1
                found.named += [text.why] if len(found.named) < NAMED else []
                continue
            key = self.work.key(self.work.request(text))
            if not self.journal.first(key):
                continue
            if key in self.journal:
                found.known += 1
            else:
                found.calls += 1
                found.characters += len(self.work.prompt) + len(text)
        self.journal.db.execute("COMMIT")
        return found

    def pending(self) -> Iterator[Asked]:
        """Yield the calls that have no reply yet, in the order of the rows."""
        return self.work.pending(iter(self.rows()), self.journal)

    def keep(self, asked: Asked, reply: Reply) -> None:
        """Put a reply into the journal, and count what it took."""
        self.work.keep(self.journal, asked, reply)
        self.asked += spending.usage_of(reply)
        cost = spending.dollars(self.work.model, reply)
        self.dollars = None if cost is None or self.dollars is None else self.dollars + cost

    @property
    def spent(self) -> Spent:
        """What this job's calls took."""
        return Spent("classifier", self.work.model.name, self.asked, self.dollars)


async def ask(job: Job, look: Look, *, workers: int = WORKERS, budget: Budget | None = None) -> None:
    """Make the calls that have no reply yet, one by one."""
    task = job.work.task

    def calls() -> Iterator[Call]:
        for asked in job.pending():
            keep = functools.partial(job.keep, asked)
            yield Call(asked.request, f"task {task.name!r}, {asked.where}", keep)

    client = Client(task.name, planned=look.calls, workers=workers, api_key=job.work.api_key, budget=budget)
    async with client:
        if await client.stream(calls(), proven=len(job.journal) > 0):
            await client.stream(calls(), proven=True, last=True)  # what was refused is asked once more


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
        recordings = (path for path in files.recordings(cassettes) if path.parent.name == work.task.name)
        part = Usage(recordings).part("classifier", work.model, look.calls, look.characters / look.calls)
        yield str(Plan(f"{look.rows:,} rows", (part,)))
    else:
        yield f"{look.rows:,} rows: no call is needed"


@dataclass(frozen=True)
class Labelled:
    """What became of the rows of a file."""

    path: Path
    rows: int
    labels: Counter[str]  # rows by label; of a task without labels, "answered"
    missing: Counter[str]  # rows without a label, by reason
    spent: Spent
    bad: Path | None  # the file that names the rows that were not asked

    def __str__(self) -> str:
        each = [f"{label} {count:,}" for label, count in self.labels.items()]
        each += [f"{count:,} without ({reason})" for reason, count in self.missing.most_common()]
        aside = f"; rows that were not asked are in {self.bad}" if self.bad else ""
        return f"{self.path}: {self.rows:,} rows: {', '.join(each)}{aside}\n{self.spent}"


def label_file(
    task: Task,
    prompt: Prompt,
    model: Model,
    source: Path,
    target: Path,
    *,
    replies: bool = False,
    max_cost: float | None = None,
    root: Path,
) -> Labelled:
    """Label the rows of a file into another; the same call goes on where an earlier one was stopped."""
    table, added = open_table(source), (*ADDED, REPLY) if replies else ADDED
    work = Work(task, prompt, model)
    budget = _checked(work, str(source), table.columns, added, max_cost)
    journal = Journal(_beside(source, target), work.header)
    try:
        job = Job(work, lambda: table, journal)
        look = job.look()
        announce(job, look, root / "cassettes")
        run(job, look, budget=budget)
        return write(job, table, target, added)
    finally:
        journal.close()


def _checked(
    work: Work, name: str, columns: tuple[str, ...], added: Sequence[str], max_cost: float | Budget | None
) -> Budget | None:
    """Refuse what can be refused before anything is asked; return the budget."""
    work.check_columns(name, columns, tuple(added))
    check(work.model)
    work.check_prompt()
    return budget_of(max_cost, work.model)


def _beside(source: Path, target: Path) -> Path:
    """Return the path of the journal; DataError where the output would replace what is not ours."""
    if target.suffix.lower() not in SUFFIXES:
        raise DataError(f"{target}: expected a name that ends in {', '.join(SUFFIXES)}")
    if not target.parent.is_dir():
        raise DataError(f"{target}: there is no folder {str(target.parent)!r}")
    journal = target.with_name(target.name + JOURNAL)
    if target.exists() and (not journal.exists() or target.samefile(source)):
        raise DataError(f"{target}: exists and was not written by this command: name another output")
    return journal


def run(job: Job, look: Look, **settings: Any) -> None:
    """Make the calls that have no reply yet; an error that stops them says what is kept."""
    if not look.calls:
        return
    try:
        synchronous(ask)(job, look, **settings)
    except BaseException:
        if job.journal.path and len(job.journal):
            kept = f"{len(job.journal):,} replies are kept in {job.journal.path}: the same command goes on"
            progress.output.get().line(f"promptlab: {kept}")
        raise


def write(job: Job, table: Table, target: Path, added: Sequence[str]) -> Labelled:
    """Write the rows with their answers, from the journal, and beside them the rows that were not asked."""
    labels, missing = Counter[str](), Counter[str]()
    bad = target.with_name(f"{target.stem}.bad.jsonl")
    unfinished = bad.with_name(bad.name + ".tmp")

    def rows() -> Iterator[output.Answered]:
        with unfinished.open("w", encoding="utf-8", newline="\n") as file:
            for row in table:
                text = job.work.text(row)
                if isinstance(text, Unfit):
                    named = secrets.screened({"row": row.where.row, "reason": text.reason, "why": text.why})
                    file.write(json.dumps(named) + "\n")
                if isinstance(text, Unfit) and text.reason == NO_ROW:
                    missing[NO_ROW] += 1
                    continue
                label, reason, reply = job.work.answer(row, job.journal)
                if reason is None:
                    labels[label if job.work.task.labels else "answered"] += 1
                else:
                    missing[reason] += 1
                yield row, {"label": as_text(label), "reason": reason, REPLY: reply}

    try:
        output.write(target, table, added, rows())
        _replace(unfinished, bad)
    finally:
        unfinished.unlink(missing_ok=True)
    total = labels.total() + missing.total()
    return Labelled(target, total, labels, missing, job.spent, bad if bad.exists() else None)


def _replace(unfinished: Path, bad: Path) -> None:
    if unfinished.stat().st_size:
        unfinished.replace(bad)
    else:
        bad.unlink(missing_ok=True)


def as_text(label: Any) -> str | None:
    """Write an answer as text: a label as it is, anything else as JSON, screened; None stays None."""
    if label is None or isinstance(label, str):
        return None if label is None else secrets.masked(label)
    return json.dumps(secrets.screened(label), ensure_ascii=False, default=str)


def classify(
    task: Task,
    prompt: Prompt | str | Path,
    frame: pandas.DataFrame,
    *,
    classifier: Model | str,
    replies: bool = False,
    journal: str | Path | None = None,
    workers: int = WORKERS,
    api_key: str | None = None,
    max_cost: float | Budget | None = None,
) -> pandas.DataFrame:
    """Label the rows of a DataFrame with a prompt, asked and read as the tests do.

    It says first how many calls, tokens and dollars that takes, and what the prompt and the model reached on
    test. Rows with the same text are asked once.

    Args:
        task: how a text is made of the columns, and how a reply is read.
        prompt: the prompt, or the folder that holds it.
        frame: the rows; they come back in their order, with their index.
        classifier: the model, or its name.
        replies: whether to add the column `reply`.
        journal: a file for the replies: with it, the same call goes on where an earlier one was stopped, and
            asks nothing twice. None keeps them in memory.
        workers: maximum number of concurrent calls.
        api_key: None leaves it to the SDK (ANTHROPIC_API_KEY and its other sources).
        max_cost: dollars that may be spent, or a Budget that several runs share; None is no limit.

    Returns:
        The frame with the columns `label`, None where there is none, and `reason`, why there is none: one of
        `promptlab.records.REASONS`, the extractor's own words, or "no text" of a row that was not asked.

    Raises:
        DataError: a column is missing or would be replaced; no call was made.
        ModelError: a call was rejected or got no response.
        BudgetExceeded: the next call may cost more than what is left of `max_cost`.
    """
    work = Work(task, prompts.prompt_of(prompt), prompts.classifier_of(classifier, task), api_key)
    kept = None if journal is None else Path(journal)
    return label_frame(
        work, frame, Path("cassettes"), replies=replies, journal=kept, workers=workers, max_cost=max_cost
    )


def label_frame(
    work: Work,
    frame: pandas.DataFrame,
    cassettes: Path | None,
    *,
    replies: bool = False,
    journal: Path | None = None,
    workers: int = WORKERS,
    max_cost: float | Budget | None = None,
) -> pandas.DataFrame:
    """Label the rows of a DataFrame; without the folder of recordings, say nothing before."""
    added = (*ADDED, REPLY) if replies else ADDED
    budget = _checked(work, "frame", tuple(map(str, frame.columns)), added, max_cost)
    kept = Journal(journal, work.header)
    try:
        job = Job(work, lambda: rows_of_frame(frame, work.form.columns), kept)
        look = job.look()
        if cassettes:
            announce(job, look, cassettes)
        run(job, look, workers=workers, budget=budget)
        return _labelled(job, frame, replies=replies)
    finally:
        kept.close()


def _labelled(job: Job, frame: pandas.DataFrame, *, replies: bool) -> pandas.DataFrame:
    """Return the frame with the answers."""
    import pandas

    answers = [job.work.answer(row, job.journal) for row in job.rows()]
    labels, reasons, texts = zip(*answers, strict=True) if answers else ((), (), ())
    columns = {"label": labels, "reason": reasons} | ({REPLY: texts} if replies else {})
    new = {name: pandas.Series(values, index=frame.index, dtype=object) for name, values in columns.items()}
    return frame.assign(**new)
