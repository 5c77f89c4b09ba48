"""Calls are recorded into a file and replayed from it.

vcrpy does the work: its patches sit in the HTTP transport and ask its Cassette what to do with each request.
Here is what differs: calls are found through an index (vcrpy's own search compares every stored request
with every new one, which is quadratic), each reply is in a journal before the caller sees it, and the file
is that of format.py. Only public methods of the Cassette are overridden; tests/cassettes/test_recorder.py
says in one place what is expected of vcrpy.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, Never
from urllib.parse import urlsplit

import vcr
from vcr.cassette import Cassette
from vcr.filters import decode_response
from vcr.persisters.filesystem import CassetteNotFoundError
from vcr.record_mode import RecordMode
from vcr.request import Request as VcrRequest

from promptlab import secrets
from promptlab.cassettes import format as files
from promptlab.cassettes.format import JOURNAL, UNKNOWN, Entry, Origin, Recording
from promptlab.cassettes.journal import Journal
from promptlab.errors import CassetteMiss, RecordingError
from promptlab.models.client import recorded
from promptlab.models.messages_api import (
    KEPT_REFUSAL,
    PATH,
    REPEAT,
    SECONDS,
    is_refusal,
    plain,
    refusal_in,
)
from promptlab.records import Request

#: "replay" makes no call, "live" makes each, "changed" those that are not recorded.
Mode = Literal["replay", "live", "changed"]
RECORDING = ("live", "changed")

_open = threading.Lock()  # vcrpy patches the whole process: two open cassettes would corrupt its patches


@contextlib.contextmanager
def use(
    path: Path,
    *,
    mode: Mode,
    record_with: str,
    origin: Origin = UNKNOWN,
    go_on: str = "run the same command again",
) -> Iterator[IndexedCassette]:
    """Replay the calls recorded in `path`, or make and record them.

    While calls are made, each reply is appended to a journal beside the file as it arrives, and the file
    is written once the block has ended without an error. A block that did not end so is resumed from its
    journal by the next one: no reply is paid twice. "live" replaces the recording by what the block asked
    for; "changed" adds to it. A call that was not recorded raises CassetteMiss in the caller of the API, with
    the command `record_with`; a KeyboardInterrupt says what is kept and how to `go_on`. A file that cannot
    be read or written raises RecordingError before any call.
    """
    recorder = vcr.VCR()
    recorder.register_persister(_NoFiles)
    config = recorder.get_merged_config(
        path=str(path),
        record_mode=RecordMode.NEW_EPISODES if mode in RECORDING else RecordMode.NONE,
        record_on_exception=False,
    )
    # Set here and not above, where vcrpy would wrap it and copy each request several times.
    config["before_record_request"] = only_messages
    if not _open.acquire(blocking=False):
        raise RecordingError(f"{path}: another cassette is in use in this process; close that one first")
    cassette = None
    try:
        with IndexedCassette.use(**config, mode=mode, record_with=record_with, go_on=go_on) as cassette:
            told = recorded.set(cassette.answers)
            try:
                yield cassette
            except KeyboardInterrupt:
                raise KeyboardInterrupt(cassette.interrupted) from None
            finally:
                recorded.reset(told)
        cassette.keep(origin)  # not before vcrpy's patches are gone: an error here would leave them in place
    finally:
        if cassette is not None:
            cassette.close()
        _open.release()


class _NoFiles:
    """A persister that finds nothing; the cassettes are never dirty, so it is never asked to save."""

    @staticmethod
    def load_cassette(*_: object, **__: object) -> Never:
        raise CassetteNotFoundError


class IndexedCassette(Cassette):  # type: ignore[misc]
    """A cassette whose calls are found by the key of the request, at the same cost in any size."""

    def __init__(self, path: str, *, mode: Mode, record_with: str, go_on: str = "", **config: Any) -> None:
        super().__init__(path, **config)
        self.go_on = go_on
        self.file, self.mode, self.record_with = Path(path), mode, record_with
        self.recording = Recording()  # what the file held when it was opened
        self.played: set[str] = set()  # keys of the calls that were answered, recorded ones and new ones
        self.resumed = 0  # replies that were kept from a run that did not end
        self._notes: list[str] = []
        self._masked: Counter[str] = Counter()  # how many calls have what looks like a key, by place
        self._calls: dict[str, Entry] = {}  # what can be played
        self._journal: Journal | None = None
        self._credentials = secrets.kept() if mode in RECORDING else ()
        self._read()

    @property
    def notes(self) -> list[str]:
        """What people should know about this recording, a sentence each."""
        places = ", ".join(f"{place} of {count} calls" for place, count in sorted(self._masked.items()))
        masked = f"{self.file}: what looks like a key was stored masked, in {places}"
        return [*self._notes, masked] if places else self._notes

    def answers(self, request: Request) -> bool:
        """Say whether a request needs no call: it is recorded, or a miss."""
        return self.mode not in RECORDING or files.message_key(request) in self._calls

    def missing(self, requests: Iterable[Request]) -> list[Request]:
        """Return the requests that cannot be played, each once."""
        found = {files.message_key(one): one for one in requests}
        return [one for key, one in found.items() if key not in self._calls]

    @property
    def kept(self) -> int:
        """How many replies the journal holds: they outlive a run that stops."""
        return len(self._calls.keys() - self.recording.calls.keys()) if self._journal else 0

    @property
    def interrupted(self) -> str:
        """What to know where the run was interrupted: what is kept, and how to go on."""
        if self._journal is None:
            return "interrupted; no call was made, and nothing is lost"
        kept = f"{self.kept} replies are kept in {self._journal.path} and will not be asked for again"
        return f"interrupted; {kept}. To go on: {self.go_on}"

    def can_play_response_for(self, request: VcrRequest) -> bool:
        """Say whether the request is recorded; on replay, CassetteMiss where it is not."""
        if not only_messages(request):
            return False
        if _key_of(request) in self._calls:
            return True
        if self.mode not in RECORDING:
            raise CassetteMiss(str(self.file), self.record_with, empty=not self._calls)
        self._refuse_credentials({"body": json.loads(request.body or b"null")}, "call.request", request)
        request.promptlab_started = time.monotonic()
        return False

    def play_response(self, request: VcrRequest) -> dict[str, Any]:
        """Return the recorded answer, in vcrpy's form; two headers of our own say what the body does not."""
        self.played.add(_key_of(request))
        entry = self._calls[_key_of(request)]
        response = files.as_response(entry)
        if entry.get("kind") == "rejected":
            response["headers"][KEPT_REFUSAL] = ["yes"]
        if "seconds" in entry:
            response["headers"][SECONDS] = [str(entry["seconds"])]
        return response

    def append(self, request: VcrRequest, response: dict[str, Any]) -> None:
        """Keep one call and its answer, in the journal before the caller sees it."""
        entry = entry_of(request, response) if only_messages(request) else None
        if entry is None:
            return
        if self._journal is None:
            raise RecordingError(f"{self.file}: was closed while a call was under way")
        self._refuse_credentials(entry, "call", request)
        screened: Entry = secrets.screened(entry)
        if screened != entry:
            found = (place for place, text in secrets.places(entry, "call") if secrets.SHAPES.search(text))
            self._masked.update(found)
            entry = screened
        self._journal.append(files.line_of(entry))
        self._calls[_key_of(request)] = entry
        self.played.add(_key_of(request))

    def _refuse_credentials(self, entry: Entry, path: str, request: VcrRequest) -> None:
        url = [("the server's URL", one) for one in secrets.in_url(request.uri)]
        found = secrets.credential_in(entry, path, request.headers, [*self._credentials, *url])
        if found is not None:
            place, name = found
            raise RecordingError(
                f"{self.file}: {place} holds a credential that is in use, from {name}. The call was "
                f"not written and the run was stopped: remove it from the text or the prompt, and rotate it"
            )

    def keep(self, origin: Origin) -> None:
        """Write the recording of a run that has ended; a replay writes nothing."""
        if self.mode == "replay" or not self.played:
            return  # a run that asked nothing says nothing about what is recorded
        asked = {key: one for key, one in self._calls.items() if self.mode == "changed" or key in self.played}
        new = files.updated(self.recording, asked, origin)
        if new is not self.recording:
            files.write(self.file, new)
        self.close(done=True)

    def close(self, *, done: bool = False) -> None:
        """Close the journal; it is removed once the run is done."""
        if self._journal is not None:
            self._journal.close(done=done)
            self._journal = None

    def __len__(self) -> int:
        """Count the calls that can be played."""
        return len(self._calls)

    def _read(self) -> None:
        """Read the recording and, while calls are made, resume from the journal."""
        if self.file.is_dir():
            raise RecordingError(f"{self.file}: is a folder, expected a recording: rename it")
        try:
            self.recording = files.read(self.file)
        except RecordingError as error:
            if self.mode != "live":
                raise
            self._notes.append(f"a recording that could not be read is replaced: {error}")
        if self.mode != "live":
            self._calls |= self.recording.calls
        journal = self.file.with_name(self.file.name + JOURNAL)
        if self.mode in RECORDING:
            self._resume(Journal(journal))
        elif journal.exists():
            self._notes.append(
                f"{journal} holds an unfinished recording, which is not replayed: resume it with the "
                f"command that records, or delete it if you do not need it"
            )

    def _resume(self, journal: Journal) -> None:
        self._journal = journal
        if journal.torn:
            self._notes.append(f"{journal.path}: its last line was cut off; that call will be made again")
        try:
            kept = files.index(journal.path, journal.lines)
        except RecordingError:
            self.close()
            raise
        self._calls |= kept
        self.resumed = len(kept)


