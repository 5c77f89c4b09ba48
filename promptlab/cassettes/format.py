"""Files of recorded calls: what is kept of a call, what of it is matched, and how a file is laid out.

A file is JSON lines. The first line is the header: who answered, where, when, for which test, and what was
dropped. Then one line a call, sorted by request, and a last line that says that the file is whole.
"""

import copy
import datetime
import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from promptlab import secrets
from promptlab.errors import RecordingError, shorten
from promptlab.models.messages_api import PATH, body_of, message_in, plain, refused, reply_in
from promptlab.network import is_loopback
from promptlab.records import Reply, Request

FORMAT = 2
READ = (1, 2)  # formats that are read
END = '{"promptlab": "end"}'  # the last line: without it, the file was cut off
EXAMPLES = ".examples.jsonl"  # ends the name of the copy of the examples beside a recording
JOURNAL = ".journal"  # ends the name of the file that a recording grows in

ANTHROPIC = "api.anthropic.com"
REQUEST_HEADERS = ("anthropic-beta", "anthropic-version", "content-type")
RESPONSE_HEADERS = ("content-type", "retry-after")
DROPPED = (
    "request headers other than " + ", ".join(REQUEST_HEADERS),
    "response headers other than " + ", ".join(RESPONSE_HEADERS),
    "ids of messages, requests, accounts and organizations",
    "signatures of thinking blocks",
    "marks for the API's cache",
    "errors, unless an example was rejected for good",
    "anything with the shape of a key, masked",
)
SHARED = 40  # characters; shorter strings are not worth a reference to the header

#: A call, as parsed: {"request": {...}, "response": {...}}, and where they apply
#: "kind": "rejected" (absent: "message"), "repeat": 1, 2, ... (absent: 0) and "seconds" that it took.
Entry = dict[str, Any]


@dataclass(frozen=True)
class Origin:
    """For whom calls are recorded; empty where that is not known."""

    by: str = ""  # who made the recording
    test: str = ""  # the id of the test that asked, or the script
    prompt: str = ""  # the prompt's folder
    data: tuple[str, ...] = ()  # the files that the examples were read from


UNKNOWN = Origin()


def relative(path: Path, root: Path) -> str:
    """Name a file of a project by its path there, any other by its name alone."""
    found = path.resolve()
    return found.relative_to(root.resolve()).as_posix() if found.is_relative_to(root.resolve()) else path.name


@dataclass
class Recording:
    """Recorded calls in memory; empty where there is no file."""

    header: dict[str, Any] = field(default_factory=dict)
    calls: dict[str, Entry] = field(default_factory=dict)  # by the key of the request, see `request_key`


# -- what is matched ----------------------------------------------------------------------------


def message_key(request: Request) -> str:
    """Return the key of a request; CassetteMiss means that no recorded call has it."""
    return request_key("POST", PATH, body_of(request), request.repeat)


def request_key(method: str, path: str, body: Any, repeat: int = 0) -> str:
    """Return what is matched of a request: method, the API's path, the hash of the canonical body.

    What has the shape of a key counts as masked, since it is stored so. A repeated request differs from
    the first by its number.
    """
    text = canonical(body)
    again = f" repeat {repeat}" if repeat else ""
    return f"{method} {api_path(path)} {hashlib.sha256(text.encode()).hexdigest()}{again}"


def canonical(body: Any) -> str:
    """Write a request's body, as it is kept, so that equal requests give equal text."""
    return json.dumps(secrets.screened(plain(body)), sort_keys=True, separators=(",", ":"))


# -- what is kept -------------------------------------------------------------------------------


def api_path(path: str) -> str:
    """Return the path from the API's version on; the part of a gateway may hold anything."""
    return path[path.rfind("/v1/") :] if "/v1/" in path else path


