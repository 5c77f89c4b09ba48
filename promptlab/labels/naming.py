"""Which labels a line of running text names, and whether it takes them back: for `choice` and others.

Language is open-ended, so what is in doubt counts as taken back: no label is better than a wrong one.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import NamedTuple

from promptlab.labels.spelling import AROUND, exact

#: What begins a line of a list, a heading or a quotation.
LISTED = r"^\s*(?:[-+*#>|•–—]{1,6}\s+)?"

#: Words that turn a statement round, or leave it open.
NEGATIONS = frozenset(
    """
    not no non none nothing nobody never neither nor cannot hardly barely scarcely without rather instead
    opposite far anything fails fail failed unable whether if isnt wasnt doesnt dont cant wont
    nicht kein keine keinen keiner keinesfalls keineswegs niemals weder niet geen inte ikke aldrig
    pas ne jamais aucunement aucun aucune nullement nunca jamás ningún não nao nem nie ni sin mai nessun не нет
    """.split()  # noqa: SIM905 - a line a word would hide the rest
)
UNSPACED = re.compile("[\u2e80-\uffdc]")  # scripts that write no spaces
ANSWERS = ("no", "No", "none", "None")  # negations that may be a label
STRUCK = "\ue000"  # stands before what was struck through
NEGATION_SIGNS = re.compile(f"[不非没沒無无未莫勿{STRUCK}]")

#: Words of negation that deny nothing.
EMPHASIS = re.compile(
    r"\b(?:no|without(?: a| any)?|beyond(?: a| any)?) (?:doubt|question)\b|\bnot (?:only|just)\b|\bno wonder\b"
    r"|^\W*(?:no|nein|non)(?: [-—]| ?[,:—]) "  # "No, it is ..." answers something else
)

#: What right behind a label takes it back.
TAKEN_BACK = re.compile(
    r"\W{0,4}(?:no|not|false|wrong|incorrect|rejected|nein|falsch|değil)(?!\w)"
    r"|\W{0,4}(?:ではな|じゃな|不对|不對|아니)|[^\w.,;!]{0,4}[❌✗✘?]"
    r"|[^.;!?]{0,80}(?:\bbut no|, no|\bbut rejected|\b(?:is|be|was) (?:wrong|false|incorrect))(?!\w)"
)

#: What between two labels denies the second alone: "a feature, not a bug".
CONTRAST = re.compile(
    r"(?:[\s\"')]{0,3}[,;(—-]\s?(?:and |but )?not| (?:and|but) not|\W{1,3}(?:rather than|instead of|as opposed to))"
    r"(?: an?| the)?\W{0,3}"
)

NEAR = 3  # words before an answer in a tag within which a negation is meant for it

SHORT = 3  # characters of a label that may be an everyday word, such as "A" or "no"
QUOTES = r"\s\"'“”„‘’‚«»‹›「」『』"
STATED_BEFORE = re.compile(
    rf"(?:^|^\s*/|[:=(]|\b(?:is|be|as|or|nor|and|not|never|hardly|answer|label|option|class|category))[{QUOTES}(\[{{]*$"
)
STATED_BEHIND = re.compile(rf"[{QUOTES})\]}}]*(?:$|[.,;:!(\n—/]|- |\s(?:or|nor|and)\b)")

BACK, AHEAD = 200, 120  # characters of a sentence that are looked at, on either side of a label


class Named(NamedTuple):
    """A label that a line names, and whether the line takes it back."""

    label: str
    negated: bool


def named(line: str, labels: Sequence[str]) -> list[Named]:
    """Return the labels that a line names as whole words, the longest first."""
    pattern, known = _whole_words(tuple(labels))
    text = _plain(line, labels)
    found: list[Named] = []
    end = 0
    for one in pattern.finditer(text):
        label = known[_spaced(one[0])]
        before, behind = text[max(end, one.start() - BACK) : one.start()], text[one.end() : one.end() + AHEAD]
        short = len(label) <= SHORT and not UNSPACED.search(label)
        if short and not _ends_a_statement(before, behind):
            continue
        other = bool(found) and not found[-1].negated and found[-1].label != label
        if not (other and CONTRAST.fullmatch(before)):
            found.append(Named(label, _denies(before) or _takes_back(behind, pattern)))
        end = one.end()
    return found


def listed(line: str, labels: Sequence[str]) -> str | None:
    """Return the label that a line begins with, if more follows, as in a list: "- sincere: 10%"."""
    pattern, known = _whole_words(tuple(labels))
    rest = exact(re.sub(LISTED, "", line, count=1)).strip(AROUND)
    found = pattern.match(rest)
    return known[_spaced(found[0])] if found and rest[found.end() :].strip(AROUND) else None


def rejected(before: str, behind: str) -> bool:
    """Say whether the line around an answer denies it: "not ...", "..., but rejected it"."""
    sentence = EMPHASIS.sub(" ", re.split(r"[.,:;!?\n]", _beside(before, -BACK))[-1])
    near = re.findall(r"[\w']+", sentence)[-NEAR:]
    return any(map(_negation, near)) or bool(TAKEN_BACK.match(EMPHASIS.sub(" ", _beside(behind, AHEAD))))


def open_ended(line: str) -> bool:
    """Say whether a line ends in a negation that is meant for the next: "It is not"."""
    words = re.findall(r"[\w']+", line[-BACK:])
    if (
        not words
        or words[-1] in ANSWERS
        or (len(words) == 1 and words != ["not"])
        or re.search(r"[.!?;]\W*$", line)
    ):
        return False
    return _negation(exact(words[-1]))


def _beside(text: str, count: int) -> str:
    """Return the part of a text's first line, or of its last where count is below 0, that is looked at."""
    return exact(text[count:].rsplit("\n", 1)[-1] if count < 0 else text[:count].split("\n", 1)[0])


