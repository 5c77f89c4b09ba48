"""What is known of the API and its models, as of November 2026, from its documentation; in one table.

Requests are built from it alone, so that a live session and its replay ask the same.
"""

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from promptlab.records import Model, Price

AS_OF = "November 2026"

#: How the API says, with status 400 or 429, that no money is left: no prompt and no waiting helps.
SPENT = re.compile(
    r"enforced_spend_limit_reached|billing_error|usage limits|spend(?:ing)? limit|credit balance",
    re.IGNORECASE,
)

BATCHED = 0.5  # of each price, those of cached tokens included, in Message Batches
CHARACTERS = 3.0  # of English a token, with the tokenizer of the newer models: fewer than with the older
REPLY = {"classifier": 120, "critic": 2500}  # tokens of a reply, thinking included, where none is recorded


@dataclass(frozen=True)
class Known:
    """What a model takes, and what it costs.

    Attributes:
        price: None where it is not known.
        prefill: whether it takes the start of its reply.
        thinking: the types of `thinking` that it takes.
        disabled_up_to: the highest effort with which thinking can be disabled.
        structured: whether it takes structured outputs.
        caches: whether marking the beginning of a request makes the next ones cheaper.
    """

    price: Price | None
    prefill: bool = False
    thinking: tuple[str, ...] = ("adaptive", "disabled")
    structured: bool = True
    caches: bool = True


OLDER = ("enabled", "disabled")
#: By the beginning of the name, the longest that fits. No model takes temperature, top_p or top_k any more.
MODELS = {
    "claude-haiku-5-5": Known(
        Price(0.10, 0.50, 0.125, 0.01, long_from=100_000, long=Price(0.50, 2.50, 0.625, 0.05))
    ),
    "claude-sonnet-5-5": Known(Price(2, 10, 2.50, 0.10), thinking=("adaptive", "between_tools")),
    "claude-opus-5-5": Known(Price(4, 20, 5, 0.20), thinking=("adaptive",)),
    "claude-fable-5-1": Known(Price(10, 50, 12.50, 0.25), thinking=("adaptive",)),
    "claude-haiku-4-5": Known(Price(1, 5, 1.25, 0.10), prefill=True, thinking=OLDER),
    "claude-sonnet-4-5": Known(None, prefill=True, thinking=OLDER),
    "claude-opus-4-5": Known(None, prefill=True, thinking=OLDER),
    "claude-opus-4-1": Known(None, prefill=True, thinking=OLDER, structured=False),
    "claude-": Known(None, thinking=(*OLDER, "adaptive", "between_tools")),  # any other, newer or older
}
SAMPLING = ("temperature", "top_p", "top_k")


def known(model: Model) -> Known | None:
    """Return what is known of a model; None for one of another maker, which may take anything."""
    return MODELS.get(_family(model.name))


@functools.cache
def _family(model: str) -> str:
    return max((name for name in MODELS if model.startswith(name)), key=len, default="")


def price(model: Model) -> Price | None:
    """Return a model's own price, else that of the table; None where it is not known."""
    of = known(model)
    return model.price or (of.price if of else None)


def batched(model: Model) -> Model:
    """Return a model with the prices that it has in Message Batches."""
    of = price(model)
    return replace(model, price=of and _times(of, BATCHED))


def _times(of: Price, factor: float) -> Price:
    each = (of.cache_write, of.cache_read)
    write, read = (None if one is None else one * factor for one in each)
    long = of.long and _times(of.long, factor)
    return Price(of.input * factor, of.output * factor, write, read, of.long_from, long)


def objection(model: Model) -> str:
    """Say which of its settings the model rejects, and what to do; "" where it takes them all."""
    of = known(model)
    if of is None:
        return ""
    sampling = [name for name in SAMPLING if name in model.extra_body]
    if sampling:
        return f"{model.name} takes no {', '.join(sampling)}: take it out of extra_body; its answers vary"
    kind = (model.thinking or {}).get("type")
    if kind and kind not in of.thinking:
        return (
            f"{model.name} takes no thinking of type {kind!r}, only {' and '.join(of.thinking)}: "
            f"leave thinking out, and set effort instead"
        )
    if kind == "disabled" and model.effort in ("xhigh", "max"):
        return (
            f"{model.name} thinks at effort {model.effort!r}: set it to high or less, or leave thinking out"
        )
    if model.structured and not of.structured:
        return (
            f"{model.name} takes no structured outputs: leave structured out, "
            f"and ask for the form in the prompt"
        )
    return ""


def outdated(model: Model, info: Mapping[str, Any]) -> Iterator[str]:
    """Yield where the API's own description of a model differs from the table, or says that it retires."""
    of, capabilities = known(model), info.get("capabilities") or {}
    if of is None:
        return
    if info.get("lifecycle", "active") != "active":
        when = f" and retires on {info['retires_at'][:10]}" if info.get("retires_at") else ""
        yield f"{model.name} is {info['lifecycle']}{when}: lab.migrate compares it with its successor"
    types = capabilities.get("thinking", {}).get("types", {})
    taken = {name for name, one in types.items() if one["supported"]}
    structured = capabilities.get("structured_outputs", {}).get("supported", of.structured)
    if (types and taken != {*of.thinking}) or structured != of.structured:
        yield (
            f"what {model.name} takes has changed since {AS_OF} (thinking: {', '.join(sorted(taken))}; "
            f"structured outputs: {'yes' if structured else 'no'}): pip install -U pytest-promptlab"
        )
