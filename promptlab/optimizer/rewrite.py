"""The rewritten prompt: its outline, how it is read, and what is rejected before a call is paid for it."""

import re
from dataclasses import replace

from promptlab.data.overlap import copied
from promptlab.data.task import Task
from promptlab.errors import RewriteError
from promptlab.labels.extract import whole_word
from promptlab.optimizer.forms import lines_on_form, pieces
from promptlab.records import Prompt

REWRITTEN = ("system", "prefix", "suffix")  # the start of the reply stays as its author wrote it

GAP = "(a list of rules by which the labels can be told apart, in general words)"
GRADED_GAP = "(a list of rules against these mistakes, in general words)"


def with_gap(system: str, task: Task) -> str:
    """Return a system prompt with a gap for rules, before the paragraph on the form of the answer."""
    return _before_form(system, f"Rules:\n{GAP if task.labels else GRADED_GAP}", task)


def with_rule(system: str, rule: str, task: Task) -> str:
    """Return a system prompt with one more rule, before the paragraph on the form of the answer."""
    return _before_form(system, f"- {rule}", task) + "\n"


def _before_form(system: str, text: str, task: Task) -> str:
    paragraphs = system.strip().split("\n\n")
    form = next((n for n, one in enumerate(paragraphs) if lines_on_form(one, task)), len(paragraphs))
    return "\n\n".join([*paragraphs[:form], text, *paragraphs[form:]])


def read_prompt(text: str, parent: Prompt) -> Prompt:
    """Read the parts of a new prompt; of a part written twice, the last. RewriteError where one is missing.

    White space around a part is the parent's: the critic writes each part on lines of its own, which
    says nothing about the white space that the prompt should have.
    """
    parts = {}
    for part in REWRITTEN:
        end = text.rfind(f"</{part}>")
        start = text.rfind(f"<{part}>", 0, max(end, 0))
        if start < 0:
            raise RewriteError(f"the part <{part}>...</{part}> is missing or not complete")
        old = getattr(parent, part)
        before = old[: len(old) - len(old.lstrip())]
        after = old[len(old.rstrip()) :] if old.strip() else ""
        parts[part] = before + text[start + len(part) + 2 : end].strip() + after
    return replace(parent, **parts)


def check_prompt(prompt: Prompt, task: Task, parent: Prompt, *, max_characters: int) -> None:
    """Raise RewriteError for a prompt that cannot work or should not be tried.

    It has to name every label and the answer format, in each part that did, to fill the gap, to be short and
    new, and to repeat no text of validation or test.
    """
    text = _whole(prompt)
    for label in task.labels:
        if not re.search(whole_word(label), text, re.IGNORECASE):
            raise RewriteError(f"the new prompt does not name the label {label!r}")
    _check_form(prompt, task, parent)
    for gap in (GAP, GRADED_GAP):
        if gap in text:
            raise RewriteError(f"the new prompt still has {gap!r}: write that list in its place")
    if (length := len(replace(prompt, demonstrations=()))) > max_characters:
        raise RewriteError(f"the new prompt has {length} characters, at most {max_characters} are allowed")
    if _words(text) == _words(_whole(parent)):
        raise RewriteError("the new prompt is the old one, word for word")
    if found := copied(text, task.held_out):
        raise RewriteError(f"the new prompt copies a text it may not know: {found!r}")


def _whole(prompt: Prompt) -> str:
    return "\n".join(getattr(prompt, part) for part in REWRITTEN)


def _check_form(prompt: Prompt, task: Task, parent: Prompt) -> None:
    """Reject a prompt that no longer asks for the answer in its form, in each part that did."""
    for piece in pieces(task):
        if piece not in _whole(prompt):
            raise RewriteError(f"the new prompt does not ask for the answer with {piece!r}")
        for part in REWRITTEN:  # a small model forgets a form that is named less often than before
            if piece in getattr(parent, part) and piece not in getattr(prompt, part):
                line = lines_on_form(getattr(parent, part), task)[-1]
                raise RewriteError(f"the part <{part}> has lost the answer format: keep its line {line!r}")


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())
