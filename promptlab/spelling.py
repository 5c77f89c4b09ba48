"""What of a text counts when a label is looked for: no case, Unicode form, emphasis or punctuation."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable, Sequence

#: What may stand around an answer and says nothing: white space, Markdown, quotes, punctuation. Signs do
#: say something ("C#", "-1"), and so does a strike through.
AROUND = " \t\r\n\f\v*_`\"'“”„‟‘’‚«»‹›.,;:!?…()[]{}。、！？；：「」『』"

#: Quotes as word processors write them, for those of JSON.
CURLY = str.maketrans("\u201c\u201d\u201e\u2018\u2019", '"""\'\'')

#: What begins a line of a list, a heading or a quotation.
LISTED = r"^\s*(?:[-+*#>|•–—]{1,6}\s+)?"

#: What may stand before a label on its line.
BEFORE = (
    rf"{LISTED}"
    r"(?:\W{0,9}(?:(?:so|thus|therefore|in conclusion|the|my|final|correct)\W{1,9}){0,5}"
    r"(?:answer|category|class|classification|conclusion|decision|label|result|verdict)(?:\W{0,9}\bis\b\W{0,9}:?|\W{0,9}:))?"
)

MARKS = 30  # combining marks in a row; no script has more, and normalizing longer runs takes squares

NEGATIONS = frozenset(
    [
        "not",
        "no",
        "non",
        "never",
        "neither",
        "nor",
        "cannot",
        "hardly",
        "without",
        "isnt",
        "wasnt",
        "doesnt",
        "nicht",
        "kein",
        "keine",
        "keinesfalls",
        "pas",
        "ne",
        "jamais",
        "nunca",
        "não",
        "nao",
        "nie",
        "ni",
    ]
)

NEAR = 4  # words before a label in which a negation is meant for it


def normal(text: str) -> str:
    """Return a text in Unicode's form NFKC, without characters that show nothing."""
    if text.isascii():
        return text
    kept, marks = [], 0
    for char in text:
        category = unicodedata.category(char)
        if category == "Cf":
            continue
        marks = marks + 1 if category[0] == "M" else 0
        if marks <= MARKS:
            kept.append(char)
    return unicodedata.normalize("NFKC", "".join(kept))


def key_of(answer: str) -> str:
    """Return what of an answer counts: no case, no emphasis, quotes or punctuation around it."""
    return exact(normal(answer).strip(AROUND)) or exact(answer)


@functools.cache
def _whole_words(labels: tuple[str, ...]) -> tuple[re.Pattern[str], dict[str, str]]:
    known = {exact(label): label for label in labels}
    longest = sorted(known, key=len, reverse=True)
    return re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, longest))})(?![\w-])"), known


def mentions(line: str, labels: Sequence[str]) -> list[tuple[str, bool]]:
    """Find the labels that a line names as whole words, and whether each is negated."""
    pattern, known = _whole_words(tuple(labels))
    plain = exact(line).replace("*", "").replace("`", "").replace("\u2019", "'")
    text = re.sub(r"\w+", lambda word: word[0].strip("_"), plain)  # emphasis with underscores
    found, end = [], 0
    for one in pattern.finditer(text):
        before = re.split(r"[.,;:!?()]", text[max(end, one.start() - 80) : one.start()])[-1]
        near = re.findall(r"[\w']+", before)[-NEAR:]
        negated = any(word.replace("'", "") in NEGATIONS or "n't" in word for word in near)
        found.append((known[one[0]], negated))
        end = one.end()
    return found


def alone(line: str, labels: Sequence[str]) -> str | None:
    """Return the label that a line holds alone, or behind "Answer:" and the like; None where there is more."""
    key = key_of(re.sub(BEFORE, "", line, count=1, flags=re.IGNORECASE))
    return next((label for label in labels if key_of(label) == key), None)


def listed(line: str, labels: Sequence[str]) -> str | None:
    """Return the label that a line begins with, if more follows, as in a list: "- sincere: 10%"."""
    rest = exact(re.sub(LISTED, "", line, count=1)).strip(AROUND)
    found = _whole_words(tuple(labels))[0].match(rest)
    return _whole_words(tuple(labels))[1][found[0]] if found and rest[found.end() :].strip(AROUND) else None


def exact(text: str) -> str:
    """Return a text without case, Unicode forms and white space that differ for nothing."""
    return unicodedata.normalize("NFKC", " ".join(normal(text).casefold().split()))


def lines_of(text: str) -> list[str]:
    """Return the lines of a text in its normal form, without those that are empty."""
    return [line for line in normal(text).splitlines() if line.strip()]


def words_of(text: str) -> str:
    """Return the words of a text, one space apart."""
    return " ".join(re.findall(r"[^\W_]+", exact(text)))


def different(answers: Iterable[str]) -> tuple[str, ...]:
    """Drop what says nothing, and of answers that read alike all but the first."""
    return tuple({key_of(one): one.strip() for one in reversed([*answers]) if one.strip(AROUND)}.values())[
        ::-1
    ]
