"""The syntax of a reply: from its text to a label, or None.

An extractor is any function `reply -> label or None`. It need not know the labels: what it finds is
looked up in the task's, and case, Unicode forms, emphasis, quotes and punctuation around it play no
part. The last answer counts, wherever it stands; two different ones in its place are none.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from promptlab.spelling import BEFORE, alone, different, lines_of, listed, mentions, normal, words_of

#: reply text -> label, or None when the reply states none
Extractor = Callable[[str], str | None]

#: stands for the label in an extractor's `answer_format`
LABEL = "LABEL"

#: Why a prediction has no label.
Missing = Literal["absent", "contradictory", "outside the set", "refused", "truncated", "empty"]
REASONS: tuple[Missing, ...] = get_args(Missing)


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


@dataclass(frozen=True)
class Tagged(Answering):
    """Read the last complete <name>...</name> of a reply; see `tagged`."""

    name: str

    @property
    def answer_format(self) -> str:
        """The tag with a label in it."""
        return f"<{self.name}>{LABEL}</{self.name}>"

    def answers(self, reply: str) -> tuple[str, ...]:
        """Return what stands in the last complete tag."""
        text = normal(reply)
        # [^<]* cannot run over the next tag, so the search is linear in the length of the reply.
        found = _last(rf"<\s*{self.name}(?:\s[^<>]*)?>([^<]*)<\s*/\s*{self.name}\s*>", text)
        return different([found[1]] if found else [])


@dataclass(frozen=True)
class Phrase(Answering):
    """Read the last closing sentence of a reply; see `phrase`."""

    sentences: tuple[tuple[str, str], ...]

    @property
    def answer_format(self) -> str | None:
        """The sentence, where all are alike but for the label."""
        frames = {
            re.sub(rf"(?<!\w){re.escape(label)}(?!\w)", LABEL, sentence) for label, sentence in self.sentences
        }
        return frames.pop() if len(frames) == 1 else None

    def state(self, label: str) -> str:
        """Write down the sentence for a label."""
        return dict(self.sentences)[label]

    def answers(self, reply: str) -> tuple[str, ...]:
        """Return the labels whose sentences stand in the last line that has one, or that names a label."""
        known = [(label, words_of(sentence)) for label, sentence in self.sentences]
        labels = [label for label, _ in self.sentences]
        for line in reversed(lines_of(reply)):
            words = f" {words_of(line)} "
            found = [label for label, sentence in known if f" {sentence} " in words]
            named = [label for label, _ in mentions(line, labels)]
            if found or named:  # "... is not sincere" takes an earlier sentence back
                return tuple(dict.fromkeys([*found, *named])) if found else ()
        return ()


@dataclass(frozen=True)
class LastLine(Answering):
    """Read the last line of a reply that has a word; see `last_line`."""

    def answers(self, reply: str) -> tuple[str, ...]:
        """Return that line, without "Label:" and the like."""
        for line in reversed(lines_of(reply)):
            if re.search(r"\w", line):
                return different([re.sub(BEFORE, "", line, count=1, flags=re.IGNORECASE)])
        return ()


@dataclass(frozen=True)
class Choice(Answering):
    """Read which label the last line that names one names; see `choice`."""

    labels: tuple[str, ...]

    def answers(self, reply: str) -> tuple[str, ...]:
        """Return the labels that line names; none where it negates one.

        An answer given before on a line of its own, or another line of the same list, contradicts it.
        """
        lines = lines_of(reply)
        for number in reversed(range(len(lines))):
            found = mentions(lines[number], self.labels)
            if any(negated for _, negated in found):
                return ()
            if found:
                before = lines[number - 1 : number] if listed(lines[number], self.labels) else []
                listed_there = [label for line in before if (label := listed(line, self.labels))]
                answered = [] if alone(lines[number], self.labels) else self._alone(lines[:number])
                return different([*answered, *listed_there, *(label for label, _ in found)])
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


def phrase(sentences: Mapping[str, str]) -> Phrase:
    """Make an extractor for closing sentences, one for each label.

    Args:
        sentences: by label, such as {"sincere": "Therefore, in conclusion, this question is sincere."}.
    """
    words = {label: words_of(sentence) for label, sentence in sentences.items()}
    for label, own in words.items():
        for other, theirs in words.items():
            if label != other and (not own or f" {own} " in f" {theirs} "):
                raise ValueError(
                    f"phrase({sentences!r}): the sentence for {label!r} stands within that for {other!r}: "
                    f"expected sentences of which none holds another"
                )
    return Phrase(tuple(sentences.items()))


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
