"""The prompts of a base commit and of the working tree: their answers to the same examples."""

import functools
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TypeVar

from promptlab import secrets
from promptlab.cassettes import format as files
from promptlab.cassettes.format import Entry, Recording
from promptlab.data.overlap import quoted
from promptlab.data.task import Task
from promptlab.errors import PromptlabError
from promptlab.gate import changes, ledger
from promptlab.gate.answers import Answers, ByMain, by_main
from promptlab.gate.git import BaseError, Commit
from promptlab.models import profiles, prompts
from promptlab.models.messages_api import body_of, model_with, settings_in
from promptlab.models.profiles import Profile
from promptlab.records import Example, Model, Prediction, Prompt
from promptlab.scoring.evaluation import Evaluation, by_example, evaluation_of
from promptlab.scoring.recorded import recorded

T = TypeVar("T")

#: A recording's repeats of the base's requests from this number on were asked for again beside a new prompt.
FRESH = 1_000


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
    judged: tuple[str, ...]  # the recordings of the base that are judged by it
    changes: tuple[str, ...]  # what else differs from the base, a sentence each
    unreadable: tuple[str, ...]  # what of the base could not be read, a sentence each
    folder: str  # the prompt's, relative to the repository
    against: str  # the base, as people read it
    provenance: tuple[Mapping[str, object], Mapping[str, object]]  # who answered: base, working tree
    leaks: tuple[str, ...] = ()  # ids of judged examples that the new prompt quotes, and the base's does not
    looks: int = 1  # recordings that were judged on this test split, this one included, the base's not
    again: bool = False  # the base's answers are those that it gave when asked again beside the new prompt
    main: ByMain | None = None  # the same by main's labels and reading; None where they are no others
    anchor: bool = False  # the base is a fixed release


@dataclass
class _Base:
    """What the base commit has; `unreadable` names what could not be read."""

    prompt: Prompt | None
    classifier: Model  # who answered, as far as its recording says
    calls: Mapping[str, Entry]
    header: Mapping[str, object]
    judged: tuple[str, ...]  # the recordings that the calls are from
    unreadable: tuple[str, ...]


def pair(
    task: Task,
    result: Evaluation,
    title: str,
    place: Place,
    commit: Commit,
    *,
    main: Answers | None = None,
    anchor: bool = False,
) -> Pair:
    """Find the recorded answers of the base, or of a fixed release, to the examples of an evaluation.

    Both sides are read and scored by the task as it is now. An example counts as recorded for the base
    if its commit holds the answer, or if the working tree's recording holds it beside its own. `main` is what
    main's own tests make of the base's answers, where that may be something else.
    """
    examples = [rows[0].example for rows in by_example(result.rows).values()]
    base, mine = _read(place, commit, task, examples), files.read(place.cassette)
    prompt, classifier = base.prompt, base.classifier
    same = prompt == result.prompt and served(classifier) == served(result.classifier)
    rows, again = _answers(task, base, mine, examples, same=same)
    other = by_main(main, task, prompt, classifier, rows, result) if main and prompt else None
    where = "of the base" if commit.name == commit.id else f"at {commit.name}"  # nobody knows it by its id
    name = f"{prompts.name_of(place.folder)} {where}"
    old, new = _both(task, base, again or rows, result, name)
    known = {row.example.id for row in again or rows}
    return Pair(
        title=title,
        place=place,
        base=old,
        new=new,
        whole=result,
        alone=tuple(one.id for one in examples if prompt and one.id not in known),
        same=same,
        known=prompt is not None,
        judged=base.judged,
        changes=(
            *_model_changes(classifier, result.classifier),
            *_unnamed(task, prompt, result.asked_with),
            *changes.since(commit, task),
        ),
        unreadable=(*base.unreadable, *(() if same else _ambiguous(task, base, result))),
        folder=commit.inside(place.folder),
        against=str(commit),
        provenance=(base.header, mine.header),
        leaks=() if same else tuple(_leaks(prompt, result, other)),
        looks=_looks(place, commit, task, [result, *([old] if again and old else [])], main),
        again=bool(again),
        main=other if other and other.differs else None,
        anchor=anchor,
    )


