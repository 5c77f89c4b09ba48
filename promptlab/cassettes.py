"""The only file that knows vcrpy: calls are recorded into a file and replayed from it.

vcrpy does the work: its patches stand in the HTTP transport, its Cassette decides what is played. Here
is what differs: answers are found through an index (vcrpy's own search compares every stored request
with every new one, which is quadratic), and the file is JSON lines, replaced as a whole; what stands in
it is in cassette_file.py.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import vcr
from vcr.cassette import Cassette
from vcr.filters import decode_response
from vcr.persisters.filesystem import CassetteNotFoundError
from vcr.record_mode import RecordMode
from vcr.request import Request as VcrRequest

from promptlab import cassette_file
from promptlab.cassette_file import REQUEST_HEADERS, RESPONSE_HEADERS, Entry, allowed, said
from promptlab.errors import CassetteMiss, DataError

JOURNAL = ".journal"  # ends the name of the file that a recording grows in


@contextlib.contextmanager
def use(path: Path, *, live: bool, record_with: str) -> Iterator[IndexedCassette]:
    """Replay the calls recorded in `path`, or make and record them.

    Live, each reply is appended to a journal beside the file as it arrives, and the file is written
    once the block has ended without an error. A block that did not end so is taken up from its journal
    by the next one: no reply is paid twice.

    Args:
        path: the cassette, a file of JSON lines.
        live: make the calls. Otherwise none is made, and one that was not recorded raises.
        record_with: the command that records, for the error.

    Raises:
        CassetteMiss: in the caller of the API, for a call that was not recorded.
        DataError: for a file that is not a cassette.
    """
    recorder = vcr.VCR()
    recorder.register_serializer("promptlab", cassette_file)
    recorder.register_persister(_Files)
    config = recorder.get_merged_config(
        path=str(path),
        serializer="promptlab",
        record_mode=RecordMode.NEW_EPISODES if live else RecordMode.NONE,
        record_on_exception=False,
    )
    # vcrpy would copy each request several times before asking these, so they take what it gives.
    config.update(before_record_request=_only_messages, before_record_response=_only_answers)
    with IndexedCassette.use(**config, live=live, record_with=record_with) as cassette:
        yield cassette


class IndexedCassette(Cassette):  # type: ignore[misc]
    """A cassette whose answers are found by the key of the request, at the same cost in any size."""

    def __init__(self, path: str, *, live: bool, record_with: str, **config: Any) -> None:
        super().__init__(path, **config)
        self.live, self.record_with = live, record_with
        self._index: dict[str, list[int]] = defaultdict(list)
        self._journal = Path(path + JOURNAL)

    def append(self, request: VcrRequest, response: dict[str, Any]) -> None:
        """Keep one call and its answer; while recording, in the journal too."""
        position = len(self.data)
        super().append(request, response)
        if len(self.data) == position:  # not an answer to a message
            return
        self._index[key_of(request)].append(position)
        if self.rewound:  # loaded before: what comes now is new
            self._journal.parent.mkdir(parents=True, exist_ok=True)
            with self._journal.open("a", encoding="utf-8", newline="\n") as journal:
                journal.write(cassette_file.line(_entry(*self.data[position])))

    def can_play_response_for(self, request: VcrRequest) -> bool:
        """Say whether the request is recorded; on replay, CassetteMiss where it is not."""
        playable = bool(super().can_play_response_for(request))
        if not playable and self.write_protected and _only_messages(request):
            raise CassetteMiss(self._path, self.record_with, empty=not self.data)
        return playable

    def _responses(self, request: VcrRequest) -> Iterator[tuple[int, dict[str, Any]]]:
        for position in self._index.get(key_of(request), ()):
            yield position, self.data[position][1]

    def _load(self) -> None:
        """Load what can be played: the recording or, while recording, what its journal has."""
        source = self._journal if self.live else Path(self._path)
        with contextlib.suppress(CassetteNotFoundError):
            requests, responses, header = self._persister.load_cassette(source, self._serializer)
            for request, response in zip(requests, responses, strict=True):
                self.append(request, response)
            self._metadata = header
        self.dirty, self.rewound = False, True

    def _save(self, force: bool = False) -> None:  # noqa: ARG002 - vcrpy's signature
        """Write the recording of a run that has ended; a replay writes nothing."""
        if self.live and self.data:
            super()._save(force=True)
            self._journal.unlink(missing_ok=True)


class _Files:
    """vcrpy's persister: keeps the lines of unchanged answers, replaces the file as a whole."""

    @staticmethod
    def load_cassette(path: Path, serializer: ModuleType) -> tuple[Any, Any, dict[str, Any]]:
        """Return the requests, their responses and the header."""
        cassette = _read(path, serializer)
        pairs = [_interaction(entry) for entry in cassette["entries"]]
        return ([asked for asked, _ in pairs], [answered for _, answered in pairs], cassette["header"])

    @staticmethod
    def save_cassette(path: str, cassette: dict[str, Any], serializer: ModuleType) -> None:
        """Write the interactions; an answer that has not changed keeps the entry it had."""
        target, header, old = Path(path), {}, {}
        with contextlib.suppress(CassetteNotFoundError):
            before = _read(target, serializer)
            header, old = before["header"], {said(entry): entry for entry in before["entries"]}
        pairs = zip(cassette["requests"], cassette["responses"], strict=True)
        new = {said(entry): entry for entry in (_entry(*pair) for pair in pairs)}
        if new.keys() != old.keys():
            header = cassette_file.header_of(new.values())
        entries = [old.get(key, entry) for key, entry in new.items()]
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(target.name + ".tmp")
        text = serializer.serialize({"header": header, "entries": entries})
        unfinished.write_text(text, encoding="utf-8", newline="\n")
        unfinished.replace(target)


