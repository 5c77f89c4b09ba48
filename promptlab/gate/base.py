"""What is recorded of a prompt in the working tree and of the one of a base commit, about the same examples."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TypeVar

from promptlab.cassettes import archive
from promptlab.cassettes import format as cassette_file
from promptlab.cassettes.entries import key_of
from promptlab.cassettes.format import Recording
from promptlab.data.task import Task
from promptlab.errors import PromptlabError
from promptlab.gate import changes
from promptlab.gate.git import SHORT, Commit
from promptlab.models import messages_api as wire
from promptlab.models import profiles, prompts
from promptlab.models.profiles import Profile
from promptlab.records import Example, Model, Prediction, Prompt
from promptlab.scoring.evaluation import Evaluation
from promptlab.scoring.metrics import evaluation, predict

T = TypeVar("T")
UNREADABLE = "of the base could not be read"  # begins a note that is no change


@dataclass(frozen=True)
class Place:
    """Where an evaluation and its prompt live.

    Attributes:
        root: the project's folder.
        folder: the prompt's.
        cassette: the recording.
        profile: the profile in use.
        classifier: the one that a test names itself; None for the profile's.
        record_with: the command that records what is missing.
        test: the id of the test that asked first.
    """

    root: Path
    folder: Path
    cassette: Path
    profile: Profile
    classifier: Model | None
    record_with: str
    test: str


@dataclass(frozen=True)
class Pair:
    """What two prompts answered about the same examples, and what else is to be known.

    Attributes:
        base: the base's answers, read and scored as the head's task says; None where there are none.
        new: the head's answers about the same examples; None where `base` is.
        whole: all answers of the head.
        alone: ids of the examples that are not recorded on both sides, in order.
        same: whether both ask the same model with the same prompt.
        known: whether the base has the prompt at all.
        renamed: whether it has none in this folder, but recorded another under this name.
        notes: what else differs between base and head, a sentence each.
        folder: the prompt's folder, as the repository has it.
        against: the base, as people read it.
        provenance: who answered, for the base and for the head.
    """

    title: str
    place: Place
    base: Evaluation | None
    new: Evaluation | None
    whole: Evaluation
    alone: tuple[str, ...]
    same: bool
    known: bool
    renamed: bool
    notes: tuple[str, ...]
    folder: str
    against: str
    provenance: tuple[Mapping[str, object], Mapping[str, object]]


def pair(task: Task, result: Evaluation, title: str, place: Place, base: Commit) -> Pair:
    """Find what the base's prompt answered about the examples of an evaluation.

    Both sides are read and scored by the task as it is now. An example counts as recorded for the base
    if its commit holds the answer, or if the head's recording holds it beside its own.
    """
    examples = [row.example for row in result.rows]
    prompt, classifier, old, notes = _side(place, base)
    mine = cassette_file.read(place.cassette)
    moved = prompt is None and bool(recorded(task, result.prompt, classifier, examples, old.calls))
    prompt = result.prompt if moved else prompt  # the base asked the same, from another folder
    same = prompt == result.prompt and _served(classifier) == _served(result.classifier)
    rows = recorded(task, prompt, classifier, examples, old.calls) if prompt else {}
    if prompt and not same:
        rest = [one for one in examples if one.id not in rows]
        rows |= recorded(task, prompt, classifier, rest, mine.calls)
    both = [row for row in result.rows if row.example.id in rows]
    sides = [rows[row.example.id] for row in both]
    clear = recorded(task, prompt, classifier, task.canonical, old.calls) if prompt else {}
    whole = tuple(clear.values()) if len(clear) == len(task.canonical) else ()
    scored = functools.partial(evaluation, task, result.split)
    return Pair(
        title=title,
        place=place,
        base=replace(scored(prompt, sides, classifier), clear_cut=whole) if prompt and both else None,
        new=replace(scored(result.prompt, both, result.classifier), clear_cut=result.clear_cut)
        if both
        else None,
        whole=result,
        alone=tuple(one.id for one in examples if prompt and one.id not in rows),
        same=same,
        known=prompt is not None,
        renamed=prompt is None and bool(old.calls),
        notes=(*notes, *_asks(classifier, result.classifier), *changes.data(task, base), *changes.code(base)),
        folder=base.inside(place.folder),
        against=f"{base.name} ({base.id[:SHORT]})",
        provenance=(old.header, mine.header),
    )


def missing(
    task: Task, place: Place, base: Commit, split: str
) -> tuple[Prompt | None, Model, tuple[Example, ...]]:
    """Return the base's prompt and model, and the examples that its commit holds no answer for."""
    prompt, classifier, old, _ = _side(place, base)
    if prompt is None:
        return None, classifier, ()
    found = recorded(task, prompt, classifier, task.split(split), old.calls)
    return prompt, classifier, tuple(one for one in task.split(split) if one.id not in found)


def recorded(
    task: Task, prompt: Prompt, model: Model, examples: Sequence[Example], calls: Mapping[str, str]
) -> dict[str, Prediction]:
    """Read recorded answers about examples, by the example's id; what is not recorded is left out."""
    found = {}
    for example in examples:
        body = wire.body_of(prompts.request(prompt, example.text, model))
        if one := calls.get(key_of("POST", "/v1/messages", body)):
            reply = wire.reply_in(json.loads(one)["response"]["body"])
            found[example.id] = predict(task, example, reply, prompt.reply_prefix)
    return found


def _side(place: Place, base: Commit) -> tuple[Prompt | None, Model, Recording, list[str]]:
    """Return the base's prompt, model and recording, and what of it cannot be read."""
    notes: list[str] = []
    profile = _or_else(lambda: _profile(place, base), place.profile, notes)
    folder = base.take(place.folder)
    prompt = _or_else(lambda: prompts.load_prompt(folder), None, notes) if folder.is_dir() else None
    cassette = place.root / "cassettes" / profile.name / place.cassette.parent.name / place.cassette.name
    recording = _or_else(lambda: cassette_file.read(base.take(cassette)), Recording(), notes)
    if not recording.calls:  # recorded under another name, perhaps
        for path in archive.recordings(base.take(place.root / "cassettes" / profile.name)):
            recording.calls |= _or_else(functools.partial(cassette_file.read, path), Recording(), notes).calls
    notes = [note.replace(f"{base.copies}/", f"{base.name}:") for note in notes]
    return prompt, place.classifier or profile.classifier, recording, notes


def _profile(place: Place, base: Commit) -> Profile:
    """Return the profile as the base has it; where it has none of that name, the one that it replays."""
    pyproject = base.take(place.root / "pyproject.toml")
    try:
        return profiles.read(pyproject, live=False, name=place.profile.name)
    except PromptlabError:
        return profiles.read(pyproject, live=False)


def _or_else(read: Callable[[], T], default: T, notes: list[str]) -> T:
    try:
        return read()
    except PromptlabError as error:
        notes.append(f"{UNREADABLE}: {error}")
        return default


def _served(model: Model | None) -> Model | None:
    """Return a model without its address: who serves it plays no part."""
    return model and replace(model, base_url=None)


def _asks(old: Model, new: Model | None) -> list[str]:
    if new is None or _served(old) == _served(new):
        return []
    names = [one.name for one in fields(Model) if one.name != "base_url"]
    told = ((name, getattr(old, name), getattr(new, name)) for name in names)
    return [f"classifier: {name} {a!r} -> {b!r}" for name, a, b in told if a != b]
