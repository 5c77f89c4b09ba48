"""Results without what customers wrote and what was answered: `publish_texts = false` publishes ids alone."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar, cast

from promptlab.gate.answers import Change
from promptlab.gate.base import Pair
from promptlab.gate.decide import Decision
from promptlab.models.prompts import DEMONSTRATIONS, files_of
from promptlab.optimizer.history import Claim, Critique, Refused, Run
from promptlab.records import Example, Prediction, Prompt, Reply
from promptlab.scoring.evaluation import Evaluation

T = TypeVar("T")

#: What may hold a customer's text, or quote one. A prompt is kept, see `shown_files`.
TEXTS: dict[type, tuple[str, ...]] = {
    Example: ("text", "note", "label"),
    Reply: ("text",),
    Prediction: ("label",),
    Change: ("text", "main", "here"),
    Pair: ("unreadable",),
    Claim: ("why",),
    Critique: ("text", "discarded"),
    Refused: ("why",),
}


def withheld(result: T, labels: Collection[str]) -> T:
    """Return a copy of anything that holds examples and replies, in which numbers stand for texts.

    The same text has the same number, so that what was equal still is. A label or an answer is kept where it
    is one of `labels`: of a graded task, none is.
    """
    done: T = _copy(result, labels, {})
    return done


def labels_of(result: Run | Evaluation | Decision) -> tuple[str, ...]:
    """Return the labels that `withheld` keeps; of a decision, those of the branch's task and of main's."""
    if isinstance(result, Decision):
        main = result.pair.main.base.labels if result.pair.main else ()
        return (*result.pair.whole.labels, *main)
    return (result.test if isinstance(result, Run) else result).labels


def _copy(value: Any, labels: Collection[str], numbers: dict[str, str]) -> Any:
    if isinstance(value, Prompt | type):
        return value
    if not is_dataclass(value) and not hasattr(value, "_fields"):
        return tuple(_copy(one, labels, numbers) for one in value) if isinstance(value, tuple) else value
    names = [one.name for one in fields(value) if one.init] if is_dataclass(value) else value._fields
    copied = {name: _copy(getattr(value, name), labels, numbers) for name in names}
    for name in TEXTS.get(type(value), ()):
        copied[name] = _numbered(getattr(value, name), () if name == "text" else labels, numbers)
    return replace(cast("Any", value), **copied) if is_dataclass(value) else type(value)(**copied)


def _numbered(said: Any, kept: Collection[str], numbers: dict[str, str]) -> Any:
    if isinstance(said, tuple):
        return tuple(_numbered(one, kept, numbers) for one in said)
    return (
        numbers.setdefault(repr(said), f"(withheld {len(numbers) + 1})")
        if said and said not in kept
        else said
    )


def shown_files(prompt: Prompt, *, texts: bool) -> dict[str, str]:
    """Return the texts of a prompt's files; without `texts`, of demonstrations their number alone."""
    files = files_of(prompt)
    if DEMONSTRATIONS in files and not texts:
        files[DEMONSTRATIONS] = f"{len(prompt.demonstrations)} demonstrations, withheld"
    return files
