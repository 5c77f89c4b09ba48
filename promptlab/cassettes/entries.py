"""What is kept of a call and of its answer, and what of it is matched; the rest never reaches a file."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from promptlab import secrets
from promptlab.network import is_loopback

ANTHROPIC = "api.anthropic.com"

REQUEST_HEADERS = ("anthropic-beta", "anthropic-version", "content-type")

RESPONSE_HEADERS = ("content-type", "retry-after")

UNMATCHED = ("cache_control", "stream")  # how an answer is sent, not what it says

Entry = dict[str, Any]  # a call as the file has it: {"request": {...}, "response": {...}}


def said(entry: Entry) -> str:
    """Return what was answered: blocks and stop reason, without what differs from call to call."""
    body = entry["response"]["body"]
    answer = [body["content"], *(body.get(field) for field in ("stop_reason", "stop_details"))]
    return json.dumps(answer, sort_keys=True)


def key_of(method: str, path: str, body: Any) -> str:
    """Return what is matched of a request: method, the API's path, the hash of the canonical body.

    What has the shape of a key counts as masked, since it is stored so.
    """
    text = secrets.masked(canonical(body))
    return f"{method} {api_path(path)} {hashlib.sha256(text.encode()).hexdigest()}"


def api_path(path: str) -> str:
    """Return the path from the API's version on; a gateway's own part may hold anything."""
    return path[path.rfind("/v1/") :] if "/v1/" in path else path


def canonical(body: Any) -> str:
    """Write a request's body so that equal questions give equal text."""
    return json.dumps(_matched(body), sort_keys=True, separators=(",", ":"))


def answer_of(body: bytes) -> dict[str, Any] | None:
    """Keep what a model answered, without ids and signatures; None where it is no message."""
    try:
        message = json.loads(body)
        blocks = [{k: v for k, v in b.items() if k != "signature"} for b in message["content"]]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return {k: v for k, v in message.items() if not is_id(k)} | {"content": blocks}


def is_id(field: str) -> bool:
    """Say whether a field of an answer names a message, a request, an account or an organization."""
    return field == "id" or field.endswith("_id")


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