def kept_of(body: bytes) -> dict[str, Any] | None:
    """Keep what a model answered, without ids and signatures; None where it is no message."""
    try:
        message = message_in(body)
    except ValueError:
        return None
    blocks = [{k: v for k, v in block.items() if k != "signature"} for block in message["content"]]
    return {k: v for k, v in message.items() if not is_id(k)} | {"content": blocks}


def is_id(name: str) -> bool:
    """Say whether a field of an answer names a message, a request, an account or an organization."""
    return name == "id" or name.endswith("_id")


def allowed(headers: Any, names: tuple[str, ...]) -> dict[str, str]:
    """Take the allow-listed headers, by name in lower case; of a repeated one the first."""
    lower = {name.lower(): value for name, value in dict(headers).items()}
    found = {name: lower[name] for name in names if name in lower}
    return {name: value if isinstance(value, str) else value[0] for name, value in found.items()}


def server_of(host: str) -> str:
    """Name the class of a server; its address stays out of the file."""
    return host if host == ANTHROPIC else "loopback" if is_loopback(host) else "other"


def _said(entry: Entry) -> str:
    """Return what was answered: blocks and stop reason, without what differs from call to call."""
    body = entry["response"]["body"]
    answer = [body.get("content"), *(body.get(name) for name in ("stop_reason", "stop_details", "error"))]
    return json.dumps(answer, sort_keys=True)


def reply_of(entry: Entry) -> Reply:
    """Return the reply of a call, as the client returns it."""
    body = entry["response"]["body"]
    if entry.get("kind") == "rejected":
        return refused(entry["request"]["body"]["model"], body["error"]["message"])
    return replace(reply_in(body), seconds=entry.get("seconds"))


# -- reading ------------------------------------------------------------------------------------


def read(path: Path) -> Recording:
    """Read a file of recorded calls; RecordingError, with the line and what to do, where it is none."""
    header, lines = _lines_of(path)
    if not header:
        return Recording()
    strings = header.pop("strings", {})
    whole = bool(lines) and lines[-1] == END
    calls = index(path, lines[:-1] if whole else lines, start=2, strings=strings)
    if not whole:
        raise _damaged(path, len(lines) + 2, "the file was cut off: its last line is not the end marker")
    return Recording(header, calls)


