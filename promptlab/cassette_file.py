"""What a file of recorded calls holds, line by line; vcrpy is not known here.

The first line is the header: who answered, where, when, and what was dropped. Then one line a call,
sorted by request. What is kept of a call is a short list; the rest never reaches the file.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any

from promptlab.errors import shorten
from promptlab.network import is_loopback

FORMAT = 1
ANTHROPIC = "api.anthropic.com"
REQUEST_HEADERS = ("anthropic-beta", "anthropic-version", "content-type")
RESPONSE_HEADERS = ("content-type", "retry-after")
UNMATCHED = ("cache_control", "stream")  # how an answer is sent, not what it says
DROPPED = (
    "request headers other than " + ", ".join(REQUEST_HEADERS),
    "response headers other than " + ", ".join(RESPONSE_HEADERS),
    "message and request ids",
    "signatures of thinking blocks",
    "answers with a status other than 200",
)

Entry = dict[str, Any]  # a call as the file has it: {"request": {...}, "response": {...}}


def serialize(cassette: Mapping[str, Any]) -> str:
    """Write the header, then the entries in the order of their requests."""
    entries = sorted(cassette["entries"], key=lambda entry: canonical(entry["request"]["body"]))
    return "".join(line(one) for one in [cassette["header"], *entries])


def deserialize(text: str) -> dict[str, Any]:
    """Take the lines apart into `header` and `entries`; ValueError names the first bad one."""
    cassette: dict[str, Any] = {"header": {}, "entries": []}
    *lines, rest = text.split("\n")  # not splitlines(): U+2028 ends no line in JSON
    for number, one in enumerate(lines + ([rest] if rest else []), start=1):
        try:
            parsed = json.loads(one)
            if "promptlab" in parsed:
                cassette["header"] = _known(parsed)
            else:
                cassette["entries"].append(_whole(parsed))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"line {number}: not a recorded call: {shorten(one)}: {error}") from error
    return cassette


def canonical(body: Any) -> str:
    """Write a request's body so that equal questions give equal text."""
    return json.dumps(_matched(body), sort_keys=True, separators=(",", ":"))


def said(entry: Entry) -> tuple[str, str]:
    """Return question and answer; where both are equal, a call has been recorded before."""
    body = entry["response"]["body"]
    answer = [body["content"], *(body.get(field) for field in ("stop_reason", "stop_details"))]
    return canonical(entry["request"]["body"]), json.dumps(answer, sort_keys=True)


def line(value: Mapping[str, Any]) -> str:
    """Write a header or an entry as one line that people can read."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair has no UTF-8, only an escape
        text = json.dumps(value)
    return text + "\n"


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


def answer_of(body: bytes) -> dict[str, Any] | None:
    """Keep what a model answered, without ids and signatures; None where it is no message."""
    try:
        message = json.loads(body)
        blocks = [{k: v for k, v in b.items() if k != "signature"} for b in message["content"]]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    kept = {k: v for k, v in message.items() if k not in ("id", "request_id")}
    return kept | {"content": blocks}


def allowed(headers: Any, names: tuple[str, ...]) -> dict[str, str]:
    """Take the allow-listed headers, by name in lower case; of a repeated one the first."""
    lower = {name.lower(): value for name, value in dict(headers).items()}
    found = {name: lower[name] for name in names if name in lower}
    return {name: value if isinstance(value, str) else value[0] for name, value in found.items()}


def server_of(host: str) -> str:
    """Name the class of a server; its address stays out of the file."""
    if host in (ANTHROPIC, "loopback"):
        return host
    return "loopback" if is_loopback(host) else "other"


def _matched(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _matched(field) for name, field in value.items() if name not in UNMATCHED}
    return [_matched(item) for item in value] if isinstance(value, list) else value


def _known(header: dict[str, Any]) -> dict[str, Any]:
    if header["promptlab"] != FORMAT:
        raise ValueError(f"format {header['promptlab']!r}, this version reads format {FORMAT}")
    return header


def _whole(entry: Entry) -> Entry:
    if not (entry["request"]["body"] and isinstance(entry["response"]["body"]["content"], list)):
        raise ValueError("no question, or no answer")
    return entry
