"""A prompt and a text become a request; a prompt is read from its folder and written to it."""

from dataclasses import fields
from pathlib import Path

from promptlab.data.task import Task
from promptlab.errors import DataError
from promptlab.labels.extract import LABEL
from promptlab.records import Model, Prompt, Request

PARTS = tuple(part.name for part in fields(Prompt))


def request(prompt: Prompt, text: str, model: Model, repeat: int = 0) -> Request:
    """Build the call that asks `model` about `text`; it depends on nothing else."""
    turns = [("user", prompt.prefix + text + prompt.suffix)]
    if prompt.reply_prefix:
        turns.append(("assistant", prompt.reply_prefix))
    return Request(model=model, system=prompt.system, messages=tuple(turns), repeat=repeat)


def first(task: Task) -> Prompt:
    """Write the prompt a run starts from: the brief, the labels, the answer format.

    Raises:
        DataError: where the task does not say how a reply states its label.
    """
    if not task.answer_format:
        raise DataError(
            f"task {task.name!r}: extract is your own function, so give the answer format that it reads: "
            f"Task(..., answer_format='Answer: {LABEL}')"
        )
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


def load_prompt(folder: str | Path) -> Prompt:
    """Read a prompt from its folder: system.md, prefix.md, suffix.md, reply_prefix.md.

    A file that is missing is an empty part. Every byte is kept, line ends included.

    Raises:
        DataError: for a missing folder, no part at all, an unexpected .md file, or bytes that are
            not UTF-8.
    """
    folder = Path(folder)
    found = sorted(path.name for path in folder.glob("*.md"))
    expected = [f"{part}.md" for part in PARTS]
    if not found:
        where = "" if folder.is_absolute() else f" (looked in {Path.cwd()})"
        why = "holds no prompt" if folder.is_dir() else "no such folder"
        raise DataError(f"{folder}: {why}{where}, expected a folder with {', '.join(expected)}")
    for name in found:
        if name not in expected:
            raise DataError(f"{folder / name}: not a part of a prompt, expected {', '.join(expected)}")
    return Prompt(**{part: _read(folder / f"{part}.md") for part in PARTS})


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode() if path.exists() else ""
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: byte {error.object[error.start : error.end]!r} at offset {error.start} is not UTF-8"
        ) from error


def save_prompt(prompt: Prompt, folder: str | Path) -> None:
    """Write a prompt into its folder, byte by byte as `load_prompt` reads it.

    The file of an empty part is left out, or emptied where it exists.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        path, text = folder / f"{part}.md", getattr(prompt, part)
        if text or path.exists():
            path.write_bytes(text.encode())