def _lines_of(path: Path) -> tuple[dict[str, Any], list[str]]:
    """Return the header of a file and its other lines; empty where there is no file."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return {}, []
    except OSError as error:
        raise RecordingError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        raise _damaged(path, number, "not text in UTF-8") from error
    if not text:
        raise _damaged(path, 1, "the file is empty")
    *lines, rest = text.split("\n")  # not splitlines(): U+2028 ends no line in JSON
    header = _header(path, lines[0] if lines else rest)
    if rest:
        raise _damaged(path, len(lines) + 1, f"the file ends within a line: {shorten(rest)}")
    return header, lines[1:]


def read_header(path: Path) -> dict[str, Any]:
    """Read the first line of a file alone: {} where there is no file, or none with a header."""
    try:
        with path.open(encoding="utf-8", newline="\n") as file:
            return _header(path, file.readline())
    except (OSError, ValueError, RecordingError):
        return {}


def _header(path: Path, first: str) -> dict[str, Any]:
    try:
        header: dict[str, Any] = json.loads(first)
        found = header["promptlab"]
    except (ValueError, KeyError, TypeError) as error:
        why = f"expected a header that says who answered, found {shorten(first)}"
        raise _damaged(path, 1, why, line=first) from error
    if found not in READ:
        raise RecordingError(
            f"{path}, line 1: format {found!r}, this version of promptlab reads format 1 and {FORMAT}: "
            f"pip install -U pytest-promptlab"
        )
    return header


def index(
    path: Path, lines: Iterable[str], *, start: int = 1, strings: Mapping[str, str] | None = None
) -> dict[str, Entry]:
    """Parse each line and key it; RecordingError for one that is no call, or repeats another."""
    calls: dict[str, Entry] = {}
    for number, one in enumerate(lines, start):
        entry = _parse(path, number, one, strings or {})
        asked = entry["request"]
        key = request_key(asked["method"], asked["path"], asked["body"], entry.get("repeat", 0))
        if calls.setdefault(key, entry) is not entry:
            other = next(n for n, known in enumerate(calls, start) if known == key)
            raise _damaged(path, number, f"holds the same call as line {other}")
    return calls


def _parse(path: Path, number: int, line: str, strings: Mapping[str, str]) -> Entry:
    try:
        entry: Entry = json.loads(line)
        asked, answered = entry["request"], entry["response"]
        whole = asked["method"] and asked["path"] and asked["body"] and "headers" in asked
        rejected = entry.get("kind") == "rejected" and "type" in answered["body"]["error"]
        if whole and "headers" in answered and (rejected or isinstance(answered["body"]["content"], list)):
            _replace_shared(asked["body"], lambda value: strings[value["$string"]], dict)
            return entry
        why = "no request, or no answer"
    except (ValueError, KeyError, TypeError) as error:
        why = str(error) if isinstance(error, ValueError) else "not a call"
    raise _damaged(path, number, f"{why}: {shorten(line)}", line=line)


MERGED = "unresolved merge conflict"
CONFLICT = ("<<<<<<<", "|||||||", "=======", ">>>>>>>")  # how git begins the lines it cannot merge


def _damaged(path: Path, number: int, why: str, *, line: str = "") -> RecordingError:
    if path.suffix == JOURNAL:
        advice = "Delete it: its calls will be made again"
    elif line.startswith(CONFLICT):
        why = MERGED
        advice = f"Join both sides: promptlab cassettes merge {path}"
    else:
        advice = (
            "Restore the whole file from a commit (git checkout COMMIT -- FILE), then pytest --live-changed "
            "records what is missing; or replace it with pytest --live"
        )
    return RecordingError(f"{path}, line {number}: {why}. {advice}")


# -- writing ------------------------------------------------------------------------------------


def updated(old: Recording, calls: Mapping[str, Entry], origin: Origin = UNKNOWN) -> Recording:
    """Return the recording that `calls` make; an answer that has not changed keeps its old line."""
    same = [key for key in calls if key in old.calls and _said(old.calls[key]) == _said(calls[key])]
    kept = {**calls, **{key: old.calls[key] for key in same}}
    return old if kept == old.calls else Recording(header_of(kept.values(), origin), kept)


def merged(ours: Recording, theirs: Recording) -> tuple[Recording, int]:
    """Join two recordings; where both have a call, ours counts. Also say how many had other answers."""
    both = ours.calls.keys() & theirs.calls.keys()
    other = sum(_said(ours.calls[key]) != _said(theirs.calls[key]) for key in both)
    both_sides = Recording(ours.header or theirs.header, theirs.calls | ours.calls)
    return without(both_sides, ()), other


def without(old: Recording, orphans: Collection[str]) -> Recording:
    """Return a recording without some of its calls; when it was made, and for whom, stays."""
    kept = {key: entry for key, entry in old.calls.items() if key not in orphans}
    new = header_of(kept.values(), UNKNOWN)
    return Recording(old.header | {name: new[name] for name in ("answered_by", "server")}, kept)


def header_of(entries: Iterable[Entry], origin: Origin) -> dict[str, Any]:
    """Say who answered these calls, where and when, for whom, and what was dropped."""
    entries = list(entries)
    answered = [entry["response"]["body"] for entry in entries]
    return {
        "promptlab": FORMAT,
        "answered_by": sorted({str(body.get("model")) for body in answered if "content" in body}),
        "server": sorted({entry["request"]["server"] for entry in entries}),
        "recorded": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "origin": asdict(origin) | {"data": list(origin.data)},
        "versions": {name: version(name) for name in ("anthropic", "pytest-promptlab", "vcrpy")},
        "dropped": list(DROPPED),
    }


def write(path: Path, recording: Recording) -> None:
    """Replace a file of recorded calls as a whole, sorted by request; a crash leaves the old file."""
    bodies = {key: canonical(entry["request"]["body"]) for key, entry in recording.calls.items()}
    order = sorted(bodies, key=lambda key: (bodies[key], key))
    strings: dict[str, str] = {}
    lines = [line_of(_with_references(recording.calls[key], strings)) for key in order]
    new = {"promptlab": FORMAT, "strings": dict(sorted(strings.items()))}
    header = line_of(secrets.screened({"promptlab": FORMAT, "origin": None} | recording.header | new))
    unfinished = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(f"{line}\n" for line in (header, *lines, END))
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        raise RecordingError(f"{path}: cannot be written: {error.strerror}. Its replies are kept") from error


def line_of(value: Mapping[str, Any]) -> str:
    """Write a header or an entry as one line that people can read."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair has no UTF-8, only an escape
        text = json.dumps(value)
    return text


