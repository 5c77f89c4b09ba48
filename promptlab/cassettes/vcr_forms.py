"""Calls in vcrpy's form and in that of the file; with cassettes.py, all that knows vcrpy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from vcr.filters import decode_response
from vcr.persisters.filesystem import FilesystemPersister
from vcr.request import Request as VcrRequest
from vcr.serializers import yamlserializer

from promptlab.cassettes import entries
from promptlab.cassettes import format as cassette_file
from promptlab.cassettes.entries import REQUEST_HEADERS, RESPONSE_HEADERS, Entry, allowed
from promptlab.errors import RecordingError


def key_of(request: VcrRequest) -> str:
    """Return what is matched of a request; vcrpy asks for it several times a call."""
    key: str | None = getattr(request, "promptlab_key", None)
    if key is None:
        key = entries.key_of(request.method, request.path, json.loads(request.body or b"null"))
        request.promptlab_key = key
    return key


def only_messages(request: VcrRequest) -> VcrRequest | None:
    """Keep calls to the Messages API; everything else (tokens of logins above all) passes by."""
    return request if request.path.endswith("/v1/messages") else None


def only_answers(response: dict[str, Any]) -> dict[str, Any] | None:
    """Keep what a model answered; an error is no answer, nor is a proxy's page with status 200."""
    answer = answer_in(response)
    return response_of(*answer) if answer else None


def answer_in(response: dict[str, Any]) -> tuple[dict[str, str], dict[str, Any]] | None:
    """Take the headers and the body that are kept from a model's answer; None where it is none."""
    if response["status"]["code"] != 200:
        return None
    coded = any(name.lower() == "content-encoding" for name in response["headers"])
    plain = decode_response(response) if coded else response  # which would copy all of it
    body = entries.answer_of(plain["body"]["string"])
    return (allowed(plain["headers"], RESPONSE_HEADERS), body) if body else None


def entry_of(request: VcrRequest, headers: dict[str, str], body: dict[str, Any]) -> Entry:
    """Build what the file has of a call."""
    return {
        "request": {
            "method": request.method,
            "server": entries.server_of(urlsplit(request.uri).hostname or ""),
            "path": entries.api_path(request.path),
            "headers": allowed(request.headers, REQUEST_HEADERS),
            "body": json.loads(request.body),
        },
        "response": {"status": 200, "headers": headers, "body": body},
    }


def response_of(headers: dict[str, str], body: dict[str, Any]) -> dict[str, Any]:
    """Build an answer in vcrpy's form; only those with status 200 are ever kept."""
    return {
        "status": {"code": 200, "message": "OK"},
        "headers": {name: [value] for name, value in headers.items()},
        "body": {"string": json.dumps(body).encode()},
    }


def export(path: Path, target: Path, base_url: str) -> int:
    """Write a recording as vcrpy's own YAML, for tools that read that; return the number of calls."""
    if not path.exists():
        raise RecordingError(f"{path}: there is no such file")
    calls = [json.loads(one) for one in cassette_file.read(path).calls.values()]
    requests = [
        VcrRequest(
            asked["method"], base_url + asked["path"], json.dumps(asked["body"]).encode(), asked["headers"]
        )
        for asked in (entry["request"] for entry in calls)
    ]
    answers = (entry["response"] for entry in calls)
    responses = [response_of(answered["headers"], answered["body"]) for answered in answers]
    both = {"requests": requests, "responses": responses}
    FilesystemPersister.save_cassette(str(target), both, yamlserializer)
    return len(calls)
