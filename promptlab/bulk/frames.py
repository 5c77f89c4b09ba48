"""A DataFrame is labelled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptlab.bulk.job import REPLY, Job, announce, check, run
from promptlab.bulk.journal import Journal
from promptlab.bulk.table import Row, rows_of_frame
from promptlab.bulk.work import Unfit, Work
from promptlab.data.task import Task
from promptlab.errors import DataError
from promptlab.models import catalog, prompts
from promptlab.models.client import WORKERS
from promptlab.models.spending import Budget
from promptlab.records import Model, Prompt

if TYPE_CHECKING:
    import pandas


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
    batch: bool = False,
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
        batch: whether to make the calls in Message Batches, which take up to a day, at half the price.

    Returns:
        The frame with the columns `label`, None where there is none, and `reason`, why there is none: one of
        `promptlab.records.REASONS`, the extractor's own words, or "no text" of a row that was not asked.

    Raises:
        DataError: a column is missing or would be replaced, or a batch has no journal; no call was made.
        ModelError: a call was rejected or got no response.
        BudgetExceeded: the next call may cost more than what is left of `max_cost`.
    """
    if batch and journal is None:
        raise DataError("batch=True needs a journal, so that nothing is paid twice: give journal='FILE'")
    model = prompts.classifier_of(classifier, task)
    work = Work(task, prompts.prompt_of(prompt), catalog.batched(model) if batch else model, api_key)
    kept = None if journal is None else Path(journal)
    return label_frame(
        work,
        frame,
        Path("cassettes"),
        replies=replies,
        journal=kept,
        workers=workers,
        max_cost=max_cost,
        batch=batch,
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
    batch: bool = False,
    make: Callable[..., None] = run,
) -> pandas.DataFrame:
    """Label the rows of a DataFrame; without the folder of recordings, say nothing before.

    `make` makes the calls that have no reply yet.
    """
    _, budget = check(work, "frame", [*map(str, frame.columns)], replies, max_cost)
    kept = Journal(journal, work.header)
    try:
        job = Job(work, lambda: rows_of_frame(frame, work.form.columns), kept, batch=batch)
        look = job.look()
        if cassettes:
            announce(job, look, cassettes)
        make(job, look, budget=budget, **{} if batch else {"workers": workers})
        return _labelled(job, frame, replies=replies)
    finally:
        kept.close()


def _answer(job: Job, row: Row) -> tuple[Any, str | None, str]:
    text = job.work.text(row)
    if isinstance(text, Unfit):
        return None, text.reason, ""
    return job.work.answer(row.where, text, job.journal)


def _labelled(job: Job, frame: pandas.DataFrame, *, replies: bool) -> pandas.DataFrame:
    """Return the frame with the answers."""
    import pandas

    answers = [_answer(job, row) for row in job.rows()]
    labels, reasons, texts = zip(*answers, strict=True) if answers else ((), (), ())
    columns = {"label": labels, "reason": reasons} | ({REPLY: texts} if replies else {})
    new = {name: pandas.Series(values, index=frame.index, dtype=object) for name, values in columns.items()}
    return frame.assign(**new)