def upgrade(path: Path) -> bool:
    """Rewrite a file in the present format; return whether it had an older one."""
    recording = read(path)
    if recording.header.get("promptlab") in (None, FORMAT):
        return False
    write(path, recording)
    return True


def _with_references(entry: Entry, strings: dict[str, str]) -> Entry:
    """Return an entry in which long strings of the prompt are references, and add those to `strings`."""

    def share(text: str) -> Any:
        if len(text) < SHARED:
            return text
        name = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).hexdigest()
        strings[name] = text
        return {"$string": name}

    body = dict(entry["request"]["body"])  # deep copies are made of what is replaced alone: they are slow
    for name, shared in (("system", body.get("system")), ("messages", body.get("messages", [])[:-1])):
        if isinstance(shared, list):
            body[name] = copy.deepcopy(shared) + (body[name][-1:] if name == "messages" else [])
    _replace_shared(body, share, str)
    return entry | {"request": entry["request"] | {"body": body}}


def _replace_shared(body: Any, replace: Callable[[Any], Any], kind: type) -> None:
    """Replace the strings of a body that recur from call to call: the system prompt, all turns but the last.

    The API takes no object in these places, so a reference cannot be mistaken for anything else.
    """
    turns = [turn for turn in body.get("messages", [])[:-1] if isinstance(turn, dict)]
    for holder, name in [(body, "system"), *((turn, "content") for turn in turns)]:
        value = holder.get(name)
        blocks = [block for block in value if isinstance(block, dict)] if isinstance(value, list) else []
        for where, text in [(holder, name), *((block, "text") for block in blocks)]:
            if isinstance(where.get(text), kind):
                where[text] = replace(where[text])


# -- whether files can be trusted ---------------------------------------------------------------


def recordings(folder: Path) -> list[Path]:
    """Return the recordings below a folder, sorted."""
    return sorted(filter(is_recording, folder.rglob("*.jsonl")))


def is_recording(path: Path) -> bool:
    """Say whether a file is a recording, by its name."""
    return path.suffix == ".jsonl" and not path.name.endswith(EXAMPLES)


def describe(folder: Path) -> str:
    """Say in a line who answered the calls recorded in the folder of a profile."""
    headers = [found for path in recordings(folder) if (found := read_header(path))]
    if not headers:
        return "nothing is recorded"
    who = sorted({name for one in headers for name in one["answered_by"]})
    where = sorted({name for one in headers for name in one["server"]})
    days = [one["recorded"] for one in headers]
    when = " to ".join(dict.fromkeys((min(days), max(days))))
    return f"replays {', '.join(who)} at {' and '.join(where)}, recorded {when}"


