"""How a request is spelled for the Messages API, and what is read from its answer."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from promptlab.errors import ModelError
from promptlab.records import Model, Reply, Request

if TYPE_CHECKING:
    import anthropic


#: Claude models that accept the start of their reply; newer ones answer it with status 400.
TAKES_REPLY_PREFIX = ("claude-haiku-4-5", "claude-sonnet-4-5", "claude-opus-4-5", "claude-opus-4-1")


def url_of(model: Model | str) -> str:
    """Return the address that is asked for a model; by name alone it is the SDK's own."""
    own = model.base_url if isinstance(model, Model) else None
    return own or os.environ.get("ANTHROPIC_BASE_URL") or "https://api.anthropic.com"


def arguments(request: Request) -> dict[str, Any]:
    """Spell a request out as arguments of the SDK's messages.create.

    Raises:
        ModelError: for a reply prefix that this model is known to refuse.
    """
    model = request.model
    if request.messages[-1][0] == "assistant" and _refuses_reply_prefix(model.name):
        raise ModelError(
            f"{model.name} takes no reply prefix, the prompt has {request.messages[-1][1]!r}: "
            f"empty reply_prefix.md and ask for that start in suffix.md"
        )
    body: dict[str, Any] = {
        "model": model.name,
        "max_tokens": model.max_tokens,
        "messages": [{"role": role, "content": text} for role, text in request.messages],
    }
    if request.system:
        body["system"] = request.system
    if model.effort is not None:
        body["output_config"] = {"effort": model.effort}
    if model.thinking is not None:
        body["thinking"] = dict(model.thinking)
    if model.extra_body:
        body["extra_body"] = dict(model.extra_body)
    return body


def body_of(request: Request) -> dict[str, Any]:
    """Return the body that the SDK sends for a request, as it is recorded."""
    body = arguments(request)
    more: dict[str, Any] = body.pop("extra_body", {})
    return body | more


def reply_of(message: anthropic.types.Message) -> Reply:
    """Take from the SDK's message what promptlab uses; blocks are told apart by type."""
    usage = message.usage
    cached = (usage.cache_creation_input_tokens or 0) + (usage.cache_read_input_tokens or 0)
    return Reply(
        text="".join(block.text for block in message.content if block.type == "text"),
        stop_reason=message.stop_reason or "",
        blocks=tuple(block.type for block in message.content),
        model=message.model,
        input_tokens=usage.input_tokens + cached,
        output_tokens=usage.output_tokens,
    )


def reply_in(body: Mapping[str, Any]) -> Reply:
    """Take the same from an answer as it is recorded."""
    usage = body["usage"]
    kinds = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    return Reply(
        text="".join(block["text"] for block in body["content"] if block["type"] == "text"),
        stop_reason=body.get("stop_reason") or "",
        blocks=tuple(block["type"] for block in body["content"]),
        model=body["model"],
        input_tokens=sum(usage.get(kind) or 0 for kind in kinds),
        output_tokens=usage["output_tokens"],
    )


def _refuses_reply_prefix(name: str) -> bool:
    return name.startswith("claude-") and not name.startswith(TAKES_REPLY_PREFIX)