def _both(
    task: Task, base: _Base, rows: Sequence[Prediction], result: Evaluation, name: str
) -> tuple[Evaluation | None, Evaluation | None]:
    """Return the evaluations of both prompts on what the base answered; None where that is nothing."""
    asked = {row.example.id for row in rows}
    both = [row for row in result.rows if row.example.id in asked]
    if base.prompt is None or not both:
        return None, None
    canonical = recorded(task, base.prompt, base.classifier, task.canonical, base.calls)
    old = evaluation_of(task, result.split, base.prompt, rows, base.classifier)
    new = evaluation_of(task, result.split, result.prompt, both, result.classifier)
    marked = tuple(row for some in canonical.values() for row in some)
    return (
        replace(old, canonical_rows=marked, name=name),
        replace(new, canonical_rows=result.canonical_rows, name=result.name),
    )


def _ambiguous(task: Task, base: _Base, result: Evaluation) -> Iterator[str]:
    """Say why a recording may be one of another prompt, or leave out what the base was asked."""
    if secrets.SHAPES.search(text := _text(result.asked_with)) or secrets.MASKED.search(text):
        yield (
            "the new prompt holds what has the shape of a key, or of a mask in its place, so that its "
            "recording does not say what was asked: take it out of the prompt"
        )
    if base.prompt is None:
        return
    known = recorded(task, base.prompt, base.classifier, task.canonical, base.calls)
    mine = by_example(result.canonical_rows)
    less = [name for name, rows in known.items() if name in mine and len(mine[name]) < len(rows)]
    if less:
        yield (
            f"the base has more answers about canonical examples than this branch: {', '.join(less)}; "
            f"pytest --live-changed records the rest"
        )


def _answers(
    task: Task, base: _Base, mine: Recording, examples: Sequence[Example], *, same: bool
) -> tuple[list[Prediction], list[Prediction]]:
    """Return the base's answers: from its commit, else from the working tree's recording; and when asked again.

    They are in the order of the examples, of each as many. Asked again are all examples, or none.
    """
    if base.prompt is None:
        return [], []
    find = functools.partial(recorded, task, base.prompt, base.classifier)
    rows = find(examples, base.calls)
    rest = [] if same else [one for one in examples if one.id not in rows]
    rows |= find(rest, mine.calls)
    again = {} if same else find(examples, mine.calls, FRESH)
    return _in_order(rows, examples), _in_order(again, examples) if len(again) == len(examples) else []


def _in_order(rows: Mapping[str, Sequence[Prediction]], examples: Sequence[Example]) -> list[Prediction]:
    repeats = min(map(len, rows.values()), default=0)
    return [row for one in examples if one.id in rows for row in rows[one.id][:repeats]]


def _looks(
    place: Place, commit: Commit, task: Task, judged: Sequence[Evaluation], main: Answers | None
) -> int:
    """Count the recordings on a test split, this one included; the base's are not: its own, and one more.

    Where the branch has other examples than main, those on any examples count.
    """
    if judged[0].split != "test":
        return 1
    path = place.root / "cassettes" / "ledger.csv"
    other = main is not None and main.examples != task.test_hash
    count = ledger.count((path, commit.extract(path)), task, judged, other=other)[-1]
    return max(1, count - len(judged))


def _leaks(old: Prompt | None, result: Evaluation, main: ByMain | None) -> Iterator[str]:
    """Yield the ids of the examples that a prompt is judged on and quotes, unless the old one does."""
    rows = (*result.rows, *result.canonical_rows, *(main.base.rows if main else ()))
    examples = list({row.example.text: row.example for row in rows}.values())
    known = {one.id for one in quoted(_text(old), examples)} if old else set[str]()
    yield from (one.id for one in quoted(_text(result.asked_with), examples) if one.id not in known)


def _text(prompt: Prompt) -> str:
    shown = (part for one in prompt.demonstrations for part in one)
    return "\n".join((prompt.system, prompt.prefix, prompt.suffix, prompt.reply_prefix, *shown))


def unrecorded(
    task: Task, place: Place, commit: Commit, split: str
) -> tuple[Prompt | None, Model, tuple[Example, ...]]:
    """Return the base's prompt and model, and the examples that its commit holds no answer for."""
    examples = task.split(split)
    base = _read(place, commit, task, examples)
    if base.prompt is None:
        return None, base.classifier, ()
    found = recorded(task, base.prompt, base.classifier, examples, base.calls)
    return base.prompt, base.classifier, tuple(one for one in examples if one.id not in found)


