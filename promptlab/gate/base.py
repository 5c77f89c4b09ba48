"""The prompts of a base commit and of the working tree: their answers to the same examples."""

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TypeVar

from promptlab.cassettes import format as files
from promptlab.cassettes.format import Entry, Recording
from promptlab.data.task import Task
from promptlab.errors import PromptlabError
from promptlab.gate import changes
from promptlab.gate.git import SHORT, Commit
from promptlab.models import profiles, prompts
from promptlab.models.messages_api import reply_in
from promptlab.models.profiles import Profile
from promptlab.records import Example, Model, Prediction, Prompt
from promptlab.scoring.evaluation import Evaluation, by_example, evaluation_of, predict

T = TypeVar("T")


@dataclass(frozen=True)
class Place:
    """Where an evaluation and its prompt live."""

    root: Path  # the project's folder
    folder: Path  # the prompt's
    cassette: Path
    profile: Profile
    classifier: Model | None  # the one that a test names itself; None for the profile's
    record_with: str  # the command that records what is missing
    test: str  # the id of the test that asked first


@dataclass(frozen=True)
class Pair:
    """The answers of two prompts to the same examples, and what else differs between them."""

    title: str
    place: Place
    base: Evaluation | None  # read and scored by the task as it is now; None where there are no answers
    new: Evaluation | None  # the working tree's answers to the same examples; None where `base` is
    whole: Evaluation  # all answers of the working tree
    alone: tuple[str, ...]  # ids of the examples that are not recorded on both sides, in order
    same: bool  # both ask the same model with the same prompt
    known: bool  # the base has the prompt at all
    renamed: bool  # it has none in this folder, but recorded another under this name
    changes: tuple[str, ...]  # what else differs from the base, a sentence each
    unreadable: tuple[str, ...]  # what of the base could not be read, a sentence each
    folder: str  # the prompt's, relative to the repository
    against: str  # the base, as people read it
    provenance: tuple[Mapping[str, object], Mapping[str, object]]  # who answered: base, working tree
    anchor: bool = False  # the base is a fixed release


@dataclass
class _Base:
    """What the base commit has; `unreadable` names what could not be read."""

    prompt: Prompt | None
    classifier: Model
    recording: Recording
    unreadable: list[str]


def pair(
    task: Task, result: Evaluation, title: str, place: Place, commit: Commit, *, anchor: bool = False
) -> Pair:
    """Find the recorded answers of the base, or of a fixed release, to the examples of an evaluation.

    Both sides are read and scored by the task as it is now. An example counts as recorded for the base
    if its commit holds the answer, or if the working tree's recording holds it beside its own.
    """
    asked = by_example(result.rows)
    examples = [rows[0].example for rows in asked.values()]
    base = _read(place, commit)
    prompt, classifier, old = base.prompt, base.classifier, base.recording
    mine = files.read(place.cassette)
    moved = prompt is None and bool(recorded(task, result.asked_with, classifier, examples, old.calls))
    prompt = result.prompt if moved else prompt  # the base asked the same, from another folder
    same = prompt == result.prompt and _served(classifier) == _served(result.classifier)
    rows = recorded(task, prompt, classifier, examples, old.calls) if prompt else {}
    if prompt and not same:
        rest = [one for one in examples if one.id not in rows]
        rows |= recorded(task, prompt, classifier, rest, mine.calls)
    both = [row for row in result.rows if row.example.id in rows]
    repeats = min(map(len, rows.values()), default=0)  # of each example as many answers
    sides = [row for name in asked if name in rows for row in rows[name][:repeats]]
    canonical = recorded(task, prompt, classifier, task.canonical, old.calls) if prompt else {}
    whole = tuple(row for some in canonical.values() for row in some)
    scored = functools.partial(evaluation_of, task, result.split)
    return Pair(
        title=title,
        place=place,
        base=replace(scored(prompt, sides, classifier), canonical_rows=whole) if prompt and both else None,
        new=replace(scored(result.prompt, both, result.classifier), canonical_rows=result.canonical_rows)
        if both
        else None,
        whole=result,
        alone=tuple(one.id for one in examples if prompt and one.id not in rows),
        same=same,
        known=prompt is not None,
        renamed=prompt is None and bool(old.calls),
        changes=(
            *_model_changes(classifier, result.classifier),
            *changes.data(task, commit),
            *changes.code(commit),
        ),
        unreadable=tuple(base.unreadable),
        folder=commit.inside(place.folder),
        against=f"{commit.name} ({commit.id[:SHORT]})",
        provenance=(old.header, mine.header),
        anchor=anchor,
    )


