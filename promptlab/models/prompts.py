"""A prompt and a text become a request; a prompt is read from its folder and written to it."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from promptlab.data.task import Task
from promptlab.errors import DataError, shorten
from promptlab.labels.extract import LABEL
from promptlab.models.messages_api import arguments, refuse
from promptlab.records import Demonstration, Example, Model, Prompt, Request

PARTS = ("system", "prefix", "suffix", "reply_prefix")
DEMONSTRATIONS = "demonstrations.jsonl"
FILES = (*(f"{part}.md" for part in PARTS), DEMONSTRATIONS)  # of a prompt's folder


def request(prompt: Prompt | str | Path, text: str, model: Model | str) -> dict[str, Any]:
    """Return the arguments of the SDK's `messages.create` that ask `model` about `text`, as the tests do.

    Args:
        prompt: the prompt, or its folder.
        text: as `Example.text`: of a task with several text columns, the filled-in template.
        model: the model with the settings it was tested with, or its name; its `base_url` is the client's.

    Raises:
        ModelError: the model would reject it, such as a reply prefix, or a setting.
    """
    asked = build(prompt_of(prompt), text, model_of(model))
    refuse(asked)
    return arguments(asked)


def build(prompt: Prompt, text: str, model: Model, repeat: int = 0) -> Request:
    """Build the call that asks `model` about `text`; it depends on nothing else."""
    turns = []
    for shown, reply in prompt.demonstrations:
        turns += [("user", prompt.prefix + shown + prompt.suffix), ("assistant", reply)]
    turns.append(("user", prompt.prefix + text + prompt.suffix))
    if prompt.reply_prefix:
        turns.append(("assistant", prompt.reply_prefix))
    return Request(model, prompt.system, tuple(turns), repeat, shared=True)


def requests(
    prompt: Prompt, examples: Sequence[Example], model: Model, repeats: int, first: int = 0
) -> list[Request]:
    """Build the calls that ask about each example so many times, numbered from `first`."""
    numbers = range(first, first + repeats)
    return [build(prompt, one.text, model, number) for one in examples for number in numbers]


def model_of(model: Model | str, max_tokens: int = 1024) -> Model:
    """Return a model; one given by its name has the API's default settings."""
    return Model(model, max_tokens=max_tokens) if isinstance(model, str) else model


def classifier_of(model: Model | str, task: Task) -> Model:
    """Return the model that answers about a task: structured answers have the task's schema."""
    found = model_of(model)
    return replace(found, structured=task.schema) if found.structured is True else found


def first(task: Task) -> Prompt:
    """Write the prompt a run starts from: the brief, the labels, the answer format.

    Raises:
        DataError: where the task does not say how a reply states its label.
    """
    if not task.answer_format:
        raise DataError(
            f"task {task.name!r}: extract is your own function, so give the answer format that it reads: "
            f"Task(..., answer_format={'Answer: ' + LABEL if task.labels else 'the form in words'!r})"
        )
    if not task.labels:
        form = f"Answer in this form and write nothing else:\n{task.answer_format}"
        return Prompt(system=f"{task.brief.strip()}\n\n{form}\n", prefix="Text:\n", suffix=f"\n\n{form}")
    each = " or ".join(task.answer_format.replace(LABEL, label) for label in task.labels)
    form = task.answer_format.replace(LABEL, " or ".join(task.labels))
    return Prompt(
        system=f"{task.brief.strip()}\n\nAnswer in this form:\nReasoning: one or two sentences\n{form}\n",
        prefix="Text:\n",
        # The form is repeated behind the text: small models forget what comes before it.
        suffix=f"\n\nWrite your reasoning, then {each}.",
    )


def prompt_of(prompt: Prompt | str | Path) -> Prompt:
    """Return a prompt as it is, or the one in a folder."""
    return prompt if isinstance(prompt, Prompt) else load_prompt(prompt)


def name_of(prompt: Prompt | str | Path) -> str:
    """Return what people call a prompt: the name of its folder; "" of one without a folder."""
    return "" if isinstance(prompt, Prompt) else Path(prompt).absolute().name


def load_prompt(folder: str | Path) -> Prompt:
    """Read a prompt from its folder: system.md, prefix.md, suffix.md, reply_prefix.md, demonstrations.jsonl.

    A file that is missing is an empty part, but there has to be one: an empty system.md alone is the empty
    prompt. Every byte is kept, line ends included. A demonstration is a line {"text": ..., "reply": ...}.

    Raises:
        DataError: for a missing folder, no part at all, an unexpected .md or .jsonl file, bytes that are
            not UTF-8, or a line that is no demonstration.
    """
    folder = Path(folder)
    found = sorted(path.name for path in folder.glob("*") if path.suffix in (".md", ".jsonl"))
    if not found:
        where = "" if folder.is_absolute() else f" (looked in {Path.cwd()})"
        why = "holds no prompt" if folder.is_dir() else "no such folder"
        raise DataError(f"{folder}: {why}{where}, expected a folder with {', '.join(FILES)}")
    for name in found:
        if name not in FILES:
            raise DataError(f"{folder / name}: not a part of a prompt, expected {', '.join(FILES)}")
    texts = {part: _read(folder / f"{part}.md") for part in PARTS}
    return Prompt(**texts, demonstrations=_demonstrations(folder / DEMONSTRATIONS))


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode() if path.exists() else ""
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: byte {error.object[error.start : error.end]!r} at offset {error.start} is not UTF-8"
        ) from error


def _demonstrations(path: Path) -> tuple[Demonstration, ...]:
    found = []
    for number, line in enumerate(_read(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            found.append(Demonstration(**json.loads(line)))
            whole = all(isinstance(value, str) and value.strip() for value in found[-1])
        except (ValueError, TypeError):
            whole = False
        if not whole:
            raise DataError(
                f'{path}, line {number}: expected {{"text": ..., "reply": ...}}, got {shorten(line)}'
            )
    return tuple(found)


def save_prompt(prompt: Prompt, folder: str | Path) -> None:
    """Write a prompt into its folder, as `load_prompt` reads it.

    The file of an empty part is left out, or emptied where it exists; that of an empty prompt is system.md.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    texts = files_of(prompt)
    nothing = not texts and not any(folder.glob("*.md"))
    for name in FILES:
        path, text = folder / name, texts.get(name, "")
        if text or path.exists() or (nothing and name == "system.md"):
            path.write_bytes(text.encode())


def files_of(prompt: Prompt) -> dict[str, str]:
    """Return the text of each file of a prompt's folder, by its name; those of empty parts are left out."""
    lines = [json.dumps(one._asdict(), ensure_ascii=False) + "\n" for one in prompt.demonstrations]
    texts = {f"{part}.md": getattr(prompt, part) for part in PARTS} | {DEMONSTRATIONS: "".join(lines)}
    return {name: text for name, text in texts.items() if text}
