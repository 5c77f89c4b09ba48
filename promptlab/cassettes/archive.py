"""Whether files of recorded calls can be trusted: who answered, and what is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from promptlab import secrets
from promptlab.cassettes.entries import REQUEST_HEADERS, RESPONSE_HEADERS, Entry, canonical, is_id
from promptlab.cassettes.format import header, header_of, read
from promptlab.errors import RecordingError

EXAMPLES = ".examples.jsonl"  # ends the name of the copy of the examples beside a recording


def origins(folder: Path) -> str:
    """Say in a line who answered the calls recorded in the folder of a profile."""
    headers = [found for path in recordings(folder) if (found := header(path))]
    if not headers:
        return "nothing is recorded"
    who = sorted({name for one in headers for name in one["answered_by"]})
    where = sorted({name for one in headers for name in one["server"]})
    days = [one["recorded"] for one in headers]
    when = " to ".join(sorted({min(days), max(days)}))
    return f"replays {', '.join(who)} at {' and '.join(where)}, recorded {when}"


def recordings(folder: Path) -> list[Path]:
    """Return the recordings below a folder, sorted."""
    return sorted(path for path in folder.rglob("*.jsonl") if not path.name.endswith(EXAMPLES))


def problems(path: Path) -> Iterator[str]:
    """Yield what is wrong with a file, a sentence each: structure, order, provenance, secrets."""
    if not path.exists():
        yield f"{path}: there is no such file"
        return
    try:
        recording = read(path)
    except RecordingError as error:
        yield str(error)
        return
    entries: list[Entry] = [json.loads(one) for one in recording.calls.values()]
    bodies = [canonical(entry["request"]["body"]) for entry in entries]
    expected = header_of(entries) | {
        name: recording.header.get(name) for name in ("recorded", "versions", "dropped")
    }
    for name, value in expected.items():
        if recording.header.get(name) != value or value is None:
            yield f"{path}, line 1: {name} is {recording.header.get(name)!r}, expected {value!r}"
    for number, (body, entry) in enumerate(zip(bodies, entries, strict=True), start=2):
        if number > 2 and body < bodies[number - 3]:
            yield f"{path}, line {number}: out of order, its request sorts before that of the line above"
        yield from (f"{path}, line {number}: {problem}" for problem in _of_call(entry))


def _of_call(entry: Entry) -> Iterator[str]:
    asked, answered = entry["request"], entry["response"]
    for where, part, kept in (("request", asked, REQUEST_HEADERS), ("response", answered, RESPONSE_HEADERS)):
        yield from (
            f"{where} header {name!r} is not one that is kept" for name in part["headers"].keys() - kept
        )
    if answered["status"] != 200:
        yield f"status {answered['status']!r}, and only answers with status 200 are recorded"
    dropped = {field for field in answered["body"] if is_id(field)}
    dropped |= {"signature"} & {name for block in answered["body"]["content"] for name in block}
    yield from (f"the answer's {name!r} is there, and should have been dropped" for name in sorted(dropped))
    yield from _secrets(entry)


def _secrets(entry: Entry) -> Iterator[str]:
    for place, text in secrets.places(entry, "call"):
        if secrets.SHAPES.search(text):
            yield f"{place} holds what looks like a key"
    if found := secrets.credential_in(entry, "call", {}, secrets.kept()):
        yield f"{found[0]} holds a credential that is in use, that of {found[1]}"
