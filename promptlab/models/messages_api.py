"""A request as the Messages API takes it, and a reply as it gives it."""

import json
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from promptlab.errors import ModelError, shorten
from promptlab.models import catalog
from promptlab.records import REJECTED, Model, Reply, Request

PATH = "/v1/messages"
REPEAT = "promptlab-repeat"  # the header that tells a repeated request from the first; no model sees it
#: The header of a request whose refusal is its answer, and of a recorded one.
KEPT_REFUSAL = "promptlab-refusal"
REFUSED, TOO_LARGE = 400, 413  # statuses of a request that the API does not take

SECONDS = "promptlab-seconds"  # the header of a recorded answer that says how long the call took

UNMATCHED = ("cache_control", "stream")  # fields of a body: how an answer is sent, not what it says

OWN = ("model", "max_tokens", "messages", "system", "stream")  # fields of a body that are not the user's
COUNTED = ("input_tokens", "output_tokens")  # in an answer's usage
CACHED = ("cache_creation_input_tokens", "cache_read_input_tokens")  # likewise, where there is a cache


def url_of(model: Model) -> str:
    """Return the address of a model's server; by default it is the SDK's own. Never shown, see `shown_url`.

    ModelError for one with a query: each call has its own path, so it would be lost, and it may be a secret.
    """
    url = model.base_url or os.environ.get("ANTHROPIC_BASE_URL") or "https://api.anthropic.com"
    parts = urlsplit(url)
    if parts.query or parts.fragment or parts.scheme not in ("http", "https") or not parts.hostname:
        why = "expected http(s)://host[:port][/path], without a query"
        raise ModelError(f"base_url of {model.name}: {shown_url(model)}: {why}")
    return url


def shown_url(model: Model) -> str:
    """Return the address of a model's server for people: user, password, path and query may be secret."""
    parts = urlsplit(model.base_url or os.environ.get("ANTHROPIC_BASE_URL") or "https://api.anthropic.com")
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{'/...' if parts.path.strip('/') else ''}"


def arguments(request: Request) -> dict[str, Any]:
    """Write a request as arguments of the SDK's messages.create; ModelError where that cannot be done.

    The last block that a shared request has in common with others is marked for the API's cache.
    """
    model = request.model
    if model.structured is True:
        raise ModelError(
            f"structured of {model.name} is True, which only a task can fill in: give task.schema"
        )
    if own := [name for name in model.extra_body if name in OWN]:
        raise ModelError(f"extra_body of {model.name} sets {', '.join(own)}, which promptlab sets itself")
    of = catalog.known(model)
    body: dict[str, Any] = {
        "model": model.name,
        "max_tokens": model.max_tokens,
        "messages": [{"role": role, "content": text} for role, text in request.messages],
    }
    if request.system:
        body["system"] = request.system
    if request.shared and of and of.caches:
        _mark(body, request.last_turn)
    form = {"format": {"type": "json_schema", "schema": model.structured}} if model.structured else {}
    effort = {"effort": model.effort} if model.effort is not None else {}
    if form or effort:
        body["output_config"] = form | effort
    if model.thinking is not None:
        body["thinking"] = dict(model.thinking)
    if model.extra_body:
        body["extra_body"] = dict(model.extra_body)
    return body


def refuse(request: Request) -> None:
    """Refuse a request that the model would reject, with the way out; ModelError.

    It is for calls that are about to be made: what is recorded is replayed whatever the table says by now.
    """
    model, of = request.model, catalog.known(request.model)
    if why := catalog.objection(model):
        raise ModelError(why)
    if request.messages[-1][0] == "assistant" and of and not of.prefill:
        raise ModelError(
            f"{model.name} does not support prefill, but the prompt has {request.messages[-1][1]!r}: "
            f"empty reply_prefix.md and ask for that beginning in suffix.md"
        )


def _mark(body: dict[str, Any], last: int) -> None:
    """Mark the end of what requests share: the turn before the last of the user, else the system prompt."""
    holder, name = (body["messages"][last - 1], "content") if last else (body, "system")
    if holder.get(name, "").strip():  # the API takes no empty block
        holder[name] = [{"type": "text", "text": holder[name], "cache_control": {"type": "ephemeral"}}]


