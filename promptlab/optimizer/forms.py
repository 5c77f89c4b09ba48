"""The form of the answer: what a prompt says about it, and the same prompt with another form."""

from dataclasses import replace

from promptlab.data.task import Task
from promptlab.labels.extract import LABEL
from promptlab.records import Prompt

ALONE, REASON_FIRST, LABEL_FIRST = "label alone", "reason, then label", "label, then reason"
REASON = "the reason in one short sentence"


def sentence(task: Task, form: str) -> str:
    """Ask for the answer in a form."""
    answer = each(task)
    if form == ALONE:
        return f"Answer with one line and nothing else: {answer}"
    first, second = (REASON, answer) if form == REASON_FIRST else (answer, REASON)
    return f"Answer with two lines and nothing else: first {first}, then {second}"


def each(task: Task) -> str:
    """Write the answer with each label: "<label>a</label>, <label>b</label> or <label>c</label>"."""
    assert task.answer_format
    *others, last = [task.answer_format.replace(LABEL, label) for label in task.labels] or [
        task.answer_format
    ]
    return f"{', '.join(others)} or {last}" if others else last


def pieces(task: Task) -> list[str]:
    """Return the parts of the answer format around the label."""
    lines = (task.answer_format or "").splitlines()
    return [piece.strip() for line in lines for piece in line.split(LABEL) if piece.strip()]


def lines_on_form(part: str, task: Task) -> list[str]:
    """Return the lines of a part that state the answer format."""
    return [line for line in part.splitlines() if any(piece in line for piece in pieces(task))]


def rules(prompt: Prompt, task: Task) -> str:
    """Return the system prompt without its paragraph on the form, or the lines where it has one paragraph.

    Where nothing is left, it is the task's brief.
    """
    return _without(prompt.system, task).strip() or task.brief.strip()


def _without(part: str, task: Task) -> str:
    paragraphs = part.split("\n\n")
    stated = [one for one in paragraphs if lines_on_form(one, task)]
    if len(paragraphs) > len(stated):
        return "\n\n".join(one for one in paragraphs if one not in stated)
    gone = lines_on_form(part, task)
    return "\n".join(line for line in part.splitlines() if line not in gone)


def with_form(prompt: Prompt, task: Task, form: str) -> Prompt:
    """Return a prompt that asks for the answer in a form, without demonstrations."""
    return replace(
        prompt,
        system=f"{rules(prompt, task)}\n\n{sentence(task, form)}\n",
        prefix=_without(prompt.prefix, task) if lines_on_form(prompt.prefix, task) else prompt.prefix,
        suffix=_without(prompt.suffix, task) if lines_on_form(prompt.suffix, task) else prompt.suffix,
        reply_prefix="",
        demonstrations=(),
    )


def statement(prompt: Prompt, task: Task) -> str:
    """Return the paragraphs of the system prompt that state the form; "" where there are none."""
    paragraphs = prompt.system.split("\n\n")
    return "\n\n".join(one.strip() for one in paragraphs if lines_on_form(one, task))
