"""Labels in closing sentences."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from promptlab.labels.answer_lines import RECANTED
from promptlab.labels.extract import LABEL, Answering
from promptlab.labels.naming import named
from promptlab.labels.spelling import different, lines_of, sentences_of

#: What may stand before a closing sentence as part of it.
LEAD = re.compile(
    r"(?:(?:so|thus|therefore|hence|overall|finally|in conclusion|in summary|in short|the|my|final|answer"
    r"|conclusion|verdict|label|result|is) )*"
)


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
        labels = [label for label, _ in self.sentences]
        for line in reversed(lines_of(reply)):
            said = sentences_of(line)
            found = [label for label, sentence in self.sentences if _holds(said, sentences_of(sentence))]
            others = [one.label for one in named(line, labels)]
            if found or others or RECANTED.match(line):  # "... is not sincere" takes an earlier sentence back
                each = different([*found, *others])
                return each if found or len(each) > 1 else ()
        return ()


def phrase(sentences: Mapping[str, str]) -> Phrase:
    """Make an extractor for closing sentences, one for each label.

    Args:
        sentences: by label, such as {"sincere": "Therefore, in conclusion, this question is sincere."}.
    """
    words = {label: " ".join(sentences_of(sentence)) for label, sentence in sentences.items()}
    for label, own in words.items():
        for other, theirs in words.items():
            if label != other and (not own or f" {own} " in f" {theirs} "):
                raise ValueError(
                    f"phrase({sentences!r}): the sentence for {label!r} stands within that for {other!r}: "
                    f"expected sentences of which none holds another"
                )
    return Phrase(tuple(sentences.items()))


def _holds(said: Sequence[str], sentences: Sequence[str]) -> bool:
    """Say whether sentences stand among those said, one after the other and each as a whole."""
    count, own = len(sentences), " ".join(sentences)
    for start in range(len(said) - count + 1):
        text = " ".join(said[start : start + count])
        if text.endswith(own) and LEAD.fullmatch(text[: len(text) - len(own)]):
            return True
    return False
