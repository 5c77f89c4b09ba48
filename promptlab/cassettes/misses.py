"""How calls that are not recorded differ from those that are: in settings, files of the prompt, rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from promptlab.cassettes.format import Entry, Recording, message_key
from promptlab.errors import bare, shorten
from promptlab.models import prompts
from promptlab.models.messages_api import body_of, plain, settings_in
from promptlab.records import Example, Model, Prompt, Request

SHOWN = 3  # rows that are named
SEARCHED = 200  # recorded calls whose text is searched for among the examples

Parts = Mapping[str, Any]  # of a prompt, by the name of their file; and the settings of the model


def of_prompt(
    prompt: Prompt, model: Model, recording: Recording, examples: Sequence[Example]
) -> Iterator[str]:
    """Yield what of a model and a prompt differs from the recorded call that is most like them.

    `examples` tell where the text begins in a recorded turn. Nothing is yielded where both are recorded.
    """
    texts = sorted({one.text for one in examples if one.text}, key=len, reverse=True)
    body = plain(body_of(prompts.build(prompt, texts[0], model)))
    mine = _parts(body, prompt, texts)
    found = [_parts(one, prompt, texts) for one in _sample(recording.calls)]
    nearest = max(found, key=lambda one: _alike(mine, one), default=None)
    if nearest is None:
        return
    yield from _settings(nearest["settings"], mine["settings"])
    for name in prompts.FILES:
        if nearest[name] != mine[name]:
            became = "changed" if nearest[name] else "is new"
            yield f"{name} {became if mine[name] else 'is gone'}"


def of_model(model: Model, recording: Recording) -> Iterator[str]:
    """Yield what of a model's settings no recorded call has; nothing where one has all of them."""
    mine = settings_in(plain(body_of(prompts.build(Prompt(), "", model))))
    found = [settings_in(one["request"]["body"]) for one in recording.calls.values()]
    nearest = max(found, key=lambda one: _common(mine, one), default=mine)
    yield from _settings(nearest, mine)


def of_texts(missing: Iterable[tuple[Example, Request]], recording: Recording) -> Iterator[str]:
    """Yield the rows that are new or changed, and how many answers are lacking about others."""
    new, again = dict[str, None](), 0
    for example, request in missing:
        first = Request(request.model, request.system, request.messages)
        if request.repeat and message_key(first) in recording.calls:
            again += 1
        else:
            new[str(example.source or bare(example.id))] = None
    if new:
        rest = f" and {len(new) - SHOWN} more rows" if len(new) > SHOWN else ""
        verb = "are new or changed" if len(new) > 1 else "is new or changed"
        yield f"{'; '.join([*new][:SHOWN])}{rest} {verb}"
    if again:
        yield f"{again} further answers to what is asked several times are lacking"


def _sample(calls: Mapping[str, Entry]) -> list[dict[str, Any]]:
    """Return the bodies of recorded calls, of each beginning and settings a few."""
    found: dict[str, list[dict[str, Any]]] = {}
    for entry in calls.values():
        body = entry["request"]["body"]
        some = found.setdefault(repr((settings_in(body), body.get("system"), body["messages"][:-1])), [])
        some += [body] if len(some) < SHOWN else []
    return [body for some in found.values() for body in some][:SEARCHED]


def _parts(body: Mapping[str, Any], prompt: Prompt, texts: Sequence[str]) -> dict[str, Any]:
    """Take a body apart into the files of a prompt's folder."""
    turns = [(turn["role"], str(turn["content"])) for turn in body["messages"]]
    reply = turns.pop()[1] if turns[-1][0] == "assistant" else ""
    prefix, suffix = _around(turns.pop()[1], prompt, texts)
    shown = [
        text.removeprefix(prefix).removesuffix(suffix) if role == "user" else text for role, text in turns
    ]
    return dict(zip(prompts.FILES, (body.get("system", ""), prefix, suffix, reply, shown), strict=True)) | {
        "settings": settings_in(body)
    }


def _around(turn: str, prompt: Prompt, texts: Sequence[str]) -> tuple[str, str]:
    """Return what a recorded turn has before and after the text: the longest known one that it holds."""
    own = turn.startswith(prompt.prefix) and turn.endswith(prompt.suffix)
    if own and turn[len(prompt.prefix) : len(turn) - len(prompt.suffix)] in texts:
        return prompt.prefix, prompt.suffix
    text = next((one for one in texts if one in turn), None)
    if text is None:  # it is about a text that is gone
        return (prompt.prefix, prompt.suffix) if own else ("", "")
    before, _, after = turn.partition(text)
    return before, after


def _alike(mine: Parts, other: Parts) -> tuple[int, int]:
    return sum(mine[name] == other[name] for name in mine), _common(mine["settings"], other["settings"])


def _common(mine: Mapping[str, object], other: Mapping[str, object]) -> int:
    return sum(mine[name] == other.get(name) for name in mine) + 2 * (mine["model"] == other["model"])


def _settings(old: Mapping[str, object], new: Mapping[str, object]) -> Iterator[str]:
    for name in [*old, *(name for name in new if name not in old)]:
        if old.get(name) != new.get(name):
            yield f"{name} {_value(old, name)} -> {_value(new, name)}"


def _value(settings: Mapping[str, object], name: str) -> str:
    value = settings.get(name)
    return "none" if name not in settings else bare(value) if isinstance(value, str) else shorten(value)