def problems(path: Path) -> Iterator[str]:
    """Yield what is wrong with a file, a sentence each: structure, order, provenance, secrets."""
    if not path.exists():
        yield f"{path}: there is no such file"
        return
    if path.name.endswith(EXAMPLES):
        yield from _problems_of_examples(path)
        return
    try:
        recording = read(path)
    except RecordingError as error:
        yield str(error)
        return
    found, entries = recording.header, list(recording.calls.values())
    expected = header_of(entries, UNKNOWN)
    if found["promptlab"] == 1:
        del expected["origin"]
    given = ("promptlab", "recorded", "origin", "versions", "dropped")  # not to be seen from the calls
    for name, value in expected.items():
        if name not in found or (name not in given and found[name] != value):
            yield f"{path}, line 1: {name} is {found.get(name)!r}, expected {value!r}"
    bodies = [canonical(entry["request"]["body"]) for entry in entries]
    for number, (body, entry) in enumerate(zip(bodies, entries, strict=True), start=2):
        if number > 2 and body < bodies[number - 3]:
            yield f"{path}, line {number}: out of order, its request sorts before that of the line above"
        yield from (f"{path}, line {number}: {problem}" for problem in _problems_of_call(entry))


def _problems_of_examples(path: Path) -> Iterator[str]:
    """Yield the lines of a copy of examples that hold a secret."""
    for number, line in enumerate(path.read_bytes().decode(errors="replace").split("\n"), start=1):
        try:
            row = json.loads(line) if line else {}
        except ValueError as error:
            yield f"{path}, line {number}: {error}"
            continue
        yield from (f"{path}, line {number}: {problem}" for problem in _secrets_in(row, "example"))


def _secrets_in(value: Any, what: str) -> Iterator[str]:
    for place, text in secrets.places(value, what):
        if secrets.SHAPES.search(text):
            yield f"{place} holds what looks like a key"
    if found := secrets.credential_in(value, what, {}, secrets.kept()):
        yield f"{found[0]} holds a credential that is in use, from {found[1]}"


def _problems_of_call(entry: Entry) -> Iterator[str]:
    asked, answered = entry["request"], entry["response"]
    for where, part, kept in (("request", asked, REQUEST_HEADERS), ("response", answered, RESPONSE_HEADERS)):
        yield from (
            f"{where} header {name!r} should have been dropped" for name in part["headers"].keys() - kept
        )
    if entry.get("kind") != "rejected" and answered["status"] != 200:
        yield f"status {answered['status']!r}, expected 200, or an entry of the kind 'rejected'"
    dropped = {name for name in answered["body"] if is_id(name)}
    blocks = answered["body"].get("content", [])
    dropped |= {"signature"} & {name for block in blocks for name in block}
    yield from (f"the answer's {name!r} should have been dropped" for name in sorted(dropped))
    yield from _secrets_in(entry, "call")


# -- vcrpy's own format -------------------------------------------------------------------------


def as_response(entry: Entry) -> dict[str, Any]:
    """Build the answer of a call as vcrpy has it."""
    answered = entry["response"]
    return {
        "status": {"code": answered["status"], "message": "OK" if answered["status"] == 200 else ""},
        "headers": {name: [value] for name, value in answered["headers"].items()},
        "body": {"string": json.dumps(answered["body"]).encode()},
    }


def export(path: Path, target: Path, base_url: str) -> int:
    """Write a recording as vcrpy's own YAML, for tools that read that; return the number of calls."""
    from vcr.persisters.filesystem import FilesystemPersister
    from vcr.request import Request as VcrRequest
    from vcr.serializers import yamlserializer

    if not path.exists():
        raise RecordingError(f"{path}: there is no such file")
    entries = list(read(path).calls.values())
    requests = []
    for asked in (entry["request"] for entry in entries):
        url, body = base_url + asked["path"], json.dumps(asked["body"]).encode()
        requests.append(VcrRequest(asked["method"], url, body, asked["headers"]))
    both = {"requests": requests, "responses": [as_response(entry) for entry in entries]}
    FilesystemPersister.save_cassette(str(target), both, yamlserializer)
    return len(entries)
