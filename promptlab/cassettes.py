"""The only file that knows vcrpy: calls are recorded into a file and replayed from it.

vcrpy does the work: its patches stand in the HTTP transport, its Cassette decides what is played. Here
is what differs: answers are found through an index (vcrpy's own search compares every stored request
with every new one, which is quadratic), the file is JSON lines, sorted and replaced as a whole, and what
is kept of a call is a short list.

A file holds one run. Its first line says who answered, when, and what was dropped; then one line a call.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import vcr
from vcr.cassette import Cassette
from vcr.filters import decode_response
from vcr.persisters.filesystem import CassetteNotFoundError
from vcr.record_mode import RecordMode
from vcr.request import Request as VcrRequest

from promptlab.errors import CassetteMiss, DataError, shorten
from promptlab.network import is_loopback

FORMAT = 1
ANTHROPIC = "api.anthropic.com"
REQUEST_HEADERS = ("anthropic-beta", "anthropic-version", "content-type")
RESPONSE_HEADERS = ("content-type", "retry-after")
UNMATCHED = (
    "cache_control",
    "stream",
)  # fields that change how an answer is sent, not what it says
DROPPED = (
    "request headers other than " + ", ".join(REQUEST_HEADERS),
    "response headers other than " + ", ".join(RESPONSE_HEADERS),
    "message and request ids",
    "signatures of thinking blocks",
    "answers with a status other than 200",
)

Entry = dict[str, Any]  # a line of the file: {"request": {...}, "response": {...}}


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
    recorder.register_serializer("promptlab", _Lines)
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
        self._journal = Path(path + ".journal")

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
                journal.write(_line(_entry(*self.data[position])))

    def can_play_response_for(self, request: VcrRequest) -> bool:
        """Say whether the request is recorded; on replay, CassetteMiss where it is not."""
        playable = bool(super().can_play_response_for(request))
        if not playable and self.write_protected and _only_messages(request):
            raise CassetteMiss(self._path, self.record_with)
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


class _Lines:
    """vcrpy's serializer: a header and entries, as JSON lines."""

    @staticmethod
    def serialize(cassette: dict[str, Any]) -> str:
        """Write the header, then the entries in the order of their requests."""
        entries = sorted(cassette["entries"], key=lambda entry: canonical(entry["request"]["body"]))
        return "".join(_line(one) for one in [cassette["header"], *entries])

    @staticmethod
    def deserialize(text: str) -> dict[str, Any]:
        """Take the lines apart; ValueError names the first one that cannot be used."""
        cassette: dict[str, Any] = {"header": {}, "entries": []}
        # Not splitlines(): U+2028 and its like are no line ends in JSON. A last line without its
        # newline is one that a killed process did not finish.
        for number, line in enumerate(text.split("\n")[:-1], start=1):
            try:
                parsed = json.loads(line)
                if "promptlab" in parsed:
                    cassette["header"] = _checked(parsed)
                else:
                    parsed["request"]["body"], parsed["response"]["body"]["content"]
                    cassette["entries"].append(parsed)
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"line {number}: not a recorded call: {shorten(line)}") from error
        return cassette


class _Files:
    """vcrpy's persister: keeps the lines of unchanged answers, replaces the file as a whole."""

    @staticmethod
    def load_cassette(path: Path, serializer: type[_Lines]) -> tuple[Any, Any, dict[str, Any]]:
        """Return the requests, their responses and the header."""
        cassette = _read(Path(path), serializer)
        pairs = [_interaction(entry) for entry in cassette["entries"]]
        return (
            [request for request, _ in pairs],
            [response for _, response in pairs],
            cassette["header"],
        )

    @staticmethod
    def save_cassette(path: str, cassette: dict[str, Any], serializer: type[_Lines]) -> None:
        """Write the interactions; an answer that has not changed keeps the entry it had."""
        target, header, old = Path(path), {}, {}
        with contextlib.suppress(CassetteNotFoundError):
            before = _read(target, serializer)
            header, old = before["header"], {_said(entry): entry for entry in before["entries"]}
        pairs = zip(cassette["requests"], cassette["responses"], strict=True)
        new = {_said(entry): entry for entry in (_entry(*pair) for pair in pairs)}
        if new.keys() != old.keys():
            header = _header(list(new.values()))
        text = serializer.serialize(
            {"header": header, "entries": [old.get(said, entry) for said, entry in new.items()]}
        )
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(target.name + ".tmp")
        unfinished.write_text(text, encoding="utf-8", newline="\n")
        unfinished.replace(target)


def key_of(request: VcrRequest) -> str:
    """Return what is matched: method, path and the hash of the canonical body."""
    key: str | None = getattr(request, "promptlab_key", None)
    if key is None:
        body = canonical(json.loads(request.body or b"null"))
        key = f"{request.method} {request.path} {hashlib.sha256(body.encode()).hexdigest()}"
        request.promptlab_key = key
    return key


