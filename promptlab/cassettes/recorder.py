"""Calls are recorded into a file and replayed from it; vcrpy is known here and in vcr_forms.py alone.

vcrpy does the work: its patches stand in the HTTP transport and ask its Cassette what to do with each
request. Here is what differs: calls are found through an index (vcrpy's own search compares every
stored request with every new one, which is quadratic), each reply is in a journal before the caller
sees it, and the file is JSON lines; what stands in it is in cassette_file.py.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import vcr
from vcr.cassette import Cassette
from vcr.record_mode import RecordMode
from vcr.request import Request as VcrRequest

from promptlab import secrets
from promptlab.cassettes import format as cassette_file
from promptlab.cassettes import vcr_forms
from promptlab.cassettes.entries import Entry, key_of
from promptlab.cassettes.format import Recording
from promptlab.cassettes.journal import Journal
from promptlab.errors import CassetteMiss, RecordingError

#: "replay" makes no call, "live" makes each, "changed" those that are not recorded; "prune" is a replay
#: that drops from the file what was not asked for.
Mode = Literal["replay", "live", "changed", "prune"]
RECORDING = ("live", "changed")

JOURNAL = ".journal"  # ends the name of the file that a recording grows in

_open = threading.Lock()  # vcrpy patches the whole process: two open cassettes would corrupt its patches


@contextlib.contextmanager
def use(path: Path, *, mode: Mode, record_with: str) -> Iterator[IndexedCassette]:
    """Replay the calls recorded in `path`, or make and record them.

    While calls are made, each reply is appended to a journal beside the file as it arrives, and the file
    is written once the block has ended without an error. A block that did not end so is taken up from
    its journal by the next one: no reply is paid twice. "live" replaces the recording by what the block
    asked for; "changed" adds to it.

    Args:
        path: the cassette, a file of JSON lines.
        mode: whether calls are made, and which.
        record_with: the command that records, for the error.

    Raises:
        CassetteMiss: in the caller of the API, for a call that was not recorded.
        RecordingError: for a file that is not a cassette or cannot be written, and for a cassette that
            is opened while another is in use; nothing was asked.
    """
    recorder = vcr.VCR()
    recorder.register_serializer("promptlab", cassette_file)
    recorder.register_persister(_Files)
    config = recorder.get_merged_config(
        path=str(path),
        serializer="promptlab",
        record_mode=RecordMode.NEW_EPISODES if mode in RECORDING else RecordMode.NONE,
        record_on_exception=False,
    )
    # vcrpy would copy each request several times before asking these, so they take what it gives.
    config.update(
        before_record_request=vcr_forms.only_messages, before_record_response=vcr_forms.only_answers
    )
    if not _open.acquire(blocking=False):
        raise RecordingError(f"{path}: another cassette is in use in this process; close that one first")
    cassette = None
    try:
        with IndexedCassette.use(**config, mode=mode, record_with=record_with) as cassette:
            yield cassette
        cassette.keep()  # not before vcrpy's patches are gone: an error here would leave them in place
    finally:
        if cassette is not None:
            cassette.close()
        _open.release()


class IndexedCassette(Cassette):  # type: ignore[misc]
    """A cassette whose calls are found by the key of the request, at the same cost in any size.

    Attributes:
        recording: what the file held when it was opened.
        played: keys of the calls that were answered, recorded ones and new ones.
        resumed: how many replies were kept from a run that did not end.
    """

    def __init__(self, path: str, *, mode: Mode, record_with: str, **config: Any) -> None:
        super().__init__(path, **config)
        self.mode, self.record_with = mode, record_with
        self.recording = Recording()
        self.played: set[str] = set()
        self.resumed = 0
        self._notes: list[str] = []
        self._masked: Counter[str] = Counter()  # how many calls have what looks like a key, by place
        self._calls: dict[str, str] = {}  # what can be played: the line of each call, by its key
        self._journal: Journal | None = None
        self._credentials = secrets.kept() if mode in RECORDING else ()

    @property
    def notes(self) -> list[str]:
        """What people should know about this recording, a sentence each."""
        places = ", ".join(f"{place} of {count} calls" for place, count in sorted(self._masked.items()))
        masked = [f"{self._path}: what looks like a key was stored masked, in {places}"] if places else []
        return [*self._notes, *masked]

    @property
    def orphans(self) -> int:
        """How many calls of the file were not asked for."""
        return len(self.recording.calls.keys() - self.played)

    def missing(self, bodies: Iterable[Mapping[str, Any]]) -> int:
        """Count the requests that cannot be played, each once."""
        keys = {key_of("POST", "/v1/messages", body) for body in bodies}
        return len(keys - self._calls.keys())

    def can_play_response_for(self, request: VcrRequest) -> bool:
        """Say whether the request is recorded; on replay, CassetteMiss where it is not."""
        if not vcr_forms.only_messages(request):
            return False
        if vcr_forms.key_of(request) in self._calls:
            return True
        if self.mode not in RECORDING:
            raise CassetteMiss(self._path, self.record_with, empty=not self._calls)
        self._refuse_credentials({"body": json.loads(request.body or b"null")}, "call.request", request)
        return False

    def play_response(self, request: VcrRequest) -> dict[str, Any]:
        """Return the recorded answer, in vcrpy's form."""
        self.played.add(vcr_forms.key_of(request))
        answered = json.loads(self._calls[vcr_forms.key_of(request)])["response"]
        return vcr_forms.response_of(answered["headers"], answered["body"])

    def append(self, request: VcrRequest, response: dict[str, Any]) -> None:
        """Keep one call and its answer, in the journal before the caller sees it."""
        answer = vcr_forms.answer_in(response) if vcr_forms.only_messages(request) else None
        if answer is None:
            return
        if self._journal is None:
            raise RecordingError(f"{self._path}: was closed while a call was under way")
        entry = vcr_forms.entry_of(request, *answer)
        self._refuse_credentials(entry, "call", request)
        one = secrets.masked(whole := cassette_file.line(entry))
        if one != whole:
            self._masked.update(
                place for place, text in secrets.places(entry, "call") if secrets.SHAPES.search(text)
            )
        self._journal.append(one)
        self._calls[vcr_forms.key_of(request)] = one
        self.played.add(vcr_forms.key_of(request))

    def _refuse_credentials(self, entry: Entry, path: str, request: VcrRequest) -> None:
        found = secrets.credential_in(entry, path, request.headers, self._credentials)
        if found is not None:
            place, name = found
            raise RecordingError(
                f"{self._path}: {place} holds a credential that is in use, that of {name}. The call was "
                f"not written and the run was stopped: take it out of the text or the prompt, and change it"
            )

    def keep(self) -> None:
        """Write the recording of a run that has ended; a replay writes nothing."""
        if self.mode == "replay" or not self.played:
            return  # a run that asked nothing says nothing about what is recorded
        asked = {key: one for key, one in self._calls.items() if self.mode == "changed" or key in self.played}
        new = cassette_file.updated(self.recording, asked)
        if new is not self.recording:
            self._persister.save_cassette(Path(self._path), new, self._serializer)
        self.close(done=True)

    def close(self, *, done: bool = False) -> None:
        """Let go of the journal; it goes away with the run that is done."""
        if self._journal is not None:
            self._journal.close(done=done)
            self._journal = None

    def __len__(self) -> int:
        """Count the calls that can be played."""
        return len(self._calls)

    def _load(self) -> None:
        """Load the recording and, while calls are made, take up the journal."""
        try:
            self.recording = self._persister.load_cassette(Path(self._path), self._serializer)
        except RecordingError as error:
            if self.mode != "live":
                raise
            self._notes.append(f"a recording that could not be read is replaced: {error}")
        if self.mode != "live":
            self._calls |= self.recording.calls
        if self.mode in RECORDING:
            self._take_up(Journal(Path(self._path + JOURNAL)))
        elif Path(self._path + JOURNAL).exists():
            self._notes.append(
                f"{self._path}{JOURNAL} holds a recording that did not end and is not replayed: "
                f"the command that records goes on with it; to be rid of it, delete it"
            )

    def _take_up(self, journal: Journal) -> None:
        self._journal = journal
        if journal.torn:
            self._notes.append(f"{journal.path}: its last line was cut off, that call is made again")
        try:
            kept = cassette_file.index(journal.path, journal.lines)
        except RecordingError:
            self.close()
            raise
        self._calls |= kept
        self.resumed = len(kept)

    def _save(self, force: bool = False) -> None:
        """Do nothing at vcrpy's word; see `keep`."""


class _Files:
    """vcrpy's persister: a file of JSON lines, replaced as a whole."""

    @staticmethod
    def load_cassette(path: Path, serializer: ModuleType) -> Recording:
        """Read a file; an empty recording where there is none."""
        recording: Recording = serializer.read(path)
        return recording

    @staticmethod
    def save_cassette(path: Path, recording: Recording, serializer: ModuleType) -> None:
        """Replace a file."""
        serializer.write(path, recording)


def provenance(path: Path) -> dict[str, Any]:
    """Return the header of a cassette: who answered, where, when, and what was dropped; {} without one."""
    return cassette_file.header(path)