def unrecorded(
    task: Task, place: Place, commit: Commit, split: str
) -> tuple[Prompt | None, Model, tuple[Example, ...]]:
    """Return the base's prompt and model, and the examples that its commit holds no answer for."""
    base = _read(place, commit)
    if base.prompt is None:
        return None, base.classifier, ()
    found = recorded(task, base.prompt, base.classifier, task.split(split), base.recording.calls)
    return base.prompt, base.classifier, tuple(one for one in task.split(split) if one.id not in found)


def recorded(
    task: Task, prompt: Prompt, model: Model, examples: Sequence[Example], calls: Mapping[str, Entry]
) -> dict[str, tuple[Prediction, ...]]:
    """Read all recorded answers about examples, by the example's id; what is not recorded is left out."""
    found: dict[str, tuple[Prediction, ...]] = {}
    for example in examples:
        for repeat in itertools.count():
            entry = calls.get(files.message_key(prompts.build(prompt, example.text, model, repeat)))
            if entry is None:
                break
            reply = reply_in(entry["response"]["body"])
            row = predict(task, example, reply, prompt, repeat)
            found[example.id] = (*found.get(example.id, ()), row)
    return found


def _read(place: Place, commit: Commit) -> _Base:
    """Read the base's prompt, model and recording."""
    unreadable: list[str] = []
    profile = _or_else(lambda: _profile(place, commit), place.profile, unreadable)
    folder = commit.extract(place.folder)
    prompt = _or_else(lambda: prompts.load_prompt(folder), None, unreadable) if folder.is_dir() else None
    cassette = place.root / "cassettes" / profile.name / place.cassette.parent.name / place.cassette.name
    recording = _or_else(lambda: files.read(commit.extract(cassette)), Recording(), unreadable)
    if not recording.calls:  # recorded under another name, perhaps
        for path in files.recordings(commit.extract(place.root / "cassettes" / profile.name)):
            recording.calls |= _or_else(functools.partial(files.read, path), Recording(), unreadable).calls
    unreadable = [why.replace(f"{commit.copies.name}/", f"{commit.name}:") for why in unreadable]
    return _Base(prompt, place.classifier or profile.classifier, recording, unreadable)


def _profile(place: Place, commit: Commit) -> Profile:
    """Return the profile as the base has it; where it has none of that name, the one that it replays."""
    pyproject = commit.extract(place.root / "pyproject.toml")
    try:
        return profiles.read(pyproject, live=False, name=place.profile.name)
    except PromptlabError:
        return profiles.read(pyproject, live=False)


def _or_else(read: Callable[[], T], default: T, unreadable: list[str]) -> T:
    try:
        return read()
    except PromptlabError as error:
        unreadable.append(str(error))
        return default


def _served(model: Model | None) -> Model | None:
    """Return a model without its address: it does not matter who serves it."""
    return model and replace(model, base_url=None)


def _model_changes(old: Model, new: Model | None) -> list[str]:
    if new is None or _served(old) == _served(new):
        return []
    names = [one.name for one in fields(Model) if one.name != "base_url"]
    found = ((name, getattr(old, name), getattr(new, name)) for name in names)
    return [f"classifier: {name} {a!r} -> {b!r}" for name, a, b in found if a != b]