def provenance(path: Path) -> dict[str, Any]:
    """Return the header of a cassette: who answered, where, when, and what was dropped."""
    header: dict[str, Any] = _read(path, cassette_file)["header"]
    return header


def key_of(request: VcrRequest) -> str:
    """Return what is matched: method, path and the hash of the canonical body."""
    key: str | None = getattr(request, "promptlab_key", None)
    if key is None:
        body = cassette_file.canonical(json.loads(request.body or b"null"))
        key = f"{request.method} {request.path} {hashlib.sha256(body.encode()).hexdigest()}"
        request.promptlab_key = key
    return key


def _read(path: Path, serializer: ModuleType) -> dict[str, Any]:
    if not path.exists():
        raise CassetteNotFoundError(path)
    try:
        text = path.read_text(encoding="utf-8")
        if path.name.endswith(JOURNAL):  # a killed process may have left half a line
            text = text[: text.rfind("\n") + 1]
        cassette: dict[str, Any] = serializer.deserialize(text)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a cassette that can be read: {error}") from error
    return cassette


def _only_messages(request: VcrRequest) -> VcrRequest | None:
    """Keep calls to the Messages API; everything else (tokens of logins above all) passes by."""
    return request if request.path.endswith("/v1/messages") else None


def _only_answers(response: dict[str, Any]) -> dict[str, Any] | None:
    """Keep what a model answered; an error is no answer, nor is a proxy's page with status 200."""
    if response["status"]["code"] != 200:
        return None
    plain = decode_response(response)
    body = cassette_file.answer_of(plain["body"]["string"])
    return _response(allowed(plain["headers"], RESPONSE_HEADERS), body) if body else None


def _entry(request: VcrRequest, response: dict[str, Any]) -> Entry:
    return {
        "request": {
            "method": request.method,
            "server": cassette_file.server_of(urlsplit(request.uri).hostname or ""),
            "path": request.path,
            "headers": allowed(request.headers, REQUEST_HEADERS),
            "body": json.loads(request.body),
        },
        "response": {
            "status": response["status"]["code"],
            "headers": allowed(response["headers"], RESPONSE_HEADERS),
            "body": json.loads(response["body"]["string"]),
        },
    }


def _interaction(entry: Entry) -> tuple[VcrRequest, dict[str, Any]]:
    asked, answered = entry["request"], entry["response"]
    url = f"http://{asked['server']}{asked['path']}"
    body = json.dumps(asked["body"]).encode()
    request = VcrRequest(asked["method"], url, body, asked["headers"])
    return request, _response(answered["headers"], answered["body"])


def _response(headers: dict[str, str], body: dict[str, Any]) -> dict[str, Any]:
    """Build an answer in vcrpy's form; only those with status 200 are ever kept."""
    return {
        "status": {"code": 200, "message": "OK"},
        "headers": {name: [value] for name, value in headers.items()},
        "body": {"string": json.dumps(body).encode()},
    }