def only_messages(request: VcrRequest) -> VcrRequest | None:
    """Keep calls to the Messages API; everything else (tokens of logins above all) passes by."""
    return request if request.path.endswith(PATH) else None


def entry_of(request: VcrRequest, response: dict[str, Any]) -> Entry | None:
    """Build what is kept of a call; None where there is no answer, as with an error or a proxy's page.

    A refusal is the answer where the client says so: it has asked before.
    """
    status, refusable = response["status"]["code"], KEPT_REFUSAL in request.headers
    if status != 200 and not refusable:
        return None
    coded = any(name.lower() == "content-encoding" for name in response["headers"])
    decoded = decode_response(response) if coded else response  # which would copy all of it
    content = decoded["body"]["string"]
    rejected = is_refusal(status, content)
    if status != 200 and not rejected:
        return None
    body = {"type": "error", "error": refusal_in(status, content)} if rejected else files.kept_of(content)
    if body is None:
        return None
    asked = {
        "method": request.method,
        "server": files.server_of(urlsplit(request.uri).hostname or ""),
        "path": files.api_path(request.path),
        "headers": files.allowed(request.headers, files.REQUEST_HEADERS),
        "body": plain(json.loads(request.body)),
    }
    headers = files.allowed(decoded["headers"], files.RESPONSE_HEADERS)
    entry: Entry = {"request": asked, "response": {"status": status, "headers": headers, "body": body}}
    if rejected:
        entry["kind"] = "rejected"
    if repeat := _repeat(request):
        entry["repeat"] = repeat
    if started := getattr(request, "promptlab_started", None):
        entry["seconds"] = round(time.monotonic() - started, 3)
    return entry


def _key_of(request: VcrRequest) -> str:
    """Return the key of a request; vcrpy asks for it several times a call."""
    key: str | None = getattr(request, "promptlab_key", None)
    if key is None:
        body = json.loads(request.body or b"null")
        key = files.request_key(request.method, request.path, body, _repeat(request))
        request.promptlab_key = key
    return key


def _repeat(request: VcrRequest) -> int:
    return int(files.allowed(request.headers, (REPEAT,)).get(REPEAT, 0))
