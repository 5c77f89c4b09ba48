"""What of a text counts when a label is looked for: no case, Unicode form, emphasis or punctuation."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

#: What may stand around an answer and says nothing: white space, Markdown, quotes, punctuation. Signs do
#: say something ("C#", "-1"), and so do a strike through and a question mark.
AROUND = " \t\r\n\f\v*_`\"'“”„‟‘’‚«»‹›.,;:!…()[]{}。、！；：「」『』"

#: Quotes as word processors write them, for those of JSON.
CURLY = str.maketrans("\u201c\u201d\u201e\u2018\u2019", '"""\'\'')

#: Dashes that stand for a hyphen or a minus.
DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2212"), "-")

MARKS = 30  # combining marks in a row; no script has more, and normalizing longer runs takes squares


def normal(text: str) -> str:
    """Return a text in Unicode's form NFKC, without characters that show nothing."""
    if text.isascii():
        return text
    kept, marks = [], 0
    for char in text.translate(DASHES):
        category = unicodedata.category(char)
        if category == "Cf":
            continue
        marks = marks + 1 if category[0] == "M" else 0
        if marks <= MARKS:
            kept.append(char)
    return unicodedata.normalize("NFKC", "".join(kept))


def key_of(answer: str) -> str:
    """Return what of an answer counts: no case, no emphasis, quotes or punctuation around it.

    "!sincere" and ".5" are not what they would be without their sign.
    """
    text = normal(answer)
    bare = text.strip(AROUND)
    signed = re.match(r"!(?=\w)|\.(?=\d)", text[: len(text) - len(text.lstrip(AROUND)) + 1][-2:])
    return exact(signed[0] + bare if signed else bare) or exact(answer)


def loose_key_of(answer: str) -> str:
    """Return the same, with hyphens and underscores between words as spaces: "not_spam", "not-spam"."""
    return re.sub(r"(?<=\w)[\s_-]+(?=\w)", " ", key_of(answer))


def exact(text: str) -> str:
    """Return a text without case, Unicode forms and white space that differ for nothing."""
    return unicodedata.normalize("NFKC", " ".join(normal(text).casefold().split()))


def lines_of(text: str) -> list[str]:
    """Return the lines of a text in its normal form, without those that are empty."""
    return [line for line in normal(text).splitlines() if line.strip()]


def sentences_of(line: str) -> list[str]:
    """Return the sentences of a line, each as its words one space apart; questions are left empty."""
    whole = re.split(r"(?<=[.!?…])(?=[^\w\s]{0,5}(?:\s|$))|(?<=[。！？])", exact(line))
    found = [[bare for word in one.split() if (bare := word.strip(AROUND))] for one in whole]
    return [
        "" if "?" in one[-4:] else " ".join(words) for one, words in zip(whole, found, strict=True) if words
    ]


CONFIDENCE = 40  # characters at the end of an answer in which a confidence is looked for


def undecorated(answer: str) -> str:
    """Return an answer without signs of approval, a confidence behind it, and TeX around it."""
    bare = re.sub(r"[✅✔☑👍🙂\ufe0f]|\\(?:boxed|text\w*|math\w*)\b", "", answer)
    bare = (bare.strip("$ ") if bare != answer else bare).rstrip()
    start, end = bare[:-CONFIDENCE], bare[-CONFIDENCE:]  # on more, the search would take squares
    end = re.sub(r"(?:\([^()]*\d\s?%?\)|\s[-,:]\s*[01]?\.\d+|\s[-,:]?\s*\d+\s?%)$", "", end)
    return (start + end).rstrip()


def different(answers: Iterable[str]) -> tuple[str, ...]:
    """Drop what says nothing, and of answers that read alike all but the first."""
    return tuple({key_of(one): one.strip() for one in reversed([*answers]) if one.strip(AROUND)}.values())[
        ::-1
    ]
