"""The syntax of a reply: from its text to a label, or None.

An extractor is any function `reply -> label or None`. It need not know the labels: what it finds is
looked up in the task's, and case, Unicode forms, emphasis, quotes and punctuation around it play no
part. The last answer counts, wherever it stands; two different ones in its place are none.
"""

from __future__ import annotations

import html
import re
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from promptlab.labels.answer_lines import BEFORE, RECANTED, UNCHECKED, alone, announces, last_sentences
from promptlab.labels.naming import Named, listed, named, open_ended, rejected
from promptlab.labels.spelling import different, key_of, lines_of, normal

#: reply text -> label, or None when the reply states none
Extractor = Callable[[str], str | None]

#: stands for the label in an extractor's `answer_format`
LABEL = "LABEL"


class Answering:
    """The base of the extractors: what stands in the place that decides, and whether it is one answer."""

    @property
    def answer_format(self) -> str | None:
        """How a reply has to state the label, for the prompt; None where that differs by label."""
        return LABEL

    def answers(self, reply: str) -> tuple[str, ...]:
        """Return the different answers in the place that decides; two or more contradict each other."""
        raise NotImplementedError

    def state(self, label: str) -> str:
        """Write down how a reply states a label."""
        return (self.answer_format or LABEL).replace(LABEL, label)

    def __call__(self, reply: str) -> str | None:
        """Return the one answer; None where there is none, or more than one."""
        found = self.answers(reply)
        return found[0] if len(found) == 1 else None


#: What may stand within a tag beside a label: other tags that only dress it, and signs that open none.
WITHIN = r"[^<]|<(?=[=\d\s])|</?(?:b|i|em|strong|u|code|span|p|mark)(?:\s[^<>]*)?>|<!--[^<>]*-->|<!\[CDATA\["
DRESS = r"</?[a-z][^<>]*>|<!--[^<>]*-->|<!\[CDATA\[|\]\]>"


@dataclass(frozen=True)
class Tagged(Answering):
    """Read the last <name>...</name> of a reply; see `tagged`."""

    name: str

    @property
    def answer_format(self) -> str:
        """The tag with a label in it."""
        return f"<{self.name}>{LABEL}</{self.name}>"

    def answers(self, reply: str) -> tuple[str, ...]:
        """Return what stands in the last tag; nothing where it is not closed, or its line rejects it.

        A line behind it that announces something else ("Correction: ...") contradicts it.
        """
        text = normal(reply)
        opened = _last(rf"<\s*{self.name}(?:\s[^<>]*)?>", text)
        if opened is None:
            return self.answers(html.unescape(text)) if "&lt;" in text else ()
        # Each step of the search tries the closing tag first, so it is linear and ends at the first.
        closed = re.compile(rf"((?:{WITHIN})*?)<\s*/\s*{self.name}\s*>", re.IGNORECASE)
        found = closed.match(text, opened.end())
        if not found or rejected(text[: opened.start()], text[found.end() :]):
            return ()
        answer = html.unescape(re.sub(DRESS, "", found[1], flags=re.IGNORECASE))
        return different([answer, *_announced(text[found.end() :], answer)])


@dataclass(frozen=True)
class LastLine(Answering):
    """Read the last line of a reply that has a word; see `last_line`."""

    def answers(self, reply: str) -> tuple[str, ...]:
        """Return that line, without "Label:" and the like; nothing where the line before denies it."""
        lines = [line for line in lines_of(reply) if re.search(r"\w", line)]
        if not lines or re.match(UNCHECKED, lines[-1]) or (len(lines) > 1 and open_ended(lines[-2])):
            return ()
        return different([re.sub(BEFORE, "", lines[-1], count=1, flags=re.IGNORECASE)])


@dataclass(frozen=True)
class Choice(Answering):
    """Read which label the last line that names one names; see `choice`."""

    labels: tuple[str, ...]

    def answers(self, reply: str) -> tuple[str, ...]:
        """Return the labels that line names; none where it takes one back.

        An answer given before on a line of its own, or another line of the same list, contradicts it.
        """
        lines = [line for line in lines_of(reply) if not re.match(UNCHECKED, line)]
        end = len(lines)
        while end:
            line, start = last_sentences(lines, end, self.labels)
            before = lines[start - 1 : start]
            own = alone(line, self.labels)
            found = [Named(own, negated=False)] if own else named(line, self.labels)
            if any(one.negated for one in found) or (found and any(map(open_ended, before))):
                return ()
            if found:
                listed_there = [label for one in before if (label := listed(one, self.labels))]
                answered = [] if own else self._alone(lines[:start])
                several = listed_there if listed(line, self.labels) else []
                return different([*answered, *several, *(one.label for one in found)])
            if announces(line) or RECANTED.match(line):
                return ()
            end = start
        return ()

    def _alone(self, lines: Sequence[str]) -> list[str]:
        last = next((label for line in reversed(lines) if (label := alone(line, self.labels))), None)
        return [last] if last else []


@dataclass(frozen=True)
class FirstOf(Answering):
    """Read with the first extractor that finds anything; see `first_of`."""

    extractors: tuple[Answering, ...]

    @property
    def answer_format(self) -> str | None:
        """That of the first."""
        return self.extractors[0].answer_format

    def state(self, label: str) -> str:
        """State it as the first reads it."""
        return self.extractors[0].state(label)

    def answers(self, reply: str) -> tuple[str, ...]:
        """Return what the first finds that finds anything."""
        return next((found for one in self.extractors if (found := one.answers(reply))), ())


def tagged(name: str = "label") -> Tagged:
    """Make an extractor for labels in tags, such as <label>sincere</label>.

    The last complete tag wins: earlier ones may be quoted from the instructions or from the text.
    """
    if not re.fullmatch(r"[A-Za-z][\w-]*", name):
        raise ValueError(f"tagged({name!r}): expected a tag name such as 'label', without < and >")
    return Tagged(name)


def last_line() -> LastLine:
    """Make an extractor for a label on a last line of its own, with or without "Label:" before it."""
    return LastLine()


def choice(labels: Sequence[str]) -> Choice:
    """Make an extractor for labels in running text: the last line that names one decides.

    Labels are whole words, the longest first: "insincere" is never "sincere". A line that negates a
    label ("not sincere"), or names two, states none.
    """
    if isinstance(labels, str) or len(labels) < 2:
        raise ValueError(f"choice({labels!r}): expected two labels or more")
    return Choice(tuple(labels))


def first_of(*extractors: Answering) -> FirstOf:
    """Make an extractor that asks several in turn: the first that finds anything decides."""
    if not extractors:
        raise ValueError("first_of(): expected one extractor or more")
    return FirstOf(extractors)


def _last(pattern: str, text: str) -> re.Match[str] | None:
    """Find the last match; the others are not kept, since a million of them take more than their time."""
    found = deque(re.finditer(pattern, text, re.IGNORECASE), maxlen=1)
    return found[0] if found else None


def _announced(behind: str, answer: str) -> list[str]:
    """Return what the lines behind an answer announce in its stead, in three words at most."""
    rests = [re.sub(BEFORE, "", line, flags=re.IGNORECASE) for line in lines_of(behind) if announces(line)]
    return [one for one in rests if len(one.split()) <= 3 and not key_of(one).startswith(key_of(answer))]
