"""Lines of a reply that hold an answer and little else, and what is done with lines that go on."""

from __future__ import annotations

import re
from collections.abc import Sequence

from promptlab.labels.naming import LISTED, named
from promptlab.labels.spelling import AROUND, loose_key_of, undecorated

#: What may stand before a label on its line; group 1 where it announces an answer.
BEFORE = (
    rf"{LISTED}"
    r"(\W{0,9}(?:(?:so|thus|therefore|in conclusion|the|my|final|correct|corrected|predicted)\W{1,9}){0,5}"
    r"(?:answer|antwort|réponse|respuesta|category|class|classification|conclusion|decision|label|prediction|result|verdict"
    r"|答案|标签)(?: after [\w ]{1,30})?(?:\W{0,9}\bis\b\W{0,9}:?|\W{0,9}:))?"
)

UNCHECKED = r"\W{0,6}\[ ?\]"  # begins an entry of a list that is not ticked

#: What begins a line that takes back the one before it.
RECANTED = re.compile(
    r"\W*(?:actually|wait|no|nope|correction|on second thoughts?|scratch that)(?:\W*$|\s?[,.:!—–-])",
    re.IGNORECASE,
)


def alone(line: str, labels: Sequence[str]) -> str | None:
    """Return the label that a line holds alone, or behind "Answer:" and the like; None where there is more."""
    key = loose_key_of(undecorated(re.sub(BEFORE, "", line, count=1, flags=re.IGNORECASE)))
    return next((label for label in labels if loose_key_of(label) == key), None)


def announces(line: str) -> bool:
    """Say whether a line announces an answer, as "Verdict: ..." does."""
    found = re.match(BEFORE, line, re.IGNORECASE)
    return bool(found and found[1] and line[found.end() :].strip(AROUND))


def last_sentences(lines: Sequence[str], end: int, labels: Sequence[str]) -> tuple[str, int]:
    """Return the last of the lines before `end`, with those it goes on from, and the number of the first."""
    text, start = lines[end - 1], end - 1
    while start and end - start < LONGEST_WRAP and _goes_on(lines[start - 1], lines[start], labels):
        before = lines[start - 1].rstrip()
        text = before[:-1] + text.lstrip() if _hyphenated(before) else f"{before} {text.lstrip()}"
        start -= 1
    return text, start


LONGEST_WRAP = 5  # lines that a sentence may go over


def _goes_on(before: str, line: str, labels: Sequence[str]) -> bool:
    """Say whether a line continues the sentence of the one before; an answer on a line of its own does not."""
    if not (line.lstrip()[:1].islower() and re.search(r"[\w,'-]$", before.rstrip()[-1:])):
        return False
    if _hyphenated(before.rstrip()):
        return not alone(line, labels) or bool(named(before.rstrip()[:-1] + line.lstrip(), labels))
    return not (alone(line, labels) or alone(before, labels))


def _hyphenated(line: str) -> bool:
    return bool(re.fullmatch(r"\w-", line[-2:]))
