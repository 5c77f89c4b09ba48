"""What is asked about each row of a table, and how its reply is read: as the tests do."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

from promptlab import secrets
from promptlab.bulk.journal import Journal
from promptlab.bulk.table import Row, encodes
from promptlab.cassettes import format as files
from promptlab.data.columns import text_of
from promptlab.data.task import Task
from promptlab.errors import DataError, ExtractorError, RecordingError
from promptlab.models import prompts
from promptlab.models.messages_api import body_of, settings_in, url_of
from promptlab.records import Form, Model, Prompt, Reply, Request, Source

NO_ROW, NO_TEXT, NOT_UTF8, SECRET = UNFIT = "not a row", "no text", "not UTF-8", "holds a credential"


class Unfit(NamedTuple):
    """Why a row is not asked: in a word or two, and in a sentence."""

    reason: str
    why: str


class Asked(NamedTuple):
    """A call about the rows with one text: the hash that names it, the first of the rows, the request."""

    key: str
    where: Source
    request: Request


@dataclass(frozen=True)
class Work:
    """What is asked about each row, of whom, and how the reply is read."""

    task: Task
    prompt: Prompt
    model: Model
    api_key: str | None = None

    @cached_property
    def form(self) -> Form:
        """How the task makes a text of columns; DataError where its examples differ in that."""
        forms = {one.form: None for one in self.task.examples}
        if len(forms) > 1:
            each = " and ".join(", ".join(one.columns) for one in forms)
            raise DataError(
                f"task {self.task.name!r}: its examples are made of different columns ({each}), so it does "
                f"not say which columns of a table to read: give the task examples that were read alike"
            )
        return next(iter(forms))

    @property
    def header(self) -> dict[str, Any]:
        """What every call has in common, as a journal keeps it."""
        files_of = prompts.files_of(self.prompt)
        settings = settings_in(body_of(self.request("")))
        header: dict[str, Any] = secrets.screened({"prompt": files_of, "settings": settings})
        return header

    def request(self, text: str) -> Request:
        """Return the request about a text."""
        return prompts.build(self.prompt, text, self.model)

    def check_columns(self, name: str, columns: tuple[str, ...], added: tuple[str, ...]) -> None:
        """Refuse a table that lacks a column the task reads, or has one that would be `added`; DataError."""
        shown = ", ".join(map(repr, columns))
        for column in self.form.columns:
            if columns.count(column) != 1:
                many = "no" if column not in columns else "more than one"
                raise DataError(
                    f"{name}: {many} column {column!r}, which task {self.task.name!r} reads; it has {shown}. "
                    f"Rename the column of texts"
                )
        for column in added:
            if column in columns:
                raise DataError(
                    f"{name}: has a column {column!r} already, where the answers would go. Rename it, "
                    f"or drop it"
                )

    @cached_property
    def _credentials(self) -> tuple[tuple[str, str], ...]:
        own = [("api_key", self.api_key)] if self.api_key else []
        return (
            *secrets.kept(),
            *own,
            *(("the server's URL", one) for one in secrets.in_url(url_of(self.model))),
        )

    def check_prompt(self) -> None:
        """Refuse a prompt, or settings, with a credential in use; DataError."""
        if found := secrets.credential_in(body_of(self.request("")), "the request", {}, self._credentials):
            place, owner = found
            raise DataError(
                f"{place} holds a credential that is in use, from {owner}: remove it, and rotate it"
            )

    def text(self, row: Row) -> str | Unfit:
        """Return the text that is asked about, or why the row is not asked."""
        if row.broken:
            return Unfit(NO_ROW, f"{row.where}: {row.broken}")
        if not encodes(row.raw):
            return Unfit(NOT_UTF8, f"{row.where}: holds bytes that are not UTF-8")
        if missing := [name for name in self.form.columns if name not in row.fields]:
            return Unfit(NO_TEXT, f"{row.where}: no {missing[0]!r}")
        try:
            text = text_of(row.where, row.fields, self.form)
        except DataError as error:
            return Unfit(NO_TEXT, str(error))
        if not encodes(text):
            return Unfit(NOT_UTF8, f"{row.where}: the text has half of a surrogate pair")
        if found := secrets.credential_in(text, "the text", {}, self._credentials):
            return Unfit(SECRET, f"{row.where}: the text holds a credential that is in use, from {found[1]}")
        return text

    def key(self, text: str) -> str:
        """Return the hash that the call about a text is named by: that of the request as it is recorded."""
        head, tail = self._around
        turn = secrets.masked(f"{self.prompt.prefix}{text}{self.prompt.suffix}")
        found = head.copy()
        found.update((json.dumps(turn) + tail).encode())
        return found.hexdigest()

    @cached_property
    def _around(self) -> tuple[hashlib._Hash, str]:
        """What is before the user's turn in a request, hashed, and what is behind it: the same in each."""
        request = self.request("")
        before, after = request.messages[: request.last_turn], request.messages[request.last_turn + 1 :]
        place = uuid.uuid4().hex  # which no prompt has
        asked = replace(request, messages=(*before, ("user", place), *after))
        head, _, tail = files.canonical(body_of(asked)).partition(json.dumps(place))
        return hashlib.sha256(head.encode()), tail

    def pending(self, rows: Iterable[Row], journal: Journal, flying: set[str]) -> Iterator[Asked]:
        """Yield the calls that have no reply yet and are not under way: `flying`, to which each is added."""
        for row in rows:
            text = self.text(row)
            if isinstance(text, str):
                key = self.key(text)
                if key not in flying and key not in journal:
                    flying.add(key)
                    yield Asked(key, row.where, self.request(text))

    def keep(self, journal: Journal, asked: Asked, reply: Reply) -> Reply:
        """Put a reply into the journal, screened; RecordingError where it holds a credential in use."""
        if found := secrets.credential_in(reply.text, "the reply", {}, self._credentials):
            raise RecordingError(
                f"{asked.where}: the reply holds a credential that is in use, from {found[1]}. It was not "
                f"kept and the run was stopped: remove it from the text or the prompt, and rotate it"
            )
        text = secrets.masked(reply.text)
        if text == reply.text:
            journal.add(asked.key, reply)
            return reply
        kept = replace(reply, text=text)
        journal.add(asked.key, kept, self._hidden(asked.where, reply, kept))
        return kept

    def _hidden(self, where: Source, reply: Reply, kept: Reply) -> tuple[Any, str | None] | None:
        """Return what is read in a reply and not where it is masked: a label; anything else may hold the key."""
        try:
            read = self.read(where, reply)
            return read if read[0] in self.task.labels and read != self.read(where, kept) else None
        except ExtractorError:  # the reply is kept, and will be read again
            return None

    def read(self, where: Source, reply: Reply) -> tuple[Any, str | None]:
        """Read the answer in a reply; ExtractorError names the row."""
        try:
            return self.task.read(reply, self.prompt)
        except ExtractorError as error:
            raise type(error)(f"task {self.task.name!r}, {where}: {error}") from error

    def answer(self, where: Source, text: str, journal: Journal) -> tuple[Any, str | None, str]:
        """Return the label about a text and None, or None and the reason; and the text of the reply."""
        kept = journal.get(self.key(text))
        if kept is None:
            raise DataError(
                f"{where}: has no reply: the rows changed while they were labelled. The replies are kept; "
                f"the same command asks about the new rows"
            )
        reply, read = kept
        known = read and read[0] in self.task.labels
        return (*(read if read and known else self.read(where, reply)), reply.text)