def _read(place: Place, commit: Commit, task: Task, examples: Sequence[Example]) -> _Base:
    """Read the base's prompt, who answered, and the recordings of its answers."""
    unreadable: list[str] = []
    profile = _or_else(lambda: profile_at(commit, place.root, place.profile.name), place.profile, unreadable)
    prompt = _or_else(lambda: _prompt(place.folder, commit), None, unreadable)
    folder = place.root / "cassettes" / profile.name
    own = folder / place.cassette.parent.name / place.cassette.name
    found = {own: _or_else(lambda: files.read(commit.extract(own)), Recording(), unreadable)}
    if not found[own].calls:  # recorded under another name, perhaps
        others = _or_else(lambda: files.recordings(commit.extract(folder)), list[Path](), unreadable)
        found = {
            commit.there(path): _or_else(functools.partial(files.read, path), Recording(), unreadable)
            for path in others
        }
    counts = sum((_answered(prompt, one.calls) for one in found.values() if prompt), Counter[str]())
    likely = place.classifier or _or_else(
        lambda: prompts.classifier_of(profile.classifier, task), profile.classifier, unreadable
    )
    who = _or_else(lambda: _who(counts, place, likely, commit), likely, unreadable)
    if prompt:
        asked = {files.message_key(prompts.build(prompt, example.text, who)) for example in examples}
        found = {path: one for path, one in found.items() if asked & one.calls.keys()}
    return _Base(
        prompt,
        who,
        calls={key: entry for one in found.values() for key, entry in one.calls.items()},
        header=next((one.header for one in found.values()), {}),
        judged=tuple(map(commit.inside, {own: None, **found})) if prompt else (),
        unreadable=tuple(why.replace(f"{commit.copies.name}/", f"{commit.name}:") for why in unreadable),
    )


def profile_at(commit: Commit, root: Path, name: str) -> Profile:
    """Return the profile as a commit has it; where it has none of that name, the one that it replays."""
    pyproject = commit.extract(root / "pyproject.toml")
    try:
        return profiles.read(pyproject, live=False, name=name)
    except PromptlabError:
        return profiles.read(pyproject, live=False)


def _prompt(folder: Path, commit: Commit) -> Prompt | None:
    there = commit.extract(commit.origin(folder))
    return prompts.load_prompt(there) if there.is_dir() else None


def _answered(prompt: Prompt, calls: Mapping[str, Entry]) -> Counter[str]:
    """Count the calls that ask each model with a prompt; models are given by their settings, as JSON."""
    found, turns = Counter[str](), len(prompts.build(prompt, "", Model("")).messages)
    for key, call in calls.items():
        body = call["request"]["body"]
        if len(body["messages"]) != turns:
            continue
        settings, turn = settings_in(body), body["messages"][2 * len(prompt.demonstrations)]["content"]
        text = turn[len(prompt.prefix) : len(turn) - len(prompt.suffix)]
        request = prompts.build(prompt, text, model_with(settings), call.get("repeat", 0))
        if files.message_key(request) == key:
            found[json.dumps(settings, sort_keys=True)] += 1
    return found


def _who(counts: Counter[str], place: Place, likely: Model, commit: Commit) -> Model:
    """Return the model that answered for the base; BaseError where it cannot be told from another."""
    if not counts:
        return likely
    models = [model_with(json.loads(one)) for one, count in counts.items() if count == max(counts.values())]
    if len(models) == 1 or (place.classifier is None and served(likely) in map(served, models)):
        return likely if served(likely) in map(served, models) else models[0]
    names = " and ".join(sorted(one.name for one in models))
    raise BaseError(
        f"the recordings of {commit.name} hold answers of {names} with different settings to "
        f"the same prompt, so they do not say whose counts. "
        f"`promptlab cassettes prune` deletes those that no test asks for"
    )


def _or_else(read: Callable[[], T], default: T, unreadable: list[str]) -> T:
    try:
        return read()
    except PromptlabError as error:
        unreadable.append(str(error))
        return default


def served(model: Model | None) -> Mapping[str, object] | None:
    """Return what a request says of a model: it does not matter who serves it."""
    return settings_in(body_of(prompts.build(Prompt(), "", model))) if model else None


def _unnamed(task: Task, old: Prompt | None, new: Prompt) -> Iterator[str]:
    """Name the labels that the base's prompt names and the new one does not, so that nobody forgets one."""
    for label in task.labels if old else ():
        word = re.compile(rf"(?<!\w){re.escape(label)}(?!\w)", re.IGNORECASE)
        if old and word.search(_text(old)) and not word.search(_text(new)):
            yield f"the prompt no longer names the label {label!r}"


def _model_changes(old: Model, new: Model | None) -> list[str]:
    if new is None or served(old) == served(new):
        return []
    names = [one.name for one in fields(Model) if one.name not in ("base_url", "price")]
    found = ((name, getattr(old, name), getattr(new, name)) for name in names)
    return [f"classifier: {name} {a!r} -> {b!r}" for name, a, b in found if a != b]