def plain(value: Any) -> Any:
    """Write (part of) a body without what is not matched: marks, and the blocks that they need."""
    if isinstance(value, Mapping):
        value = {name: plain(item) for name, item in value.items() if name not in UNMATCHED}
        for name in ("system", "content"):
            match value.get(name):
                case [{"type": "text", "text": str(text), **more}] if not more:
                    value[name] = text
        return value
    return [plain(item) for item in value] if isinstance(value, list) else value


def body_of(request: Request) -> dict[str, Any]:
    """Return the body that the SDK sends for a request, as it is recorded."""
    body = arguments(request)
    more: dict[str, Any] = body.pop("extra_body", {})
    return body | more


def settings_in(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a request's body says of the model: its name and settings."""
    return {name: value for name, value in body.items() if name not in ("system", "messages", *UNMATCHED)}


def model_with(settings: Mapping[str, Any]) -> Model:
    """Return the model that a request's body names; `extra_body` has what is no field of a Model."""
    rest = dict(settings)
    name, most, thinking = rest.pop("model"), rest.pop("max_tokens"), rest.pop("thinking", None)
    config = dict(rest.pop("output_config", {}))
    effort, form = config.pop("effort", None), config.pop("format", {})
    rest |= {"output_config": config} if config else {}
    schema = form.get("schema", False)
    return Model(name, max_tokens=most, effort=effort, thinking=thinking, extra_body=rest, structured=schema)


def message_in(body: bytes) -> dict[str, Any]:
    """Read the body of an answer; ValueError, with the reason, where it is no message."""
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError(f"expected JSON, found {shorten(body[:60])}") from None
    return checked(message)


def checked(message: Any) -> dict[str, Any]:
    """Return a message as it is; ValueError, with the reason, where it is none."""
    if not isinstance(message, dict):
        raise ValueError(f"expected a message, found {shorten(message)}")
    blocks, usage = message.get("content"), message.get("usage")
    if not isinstance(blocks, list) or not all(isinstance(one, dict) and "type" in one for one in blocks):
        raise ValueError(f"content is {shorten(blocks)}, expected blocks")
    for one in blocks:
        if one["type"] == "text" and not isinstance(one.get("text"), str):
            raise ValueError(f"the text of a block is {shorten(one.get('text'))}, expected a string")
    counts = [usage.get(name) if isinstance(usage, dict) else None for name in COUNTED]
    cached = [usage.get(name) or 0 if isinstance(usage, dict) else 0 for name in CACHED]
    if not all(isinstance(count, int) for count in (*counts, *cached)):
        raise ValueError(f"usage is {shorten(usage)}, expected {' and '.join(COUNTED)}")
    if not isinstance(message.get("model"), str):
        raise ValueError(f"model is {shorten(message.get('model'))}, expected a name")
    if not isinstance(message.get("stop_reason") or "", str):
        raise ValueError(f"stop_reason is {shorten(message['stop_reason'])}, expected a string")
    return message


def reply_in(message: Mapping[str, Any]) -> Reply:
    """Read a message, as the API sends it or as it is recorded; blocks are distinguished by type."""
    usage, blocks = message["usage"], message["content"]
    written, read = (usage.get(name) or 0 for name in CACHED)
    return Reply(
        text="".join(block["text"] for block in blocks if block["type"] == "text"),
        stop_reason=message.get("stop_reason") or "",
        blocks=tuple(block["type"] for block in blocks),
        model=message["model"],
        input_tokens=usage["input_tokens"] + written + read,
        output_tokens=usage["output_tokens"],
        cache_write_tokens=written,
        cache_read_tokens=read,
    )


def is_refusal(status: int, body: bytes) -> bool:
    """Say whether the API does not take a request for what it is; no money left is another matter."""
    return status in (REFUSED, TOO_LARGE) and not catalog.SPENT.search(body.decode(errors="replace"))


def refusal_in(status: int, body: bytes) -> dict[str, str]:
    """Return the type and message of a refusal; of one that is not the API's own, its first 300 bytes."""
    try:
        error = json.loads(body)["error"]
        return {"type": str(error["type"]), "message": str(error["message"])}
    except (ValueError, KeyError, TypeError):
        return {"type": f"status {status}", "message": body[:300].decode(errors="replace")}


def refused(model: str, message: str) -> Reply:
    """Return the reply that the refusal of an example is."""
    return Reply(message, REJECTED, (), model, 0, 0)
