"""The replies about a table, in an SQLite file beside the output.

A reply is committed before it is counted: it survives the process, however that ends. After a power failure
the file is whole, but may lack the last replies.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from promptlab.errors import RecordingError, shorten
from promptlab.records import Reply

FORMAT = 1
CHECKPOINT = 10_000  # pages of 4 kB after which the log moves into the file, for which all calls wait
JOURNAL = ".journal"  # ends its name, behind that of the output
TABLES = """
CREATE TABLE IF NOT EXISTS header (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS replies (key BLOB NOT NULL UNIQUE, reply TEXT NOT NULL, read TEXT);
CREATE TABLE IF NOT EXISTS batches (number INTEGER PRIMARY KEY AUTOINCREMENT, id, began, calls, file);
CREATE TABLE IF NOT EXISTS batched (key BLOB PRIMARY KEY, number INTEGER NOT NULL, row) WITHOUT ROWID;
CREATE TEMP TABLE seen (key BLOB PRIMARY KEY) WITHOUT ROWID;
"""
REPLY = tuple(field.name for field in fields(Reply))


class Journal:
    """Replies by the hash of their call, held by one process at a time.

    Attributes:
        path: of the file; None keeps it in memory.
        db: the connection; statements commit by themselves.

    Raises:
        RecordingError: it cannot be used, another process uses it, or it is about other calls than
            `header` says; nothing was asked.
    """

    def __init__(self, path: Path | None, header: Mapping[str, Any]) -> None:
        self.path = path
        self.db = _connected(path)
        try:
            # In this mode it needs no file beside the write-ahead log, and nobody else can open it.
            self.db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self.db.execute("PRAGMA journal_mode = WAL")
            self.db.execute("PRAGMA synchronous = NORMAL")
            self.db.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT}")
            self.db.execute("BEGIN EXCLUSIVE")
            self._open(header)
            self.db.execute("COMMIT")
        except (sqlite3.Error, RecordingError) as error:
            self.db.close()
            if isinstance(error, RecordingError):
                raise
            raise RecordingError(f"{path}: {_why(error)}; no call was made") from error

    def _open(self, header: Mapping[str, Any]) -> None:
        tables = {name for (name,) in self.db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if tables and "replies" not in tables:
            raise RecordingError(f"{self.path}: is another program's database: name another file")
        for statement in TABLES.strip().splitlines():
            self.db.execute(statement)
        known = {name: json.loads(value) for name, value in self.db.execute("SELECT * FROM header")}
        asked = json.loads(json.dumps({"format": FORMAT, **header}))
        paid = len(self) > 0 or self.db.execute("SELECT 1 FROM batches").fetchone() is not None
        if paid and (changes := list(differences(known, asked))):
            raise RecordingError(
                f"{self.path}: holds the replies to other calls: {'; '.join(changes)}. Name another output, "
                f"or delete the file if its replies are not needed any more; no call was made"
            )
        self.db.execute("DELETE FROM header")  # without replies, it does not matter what was to be asked
        lines = [(name, json.dumps(value)) for name, value in asked.items()]
        self.db.executemany("INSERT INTO header VALUES (?, ?)", lines)

    def __len__(self) -> int:
        """Count the replies."""
        (count,) = self.db.execute("SELECT count(*) FROM replies").fetchone()
        return int(count)

    def __contains__(self, key: str) -> bool:
        """Say whether the reply to a call is known, by the call's hash in hexadecimal."""
        found = self.db.execute("SELECT 1 FROM replies WHERE key = ?", (bytes.fromhex(key),))
        return found.fetchone() is not None

    def add(self, key: str, reply: Reply, read: tuple[Any, str | None] | None = None) -> None:
        """Keep the reply to a call, and where that cannot be seen from the reply, what was `read` in it."""
        text = json.dumps({name: getattr(reply, name) for name in REPLY})
        seen = None if read is None else json.dumps(read)
        try:
            self.db.execute(
                "INSERT OR IGNORE INTO replies VALUES (?, ?, ?)", (bytes.fromhex(key), text, seen)
            )
        except sqlite3.Error as error:
            raise RecordingError(
                f"{self.path}: a reply could not be written ({error}) and the run was stopped. The earlier "
                f"replies are kept: once the file can be written, the same command goes on"
            ) from error

    def get(self, key: str) -> tuple[Reply, tuple[Any, str | None] | None] | None:
        """Return the reply to a call, and what was read in it where it was kept; None where there is none."""
        found = self.db.execute("SELECT reply, read FROM replies WHERE key = ?", (bytes.fromhex(key),))
        row: tuple[str, str | None] | None = found.fetchone()
        if row is None:
            return None
        values = json.loads(row[0])
        reply = Reply(**values | {"blocks": tuple(values["blocks"])})
        if row[1] is None:
            return reply, None
        label, missing = json.loads(row[1])
        return reply, (label, missing)

    def first(self, key: str) -> bool:
        """Say whether a call is seen for the first time since the journal was opened."""
        return self.db.execute("INSERT OR IGNORE INTO seen VALUES (?)", (bytes.fromhex(key),)).rowcount > 0

    def close(self) -> None:
        """Close the file."""
        self.db.close()


def differences(known: Mapping[str, Any], asked: Mapping[str, Any]) -> Iterator[str]:
    """Say in what two headers differ: of a prompt its files, of a model its settings."""
    for name in dict.fromkeys((*known, *asked)):
        old, new = known.get(name), asked.get(name)
        if old == new:
            continue
        if not isinstance(old, dict) or not isinstance(new, dict):
            yield f"{name} {shorten(old)} -> {shorten(new)}"
        elif name == "prompt":  # whose texts are long
            parts = (part for part in dict.fromkeys((*old, *new)) if old.get(part) != new.get(part))
            yield f"{', '.join(parts)} of the prompt"
        else:
            yield from differences(old, new)


def _connected(path: Path | None) -> sqlite3.Connection:
    try:  # in a notebook the event loop, and with it all use of it, is in another thread
        return sqlite3.connect(path or ":memory:", isolation_level=None, timeout=0, check_same_thread=False)
    except sqlite3.Error as error:
        raise RecordingError(f"{path}: {_why(error)}; no call was made") from error


def _why(error: sqlite3.Error) -> str:
    if error.sqlite_errorcode in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return "another process labels into it. Wait for it or stop it"
    if error.sqlite_errorcode == sqlite3.SQLITE_NOTADB:
        return "is no journal: name another output, or move the file away"
    return f"cannot be used: {error}"