def canonical(body: Any) -> str:
    """Write a request's body so that equal questions give equal text."""
    return json.dumps(_matched(body), sort_keys=True, separators=(",", ":"))


def provenance(path: Path) -> dict[str, Any]:
    """Return the header of a cassette: who answered, where, when, and what was dropped."""
    header: dict[str, Any] = _read(path, _Lines)["header"]
    return header


def _matched(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _matched(field) for name, field in value.items() if name not in UNMATCHED}
    return [_matched(item) for item in value] if isinstance(value, list) else value


def _read(path: Path, serializer: type[_Lines]) -> dict[str, Any]:
    if not path.exists():
        raise CassetteNotFoundError(path)
    try:
        return serializer.deserialize(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a cassette that can be read: {error}") from error


def _checked(header: dict[str, Any]) -> dict[str, Any]:
    if header["promptlab"] != FORMAT:
        raise ValueError(f"format {header['promptlab']!r}, this version reads format {FORMAT}")
    return header


def _header(entries: list[Entry]) -> dict[str, Any]:
    return {
        "promptlab": FORMAT,
        "answered_by": sorted({str(entry["response"]["body"].get("model")) for entry in entries}),
        "server": sorted({entry["request"]["server"] for entry in entries}),
        "recorded": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "versions": {name: version(name) for name in ("anthropic", "pytest-promptlab", "vcrpy")},
        "dropped": list(DROPPED),
    }


def _only_messages(request: VcrRequest) -> VcrRequest | None:
    """Keep calls to the Messages API; everything else (tokens of logins above all) passes by."""
    return request if request.path.endswith("/v1/messages") else None


def _only_answers(response: dict[str, Any]) -> dict[str, Any] | None:
    """Keep what a model answered, cleaned; an error is no answer, and is never recorded."""
    if response["status"]["code"] != 200:
        return None
    plain = decode_response(response)
    try:
        body = json.loads(plain["body"]["string"])
        content = [
            {k: v for k, v in block.items() if k != "signature"} for block in body["content"]
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None  # status 200 with something else in it: a proxy's page
    body = {k: v for k, v in body.items() if k not in ("id", "request_id")} | {"content": content}
    headers = _allowed(plain["headers"], RESPONSE_HEADERS)
    return {
        "status": {"code": 200, "message": "OK"},
        "headers": {name: [value] for name, value in headers.items()},
        "body": {"string": json.dumps(body).encode()},
    }


def _allowed(headers: Any, names: tuple[str, ...]) -> dict[str, str]:
    """Take the allow-listed headers, by name in lower case; of a repeated one the first."""
    lower = {name.lower(): value for name, value in dict(headers).items()}
    found = {name: lower[name] for name in names if name in lower}
    return {name: value if isinstance(value, str) else value[0] for name, value in found.items()}


def _entry(request: VcrRequest, response: dict[str, Any]) -> Entry:
    return {
        "request": {
            "method": request.method,
            "server": _server(urlsplit(request.uri).hostname or ""),
            "path": request.path,
            "headers": _allowed(request.headers, REQUEST_HEADERS),
            "body": json.loads(request.body),
        },
        "response": {
            "status": response["status"]["code"],
            "headers": _allowed(response["headers"], RESPONSE_HEADERS),
            "body": json.loads(response["body"]["string"]),
        },
    }


def _interaction(entry: Entry) -> tuple[VcrRequest, dict[str, Any]]:
    asked, answered = entry["request"], entry["response"]
    request = VcrRequest(
        asked["method"],
        f"http://{asked['server']}{asked['path']}",
        json.dumps(asked["body"]).encode(),
        asked["headers"],
    )
    return request, {
        "status": {"code": answered["status"], "message": "OK"},
        "headers": {name: [value] for name, value in answered["headers"].items()},
        "body": {"string": json.dumps(answered["body"]).encode()},
    }


def _server(host: str) -> str:
    """Name the class of a server; its address stays out of the file."""
    if host in (ANTHROPIC, "loopback"):
        return host
    return "loopback" if is_loopback(host) else "other"


def _said(entry: Entry) -> tuple[str, str]:
    """The question and what was answered; equal ones are one recording, whatever else differs."""
    body = entry["response"]["body"]
    answer = [body.get(field) for field in ("content", "stop_reason", "stop_details")]
    return canonical(entry["request"]["body"]), json.dumps(answer, sort_keys=True)


def _line(value: dict[str, Any]) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(", ", ": "))
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair has no UTF-8, only an escape
        text = json.dumps(value)
    return text + "\n"
