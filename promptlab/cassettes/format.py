"""What a file of recorded calls holds, line by line; vcrpy is not known here.

The first line is the header: who answered, where, when, and what was dropped. Then one line a call,
sorted by request, and a last line that says that this is all. What is kept of a call is a short list; the rest never reaches the file.
"""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from promptlab.cassettes.entries import REQUEST_HEADERS, RESPONSE_HEADERS, Entry, canonical, key_of, said
from promptlab.errors import RecordingError, shorten

FORMAT = 1
END = '{"promptlab": "end"}'  # the last line: without it, the file was cut off
DROPPED = (
    "request headers other than " + ", ".join(REQUEST_HEADERS),
    "response headers other than " + ", ".join(RESPONSE_HEADERS),
    "ids of messages, requests, accounts and organizations",
    "signatures of thinking blocks",
    "answers with a status other than 200",
    "whatever has the shape of a key, masked",
)
MERGED = "two branches have changed it, and git could not merge them"
CONFLICT = ("<<<<<<<", "|||||||", "=======", ">>>>>>>")  # how git begins the lines it cannot merge


@dataclass
class Recording:
    """Recorded calls in memory.

    Attributes:
        header: the first line; empty where there is no file.
        calls: each call's line, without its end, by its key. Lines are parsed when they are played.
    """

    header: dict[str, Any] = field(default_factory=dict)
    calls: dict[str, str] = field(default_factory=dict)


def read(path: Path) -> Recording:
    """Read a file of recorded calls; an empty Recording where there is none.

    Raises:
        RecordingError: the file is not one, or not whole; with the line, and what to do.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return Recording()
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
    whole = lines[-1] == END
    calls = index(path, lines[1:-1] if whole else lines[1:], start=2)
    if not whole:
        raise _damaged(path, len(lines) + 1, "the file was cut off: its last line should say that it ends")
    return Recording(header, calls)


def header(path: Path) -> dict[str, Any]:
    """Read the first line of a file alone: {} where there is no file, or none with a header."""
    try:
        with path.open(encoding="utf-8", newline="\n") as file:
            return _header(path, file.readline())
    except (OSError, ValueError, RecordingError):
        return {}


def index(path: Path, lines: Iterable[str], *, start: int = 1) -> dict[str, str]:
    """Find the key of each line; RecordingError for a line that is no call, or asks what another does."""
    calls: dict[str, str] = {}
    for number, one in enumerate(lines, start):
        asked = parse(path, number, one)["request"]
        key = key_of(asked["method"], asked["path"], asked["body"])
        if calls.setdefault(key, one) is not one:
            other = next(n for n, known in enumerate(calls, start) if known == key)
            raise _damaged(path, number, f"holds the same call as line {other}")
    return calls


def parse(path: Path, number: int, one: str) -> Entry:
    """Parse the line of a call; RecordingError where it is none."""
    try:
        entry: Entry = json.loads(one)
        asked, answered = entry["request"], entry["response"]
        whole = asked["method"] and asked["path"] and asked["body"] and "headers" in asked
        if whole and "headers" in answered and isinstance(answered["body"]["content"], list):
            return entry
        why = "no question, or no answer"
    except (ValueError, KeyError, TypeError) as error:
        why = str(error) if isinstance(error, ValueError) else "not a call"
    if one.startswith(CONFLICT):
        why = MERGED
    raise _damaged(path, number, f"{why}: {shorten(one)}")


def write(path: Path, recording: Recording) -> None:
    """Replace a file of recorded calls as a whole, sorted by request; a crash leaves the old file.

    Raises:
        RecordingError: the file cannot be written; the old one is as it was.
    """
    bodies = {key: canonical(json.loads(one)["request"]["body"]) for key, one in recording.calls.items()}
    calls = (recording.calls[key] + "\n" for key in sorted(bodies, key=lambda key: (bodies[key], key)))
    unfinished = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("w", encoding="utf-8", newline="\n") as file:
            file.write(line(recording.header) + "\n")
            file.writelines(calls)
            file.write(END + "\n")
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        raise RecordingError(f"{path}: cannot be written: {error.strerror}. Its replies are kept") from error


def updated(old: Recording, calls: Mapping[str, str]) -> Recording:
    """Return the recording that `calls` make; where an answer has not changed, its old line stays."""
    kept = {key: _unchanged(old.calls.get(key), one) for key, one in calls.items()}
    if kept == old.calls:
        return old
    return Recording(header_of(map(json.loads, kept.values())), kept)


def _unchanged(old: str | None, new: str) -> str:
    if old is None or old == new:
        return new
    return old if said(json.loads(old)) == said(json.loads(new)) else new


def line(value: Mapping[str, Any]) -> str:
    """Write a header or an entry as one line that people can read."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair has no UTF-8, only an escape
        text = json.dumps(value)
    return text


def header_of(entries: Iterable[Entry]) -> dict[str, Any]:
    """Say who answered these calls, where and when, and what was dropped."""
    entries = list(entries)
    return {
        "promptlab": FORMAT,
        "answered_by": sorted({str(entry["response"]["body"].get("model")) for entry in entries}),
        "server": sorted({entry["request"]["server"] for entry in entries}),
        "recorded": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "versions": {name: version(name) for name in ("anthropic", "pytest-promptlab", "vcrpy")},
        "dropped": list(DROPPED),
    }


def _header(path: Path, first: str) -> dict[str, Any]:
    try:
        header: dict[str, Any] = json.loads(first)
        found = header["promptlab"]
    except (ValueError, KeyError, TypeError) as error:
        why = MERGED
        if not first.startswith(CONFLICT):
            why = f"expected a header that says who answered, found {shorten(first)}"
        raise _damaged(path, 1, why) from error
    if found != FORMAT:
        raise RecordingError(
            f"{path}, line 1: format {found!r}, this version of promptlab reads format {FORMAT}: "
            f"pip install -U pytest-promptlab"
        )
    return header


def _damaged(path: Path, number: int, why: str) -> RecordingError:
    if path.suffix == ".journal":
        advice = "Delete it: its calls are made again"
    elif why.startswith(MERGED):
        advice = "Take either side (git checkout --ours -- FILE), then pytest --live-changed records the rest"
    else:
        advice = (
            "Take the file whole from a commit (git checkout COMMIT -- FILE), then pytest --live-changed "
            "records what it lacks; or pytest --live replaces it"
        )
    return RecordingError(f"{path}, line {number}: {why}. {advice}")