def _denies(before: str) -> bool:
    """Say whether what stands before a label in its sentence denies it, or leaves it open."""
    sentence = EMPHASIS.sub(" ", re.split(r"[.;!?]", before)[-1].lstrip())
    *earlier, near = sentence.split(":")
    words = re.findall(r"[\w']+", near)
    if not words and earlier:  # "Not: sincere"
        words = re.findall(r"[\w']+", earlier[-1])[-1:]
    return any(map(_negation, words)) or bool(NEGATION_SIGNS.search(sentence))


def _negation(word: str) -> bool:
    return word.replace("'", "") in NEGATIONS or "n't" in word


def _ends_a_statement(before: str, behind: str) -> bool:
    return bool(STATED_BEHIND.match(behind) and (STATED_BEFORE.search(before) or _denies(before)))


def _takes_back(behind: str, pattern: re.Pattern[str]) -> bool:
    """Say whether what stands behind a label takes it back; ", not the other label" does not."""
    found = CONTRAST.match(behind)
    other = pattern.match(behind, found.end()) if found else None
    return bool(TAKEN_BACK.match(EMPHASIS.sub(" ", behind[other.end() if other else 0 :])))


def _plain(line: str, labels: Sequence[str]) -> str:
    """Return a line without emphasis; what is struck through is denied."""
    text = re.sub(r"\bnone of\b", STRUCK, exact(re.sub(r"~~([^~]*)~~", f" {STRUCK}\\1. ", line)))
    text = text.replace("`", "").replace("\u2019", "'")
    text = text if any("*" in label for label in labels) else text.replace("*", "")
    return re.sub(r"\w+", lambda word: word[0].strip("_"), text)  # emphasis with underscores


def _spaced(text: str) -> str:
    """Write what parts the words of a label as one space."""
    return " ".join(re.split(r"[\s_-]+", text)) if re.search(r"\w[\s_-]+\w", text) else text


@functools.cache
def _whole_words(labels: tuple[str, ...]) -> tuple[re.Pattern[str], dict[str, str]]:
    """Return what finds labels, and which label each find is; of two that differ by hyphens alone, the first."""
    known = {_spaced(exact(label)): label for label in reversed(labels)}
    longest = sorted(known, key=len, reverse=True)
    return re.compile("|".join(map(_whole_word, longest))), known


def _whole_word(label: str) -> str:
    """Write a label as a pattern: no letter, number or sign that would belong to it stands around it."""
    text = re.escape(label).replace(r"\ ", r"[\s_-]+")
    if UNSPACED.search(label):
        return text
    return rf"(?<![\w$€£#-])(?<!\d[.,/]){text}(?![\w+#&@=%-]|\s\+\+|[.,/]\d|\s%)"
