"""DataFrames are labelled in any process, on any machine: as Ray Data's `map_batches` hands them out.

The calls of a process are made in an event loop of its own thread, by one client, which stays open: whoever
calls a labeller may have a loop that is running, or none, and may be any thread.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import pickle
import threading
from collections.abc import AsyncIterator, Coroutine
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptlab.bulk.frames import label_frame
from promptlab.bulk.job import ADDED, REPLY, Job, Look, calls
from promptlab.bulk.output import screened_text
from promptlab.bulk.work import Work
from promptlab.data.task import Task
from promptlab.errors import DataError, shorten
from promptlab.models import progress, prompts
from promptlab.models.client import GRACE, WORKERS, Client
from promptlab.models.messages_api import refuse
from promptlab.records import Model, Prompt

if TYPE_CHECKING:
    import pandas


class Labeller:
    """Labels DataFrames with a prompt, asked and read as the tests do; it can be pickled.

    Call it with a DataFrame: it returns the frame with the columns that `classify` adds, as Arrow's text, so
    that a frame without a reason has the same types as one with a reason. Of a graded task, an answer that
    is no text is written as JSON. It prints nothing and keeps nothing: rows of one frame with the same text
    are asked once, and a frame that is given again is asked about again. What it answers about a row depends
    neither on the other rows nor on the process, as far as the model repeats itself.

    Each process that calls it reads its own ANTHROPIC_API_KEY: no key is pickled.
    """

    def __init__(
        self,
        task: Task,
        prompt: Prompt | str | Path,
        *,
        classifier: Model | str,
        replies: bool = False,
        workers: int = WORKERS,
        processes: int = 1,
    ) -> None:
        """Check what can be checked before anything is asked.

        Args:
            task: how a text is made of the columns, and how a reply is read.
            prompt: the prompt, or the folder that holds it, which is read now.
            classifier: the model, or its name.
            replies: whether to add the column `reply`.
            workers: maximum number of concurrent calls, of all processes together.
            processes: how many processes share the server: each makes its part of the concurrent calls, at
                its part of the rate that the server allows.

        Raises:
            DataError: something cannot be pickled, and which attribute of the task it is; the examples do
                not say which columns to read; the prompt holds a credential; pyarrow is not installed.
            ModelError: the model rejects its own settings.
            ValueError: there are more processes than workers, or fewer than one.
        """
        if not 1 <= processes <= workers:
            raise ValueError(f"processes is {processes!r}, expected 1 to {workers!r}, the number of workers")
        work = Work(task, prompts.prompt_of(prompt), prompts.classifier_of(classifier, task))
        work.form  # noqa: B018 - it is checked
        refuse(work.request(""))
        work.check_prompt()
        _check_pickles(work)
        _text_type()
        self._work, self._replies, self._workers, self._processes = work, replies, workers, processes

    def __call__(self, frame: pandas.DataFrame) -> pandas.DataFrame:
        """Label the rows of a frame.

        Raises:
            DataError: it is no DataFrame, or a column is missing or would be replaced; no call was made.
            ModelError: a call was rejected or got no response.
        """
        import pandas

        if not isinstance(frame, pandas.DataFrame):
            raise DataError(
                f"a Labeller was called with {shorten(frame)}, expected a DataFrame: in Ray Data, "
                f"map_batches(labeller, batch_format='pandas')"
            )
        done = label_frame(self._work, frame, None, replies=self._replies, make=self._make)
        for name in (*ADDED, REPLY) if self._replies else ADDED:
            done[name] = pandas.Series([*map(screened_text, done[name])], frame.index, _text_type())
        return done

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled: nothing that was found out in this process, such as its credentials."""
        return vars(self) | {"_work": replace(self._work)}

    def _make(self, job: Job, look: Look, **_: Any) -> None:
        if look.calls:
            _calling().run(self._ask(job))

    async def _ask(self, job: Job) -> None:
        """Make the calls of a job. What is refused is asked once more, if the prompt is not to blame."""
        progress.output.set(_Nowhere())
        async with _calling().client(self._workers // self._processes, 1 / self._processes) as client:
            if await client.stream(calls(job), proven=True):
                await _prove(job.work, client)
                await client.stream(calls(job), proven=True, last=True)


async def _prove(work: Work, client: Client) -> None:
    """Ask about an example, once in a process: where that is refused, it is the prompt that is.

    The rows of a frame cannot say that: they may all be too long, and nobody knows those of other frames.
    """
    example = min(work.task.examples, key=lambda one: len(one.text))
    asked_for = f"task {work.task.name!r}, example {example.id!r}"
    await client.ask(work.request(example.text), asked_for, role="classifier")


def _check_pickles(work: Work) -> None:
    """Refuse what another process could not have, by name; DataError."""
    parts = {field.name: getattr(work.task, field.name) for field in fields(work.task)}
    for name, value in (*parts.items(), ("prompt", work.prompt), ("classifier", work.model)):
        try:
            pickle.loads(pickle.dumps(value))  # noqa: S301 - its own
        except Exception as error:
            raise DataError(
                f"task {work.task.name!r}: {name} is {shorten(value)}, which cannot be pickled for other "
                f"processes ({type(error).__name__}: {error}). A function or class has to be at the top "
                f"level of a module; make clients, files and locks where they are used"
            ) from error


def _text_type() -> Any:
    """Return Arrow's type of text for a column, which one without any text has too."""
    try:
        import pandas
        import pyarrow
    except ImportError as error:
        raise DataError("a Labeller needs pyarrow: pip install 'pytest-promptlab[ray]'") from error
    return pandas.ArrowDtype(pyarrow.string())


class _Nowhere(progress.Output):
    """Shows nothing: Ray shows progress itself."""

    @property
    def moves(self) -> bool:
        return False

    def line(self, text: str) -> None:
        pass


class _Calling:
    """A thread with an event loop, and the clients that make calls in it until the process ends."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self._clients: dict[tuple[int, float], Client] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="promptlab", daemon=True)
        self._thread.start()
        atexit.register(self._close)

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Do work in the loop, and wait for it; what interrupts the wait cancels the work."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            future.result()
        except BaseException:
            future.cancel()
            raise

    @contextlib.asynccontextmanager
    async def client(self, workers: int, share: float) -> AsyncIterator[Client]:
        """Lend the client of so many workers, which is made the first time; one that failed is closed."""
        key = workers, share
        client = self._clients.get(key) or await Client(workers=workers, share=share).__aenter__()
        self._clients[key] = client
        try:
            yield client
        except BaseException:
            if self._clients.get(key) is client:
                del self._clients[key]
            await client.__aexit__()
            raise

    def _close(self) -> None:
        """Close the connections, as the process ends; a process that was forked has none of its own."""
        atexit.unregister(self._close)
        if self.process != os.getpid():
            return

        async def close() -> None:
            await asyncio.gather(*(client.__aexit__() for client in self._clients.values()))

        with contextlib.suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(close(), self._loop).result(2 * GRACE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


_lock = threading.Lock()
_one: _Calling | None = None


def _calling() -> _Calling:
    """Return the process's own thread for calls; one that was forked off begins anew."""
    global _one
    with _lock:
        if _one is None or _one.process != os.getpid():
            _one = _Calling()
        return _one
