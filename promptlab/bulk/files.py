"""The rows of a file are labelled into another one."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from promptlab import secrets
from promptlab.bulk import output
from promptlab.bulk.job import NAMED, REPLY, Job, announce, check, run
from promptlab.bulk.journal import JOURNAL, Journal
from promptlab.bulk.table import DELIMITERS, SUFFIXES, Row, Table, open_table
from promptlab.bulk.work import NO_ROW, UNFIT, Unfit, Work
from promptlab.data.task import Task
from promptlab.errors import DataError
from promptlab.models import catalog
from promptlab.models.spending import Spent
from promptlab.records import Model, Prompt

BAD = ".bad.jsonl"  # ends the name of the file of rows that were not asked, behind that of the output
REASONS = 1_000  # that are counted one by one: an extractor's own may differ from row to row


@dataclass
class Labelled:
    """What became of the rows of a file.

    Attributes:
        path: the output.
        spent: by the calls that were made for it this time.
        bad: the file that names the rows that were not asked, where there are any.
        labels: rows by label; of a task without labels, those that were "answered".
        missing: rows without a label, by reason.
    """

    path: Path
    spent: Spent
    bad: Path
    labels: Counter[str] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)

    def count(self, label: Any, reason: str | None, *, classes: bool) -> None:
        """Count a row by its answer."""
        if reason is None:
            self.labels[label if classes else "answered"] += 1
        else:
            few = reason in self.missing or len(self.missing) < REASONS
            self.missing[reason if few else "other reasons"] += 1

    @property
    def rows(self) -> int:
        """All rows."""
        return self.labels.total() + self.missing.total()

    @property
    def bad_rows(self) -> int:
        """Rows that were not asked."""
        return sum(self.missing[reason] for reason in UNFIT)

    def __str__(self) -> str:
        """Say it for people."""
        each = [f"{label} {count:,}" for label, count in self.labels.most_common()]
        why = ", ".join(f"{reason} {count:,}" for reason, count in self.missing.most_common(NAMED))
        each += [f"without a label {self.missing.total():,} ({why})"] if why else []
        lost = f" ({self.missing[NO_ROW]:,} without a place in the output)" if self.missing[NO_ROW] else ""
        bad = f"\n{self.bad_rows:,} rows were not asked{lost}: {self.bad} says why" if self.bad_rows else ""
        return f"{self.path}: {self.rows:,} rows: {', '.join(each)}{bad}\n{self.spent}"


def label_file(
    task: Task,
    prompt: Prompt,
    model: Model,
    source: Path,
    target: Path,
    *,
    replies: bool = False,
    max_cost: float | None = None,
    batch: bool = False,
    root: Path,
) -> Labelled:
    """Label the rows of a file into another; the same call goes on where an earlier one was stopped."""
    table, work = open_table(source), Work(task, prompt, catalog.batched(model) if batch else model)
    added, budget = check(work, str(source), table.columns, replies, max_cost)
    lines = table.kind in DELIMITERS and target.suffix.lower() == table.kind  # which stay as they are written
    if not lines and (twice := [name for name, count in Counter(table.columns).items() if count > 1]):
        raise DataError(f"{source}: has two columns {twice[0]!r}, which {target} cannot have: rename one")
    journal = Journal(_beside(target), work.header)
    try:
        job = Job(work, lambda: table, journal, batch=batch)
        look = job.look()
        announce(job, look, root / "cassettes")
        run(job, look, budget=budget)
        return write(job, table, target, added)
    finally:
        journal.close()


def _beside(target: Path) -> Path:
    """Return the path of the journal; DataError where the output would replace what is not ours."""
    if target.suffix.lower() not in SUFFIXES:
        raise DataError(f"{target}: expected a name that ends in {', '.join(SUFFIXES)}")
    if not target.parent.is_dir():
        raise DataError(f"{target}: there is no folder {str(target.parent)!r}")
    journal = target.with_name(target.name + JOURNAL)
    if target.exists() and not journal.exists():
        raise DataError(f"{target}: exists and was not written by this command: name another output")
    return journal


def write(job: Job, table: Table, target: Path, added: Sequence[str]) -> Labelled:
    """Write the rows with their answers, from the journal, and beside them the rows that were not asked."""
    done = Labelled(target, job.spent, target.with_name(target.name + BAD))
    unfinished = done.bad.with_name(done.bad.name + ".tmp")
    try:
        output.write(target, table, added, _answered(job, table, done, unfinished))
        if done.bad_rows:
            unfinished.replace(done.bad)
        else:
            done.bad.unlink(missing_ok=True)
    finally:
        unfinished.unlink(missing_ok=True)
    return done


def _answered(job: Job, table: Table, done: Labelled, bad: Path) -> Iterator[output.Answered]:
    """Yield each row with its answer, and count it; name in a file those that were not asked."""
    work, classes = job.work, bool(job.work.task.labels)
    with bad.open("w", encoding="utf-8", newline="\n") as file:
        for row in table:
            text = work.text(row)
            if isinstance(text, Unfit):
                done.count(None, text.reason, classes=classes)
                file.write(_named(row, text))
                if text.reason != NO_ROW:
                    yield row, {"label": None, "reason": text.reason, REPLY: None}
            else:
                label, reason, reply = work.answer(row.where, text, job.journal)
                done.count(label, reason, classes=classes)
                yield (
                    row,
                    {"label": output.screened_text(label), "reason": reason, REPLY: output.as_text(reply)},
                )


def _named(row: Row, unfit: Unfit) -> str:
    """Write why a row was not asked, as a line; a row that the output lacks, with it."""
    said = {"row": row.where.row, "reason": unfit.reason, "why": unfit.why}
    raw = {"raw": row.raw} if unfit.reason == NO_ROW else {}
    return json.dumps(secrets.screened(said | raw)) + "\n"
