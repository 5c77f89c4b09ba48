"""A table's calls in Message Batches, at half the price: sent, polled and collected, and none paid twice.

The journal has a batch before it is sent: when that was begun, and of which calls it is. If the answer does
not come, because the process was killed or the connection broke, the batch may have been created all the
same. Nothing else is sent until that is known: the server lists the batches of a time with the number of
their calls, and once one has ended, its results name them.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from promptlab.bulk.journal import Journal
from promptlab.bulk.table import Row
from promptlab.bulk.work import Asked, Work
from promptlab.errors import ModelError, RecordingError, shorten
from promptlab.models import catalog, message_batches
from promptlab.models.client import ATTEMPTS, Client, Failure, Refused
from promptlab.models.message_batches import KEPT, LARGEST, MOST, Batch, Batches, NotFound, Result, Unsure
from promptlab.models.messages_api import TOO_LARGE, body_of, checked, refused, reply_in
from promptlab.models.progress import Progress
from promptlab.models.spending import Budget, worst
from promptlab.records import Reply, Source

UNDER_WAY = 8  # batches at a time
POLLED, SELDOM, SLOWER = 5.0, 60.0, 1.5  # seconds before the first poll, and at most; what they grow by
SETTLED = 60.0  # seconds after which a request whose answer did not come has created its batch, or will not
EARLIER = 300.0  # seconds that two clocks of the server may differ
ROUNDS = 5  # times that a call is sent: those that expired, or that the server failed to answer
NOT_THE_CALL = ("authentication_error", "permission_error", "billing_error", "not_found_error")  # stop a run


class Calls(Protocol):
    """What is asked about a table: a job."""

    work: Work
    journal: Journal
    dollars: float | None

    @property
    def rows(self) -> Callable[[], Iterable[Row]]:
        """Return the rows of the table from the first on, each time."""

    def keep(self, asked: Asked, reply: Reply) -> None:
        """Put a reply into the journal, and count what it took."""


async def send(
    job: Calls, planned: int, *, budget: Budget | None = None, sleep: message_batches.Sleep = asyncio.sleep
) -> None:
    """Make the calls that have no reply yet, in batches; those under way already are collected.

    Raises:
        ModelError: the server has no batches, or refuses them; one was canceled; calls fail again and again.
        BudgetExceeded: the next call may cost more than what is left of the budget.
    """
    work = job.work
    client = Client(work.task.name, planned=planned, api_key=work.api_key, budget=budget)
    async with client:
        server = Batches(client, work.model, sleep)
        await server.check()
        # The intent has to survive a power failure too, since the batch does.
        job.journal.db.execute("PRAGMA synchronous = FULL")
        sender = _Sender(job, planned, server, client.progress, budget, sleep)
        try:
            await sender.run()
        finally:
            sender.close()


def under_way(journal: Journal) -> str:
    """Say how many calls are in batches that were not collected; "" where none is."""
    found = Intents(journal).open()
    calls = sum(one.calls for one in found)
    return f"{calls:,} calls are under way in {_batches(len(found))}" if found else ""


def _each(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} {what}" for what, count in counts.items())


def _batches(count: int) -> str:
    return f"{count:,} Message Batch{'' if count == 1 else 'es'}"


# -- what the journal has of batches -----------------------------------------------------------


class Intent(NamedTuple):
    """A batch that was, or is about to be, sent; its id is None until the server has said it."""

    number: int
    id: str | None
    began: float  # seconds since 1970, by the server's clock
    calls: int
    file: str  # whose rows they are about

    def __str__(self) -> str:
        return f"batch {self.number}"


class Intents:
    """The batches of a journal that are not collected yet, with their calls."""

    def __init__(self, journal: Journal) -> None:
        self._journal, self._db = journal, journal.db

    def open(self) -> list[Intent]:
        """Return them, in the order in which they were begun."""
        rows = self._db.execute("SELECT number, id, began, calls, file FROM batches ORDER BY number")
        return [Intent(*row) for row in rows]

    def begin(self, now: float, calls: dict[str, Source]) -> Intent:
        """Write down that a batch of these calls is about to be sent."""
        file = next(iter(calls.values())).file
        with _together(self._journal):
            batch = "INSERT INTO batches (began, calls, file) VALUES (?, ?, ?)"
            number = self._db.execute(batch, (now, len(calls), file)).lastrowid or 0
            rows = ((bytes.fromhex(key), number, where.row) for key, where in calls.items())
            self._db.executemany("INSERT OR REPLACE INTO batched VALUES (?, ?, ?)", rows)
        return Intent(number, None, now, len(calls), file)

    def created(self, intent: Intent, batch: Batch) -> None:
        """Write down the id of a batch."""
        with _together(self._journal):
            self._db.execute("UPDATE batches SET id = ? WHERE number = ?", (batch.id, intent.number))

    def drop(self, intent: Intent) -> None:
        """Forget a batch: its calls that have no reply are sent again."""
        with _together(self._journal):
            self._db.execute("DELETE FROM batched WHERE number = ?", (intent.number,))
            self._db.execute("DELETE FROM batches WHERE number = ?", (intent.number,))

    def has(self, key: str) -> bool:
        """Say whether a call is in one of the batches."""
        query = "SELECT 1 FROM batched JOIN batches USING (number) WHERE key = ?"
        return self._db.execute(query, (bytes.fromhex(key),)).fetchone() is not None

    def left(self, intent: Intent) -> int:
        """Count the calls of a batch that have no reply."""
        query = "SELECT count(*) FROM batched WHERE number = ? AND key NOT IN (SELECT key FROM replies)"
        (count,) = self._db.execute(query, (intent.number,)).fetchone()
        return int(count)

    def where(self, intent: Intent, custom_id: str) -> Source | None:
        """Return the row that a call of a batch is about; None where it is none of them."""
        with contextlib.suppress(ValueError):
            query = "SELECT row FROM batched WHERE key = ? AND number = ?"
            found = self._db.execute(query, (bytes.fromhex(custom_id), intent.number)).fetchone()
            return found and Source(intent.file, found[0])
        return None


@contextlib.contextmanager
def _together(journal: Journal) -> Iterator[None]:
    """Commit what is written within a block at once; nothing else may be awaited in it."""
    try:
        journal.db.execute("BEGIN")
        try:
            yield
        finally:
            journal.db.execute("COMMIT")
    except sqlite3.Error as error:
        raise RecordingError(
            f"{journal.path}: could not be written ({error}) and the run was stopped: once it can be, the "
            f"same command goes on"
        ) from error


# -- sending and collecting --------------------------------------------------------------------


@dataclass
class _Ready:
    """A batch to be sent: its calls and the rows they are about, its body in pieces, its worst case."""

    calls: dict[str, Source] = field(default_factory=dict)
    pieces: list[bytes] = field(default_factory=list)
    bytes: int = 0
    reserved: float = 0.0


class _Flying(set[str]):
    """Keys of the calls under way: those of the next batch, and by the journal those of the others."""

    def __init__(self, intents: Intents) -> None:
        super().__init__()
        self._intents = intents

    def __contains__(self, key: object) -> bool:
        return super().__contains__(key) or self._intents.has(str(key))


class _NoReply(Exception):
    """A call has no reply, for a reason in a word or two."""


class _Sender:
    def __init__(
        self,
        job: Calls,
        planned: int,
        server: Batches,
        shown: Progress,
        budget: Budget | None,
        sleep: message_batches.Sleep,
    ) -> None:
        self.job, self.server, self.shown, self.budget, self.sleep = job, server, shown, budget, sleep
        self.planned, self.done = planned, 0  # calls
        self.intents = Intents(job.journal)
        self.largest = LARGEST  # until the server says that it takes less
        self.flying = _Flying(self.intents)
        self.fresh: Iterator[Asked] = iter(())  # calls of this round that are in no batch
        self.held: Asked | None = None  # the next of them
        self.ready: _Ready | None = None
        self.again = Counter[str]()  # calls of this round that have no answer, by the reason
        self.why = ""  # what was said about one of them
        self.candidates: dict[int, list[str]] = {}  # ids that an unsure batch may have
        self.reserved: dict[int, float] = {}  # of the budget, by batch
        self.wait = 0.0  # seconds that the server asked for
        self.stop: str | None = None  # why nothing more is sent

    async def run(self) -> None:
        """Send rounds of batches until all calls have a reply."""
        if said := under_way(self.job.journal):
            self.say(f"{said} already")
        self.shown.begin()
        for _ in range(ROUNDS):
            self.again.clear()
            self.begin_again()
            await self.round()
            if not self.again:
                return
        last = f": {self.why}" if self.why else ""
        raise ModelError(
            f"no answer in {ROUNDS} batches to {self.again.total():,} calls ({_each(self.again)}){last}"
        )

    async def round(self) -> None:
        """Send what is in no batch yet, and collect all batches."""
        wait = POLLED
        while True:
            for intent in [one for one in self.intents.open() if one.id is None]:
                await self.find(intent)
            await self.fill()
            moved = False
            for intent in [one for one in self.intents.open() if one.id]:
                moved |= await self.poll(intent)
            if not self.intents.open() and not self.ready and not self.held:
                return
            if not moved:
                self.show()
                await self.sleep(max(wait, self.wait))
            self.wait, wait = 0.0, POLLED if moved else min(SELDOM, wait * SLOWER)

    # - sending -

    def begin_again(self) -> None:
        """Take the calls from the first row on."""
        self.held = None
        self.flying.clear()
        self.fresh = self.job.work.pending(self.job.rows(), self.job.journal, self.flying)

    async def fill(self) -> None:
        """Send batches, until enough are under way; none while one may have been sent already."""
        while True:
            found = self.intents.open()
            if len(found) >= UNDER_WAY or any(one.id is None for one in found):
                return
            self.ready = self.ready or self.assemble(alone=not found)
            if not self.ready or not await self.create(self.ready):
                return

    def assemble(self, *, alone: bool) -> _Ready | None:
        """Put calls together, as many as one batch takes and the budget allows; None where there is none.

        BudgetExceeded is raised where there is room for no call, and none is `alone` under way.
        """
        ready = _Ready()
        while asked := self.held or next(self.fresh, None):
            self.held = asked
            piece = message_batches.piece(asked.key, asked.request)
            length = message_batches.size(len(ready.pieces) + 1, ready.bytes + len(piece))
            if ready.calls and (len(ready.calls) == MOST or length > self.largest):
                break
            if not self.reserve(ready, asked, alone=alone):
                break
            ready.calls[asked.key] = asked.where
            ready.pieces.append(piece)
            ready.bytes += len(piece)
            self.held = None
        return ready if ready.calls else None

    def reserve(self, ready: _Ready, asked: Asked, *, alone: bool) -> bool:
        """Put the worst case of a call aside; False where that does not fit for now."""
        if self.budget is None:
            return True
        model = self.job.work.model
        most = worst(model, body_of(asked.request))
        if self.budget.reserve(most):
            ready.reserved += most
            return True
        if alone and not ready.calls:
            raise self.budget.exceeded(model, most)
        return False

    async def create(self, ready: _Ready) -> bool:
        """Send a batch; False where nothing else can be sent for now."""
        intent = self.intents.begin(self.server.now, ready.calls)
        self.ready = None
        self.flying.difference_update(ready.calls)  # the journal has them by now
        self.reserved[intent.number] = ready.reserved
        try:
            batch = await self.server.create(ready.pieces)
        except Unsure as error:
            self.why = str(error)
            self.say(f"{intent} may have been created: {error}")
            return False
        except ModelError as error:
            self.intents.drop(intent)
            del self.reserved[intent.number]
            return self.not_created(ready, error)
        self.intents.created(intent, batch)
        self.say(f"{intent}: {intent.calls:,} calls sent, as {batch.id}")
        return True

    def not_created(self, ready: _Ready, error: ModelError) -> bool:
        """Go on with less, or wait (False), where the server takes no batch; raise it if none helps."""
        if isinstance(error, Failure):
            self.ready, self.wait = ready, error.wait or 0.0
            return False
        self.settle(ready.reserved, 0.0)
        if not isinstance(error, Refused) or error.status != TOO_LARGE:
            raise error
        if len(ready.calls) == 1:
            ((key, where),) = ready.calls.items()
            self.keep(key, where, refused(self.job.work.model.name, str(error)))
        else:
            self.largest = message_batches.size(len(ready.pieces), ready.bytes) // 2
            self.begin_again()
        return True

    # - finding out whether a batch was created -

    async def find(self, intent: Intent) -> None:
        """Find out whether a batch was created whose answer did not come; that may take several turns."""
        if intent.number not in self.candidates:
            await self.sleep(SETTLED)
            known = {one.id for one in self.intents.open()}
            found = await self.server.since(intent.began - EARLIER)
            same = [one.id for one in found if one.calls == intent.calls and one.id not in known]
            self.candidates[intent.number] = same
        for batch_id in [*self.candidates[intent.number]]:
            batch = await self.batch(batch_id)
            if batch is None or (batch.ended and not await self.holds(batch, intent)):
                self.candidates[intent.number].remove(batch_id)
            elif batch.ended:
                self.intents.created(intent, batch)
                self.say(f"{intent} was created, as {batch.id}")
                return
        if not self.candidates[intent.number]:
            self.intents.drop(intent)
            self.settle(self.reserved.pop(intent.number, 0.0), 0.0)
            self.again["not sent"] += intent.calls

    async def batch(self, batch_id: str) -> Batch | None:
        try:
            return await self.server.retrieve(batch_id)
        except NotFound:
            return None

    async def holds(self, batch: Batch, intent: Intent) -> bool:
        """Say whether a batch that has ended is of the calls of an intent, and of no other."""
        if self.gone(batch):
            return False
        async with contextlib.aclosing(self.results(batch)) as pages:
            async for results in pages:
                if not all(self.intents.where(intent, one.custom_id) for one in results):
                    return False
        return True

    # - collecting -

    def gone(self, batch: Batch) -> bool:
        """Say whether the results of a batch are no longer kept."""
        return batch.archived or self.server.now - batch.created > KEPT

    async def poll(self, intent: Intent) -> bool:
        """Collect a batch if it has ended; False where it has not."""
        batch = await self.known(intent)
        if not batch.ended:
            return False
        before, self.stop = self.job.dollars or 0.0, None
        failed = dict[str, str]()  # why, by the call
        gone = self.gone(batch)
        if not gone:
            async for results in self.results(batch):
                self.take(intent, batch, results, failed)
        reasons = Counter(failed.values())
        reasons["no longer kept" if gone else "no result"] = self.intents.left(intent) - reasons.total()
        self.again += reasons
        self.intents.drop(intent)
        self.settle(self.reserved.pop(intent.number, 0.0), (self.job.dollars or 0.0) - before)
        self.show()
        done = _each(Counter(answered=intent.calls - reasons.total()) + reasons)
        self.say(f"{intent}: {done}; {self.done:,} of {self.planned:,} calls are done")
        if reasons["canceled"] or self.stop:
            why = "it was canceled; the same command sends these calls again"
            raise ModelError(f"{intent} ({batch.id}): {self.stop or why}")
        return True

    async def known(self, intent: Intent) -> Batch:
        """Return a batch as it is by now; ModelError says what to do where the server has none."""
        try:
            return await self.server.retrieve(intent.id or "")
        except NotFound as error:
            raise ModelError(
                f"{error}. {intent} ({intent.id}) was sent with a key of another workspace, or it was "
                f"deleted. With that key the same command goes on. If it was deleted, and {intent.calls:,} "
                f"calls are to be paid again, delete its line from the table batches of "
                f"{self.job.journal.path}"
            ) from None

    async def results(self, batch: Batch) -> AsyncGenerator[list[Result], None]:
        """Yield the results of a batch, all of them; NotFound, ModelError."""
        for attempt in range(ATTEMPTS):
            count = 0
            try:
                async with contextlib.aclosing(self.server.results(batch)) as pages:
                    async for results in pages:
                        count += len(results)
                        yield results
                if count >= batch.calls:
                    return
                failure: ModelError = Failure(f"batch {batch.id} has {count:,} results of {batch.calls:,}")
            except (Failure, NotFound) as error:
                failure = error
            await self.sleep(POLLED * SLOWER**attempt)
        raise failure

    def take(self, intent: Intent, batch: Batch, results: list[Result], failed: dict[str, str]) -> None:
        """Keep the replies of some results, and note which calls have none, and why."""
        with _together(self.job.journal):
            proven = batch.succeeded > 0 or len(self.job.journal) > 0
            for result in results:
                where = self.intents.where(intent, result.custom_id)
                if where and result.custom_id not in self.job.journal:
                    try:
                        self.keep(result.custom_id, where, self.reply(where, result, proven=proven))
                    except _NoReply as error:
                        failed[result.custom_id] = str(error)

    def reply(self, where: Source, result: Result, *, proven: bool) -> Reply:
        """Return the reply to a call, or that it is refused for good; _NoReply says why it has none.

        As long as the prompt is not `proven` by an answer, it may be to blame for a refusal.
        """
        if result.kind == "succeeded":
            try:
                return reply_in(checked(result.message))
            except ValueError as error:
                self.why = f"{where}: no message: {error}"
                raise _NoReply("no message") from None
        if result.kind != "errored":
            raise _NoReply(result.kind)
        said = f"{where}: {result.error}: {shorten(result.why, 300)}"
        if result.error in NOT_THE_CALL or catalog.SPENT.search(result.why):
            self.stop = said
        elif result.error.startswith(("invalid_request", "request_too_large")):
            if proven:
                return refused(self.job.work.model.name, result.why)
            self.stop = f"{said}. No call was answered: the prompt, or the model, may be to blame"
        self.why = said
        raise _NoReply(result.error)

    def keep(self, key: str, where: Source, reply: Reply) -> None:
        """Keep a reply; it is shown once that is done."""
        work = self.job.work
        self.job.keep(Asked(key, where, work.request("")), reply)
        self.done += 1
        self.shown.made("classifier", work.model, reply)

    # - around it -

    def settle(self, most: float, used: float) -> None:
        if self.budget:
            self.budget.settle(most, used)

    def close(self) -> None:
        """Count what is under way as spent, and say that it is."""
        if self.ready:
            self.settle(self.ready.reserved, 0.0)
        for most in self.reserved.values():
            self.settle(most, most)
        if said := under_way(self.job.journal):
            self.say(f"{said}: the same command collects them")

    def show(self) -> None:
        self.shown.stage = f"{_batches(len(self.intents.open()))} under way"
        self.shown.refresh()

    def say(self, what: str) -> None:
        self.shown.line(f"promptlab: {what}")
