"""What the splits share although they should not: texts that are nearly the same, and copied words."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence

from promptlab.records import Example

WORD = r"\w+"
NEARLY = 0.8  # share of the words of two texts that both have; from here on, one gives the other away
COPIED_WORDS = 8  # so many words in a row of a held-out text are no accident
AT_ONCE = 500  # texts that are compared with all others at a time: it bounds the memory


def near_duplicates(
    train: Sequence[Example], held_out: Sequence[Example]
) -> tuple[tuple[Example, Example], ...]:
    """Return the examples of train that are nearly the same as a held-out one, each with it.

    Nearly the same: of the distinct words that the two texts have, 80% or more are in both (Jaccard),
    whatever their order. Groups lie in one split, so they never appear here.
    """
    if not train or not held_out:
        return ()
    import numpy
    from sklearn.feature_extraction.text import CountVectorizer

    words = CountVectorizer(binary=True, token_pattern=WORD, dtype=numpy.int32)
    try:
        table = words.fit_transform([example.text for example in (*train, *held_out)])
    except ValueError:  # not a word in any text
        return ()
    sizes = numpy.asarray(table.sum(axis=1)).ravel()
    ours, theirs = table[: len(train)], table[len(train) :].T.tocsc()
    found = []
    for start in range(0, len(train), AT_ONCE):
        both = (ours[start : start + AT_ONCE] @ theirs).toarray()
        either = sizes[start : start + len(both), None] + sizes[None, len(train) :] - both
        for row, column in zip(*numpy.nonzero(both >= NEARLY * numpy.maximum(either, 1)), strict=True):
            found.append((train[start + row], held_out[column]))
    return tuple(found)


def notice(pairs: Sequence[tuple[Example, Example]]) -> str:
    """Say in a sentence that examples are nearly the same as held-out ones."""
    named = ", ".join(f"{ours.id} and {theirs.id}" for ours, theirs in pairs[:3])
    more, count = ", ..." if len(pairs) > 3 else "", len({ours.id for ours, _ in pairs})
    return (
        f"examples of train that are nearly the same as one of validation or test: "
        f"{count} ({named}{more}); no prompt will show them, but give such texts "
        f"one group, or remove one of each pair"
    )


def copied(text: str, held_out: Sequence[Example]) -> str | None:
    """Return words that the text shares with a held-out one, or None.

    Shared means eight words in a row, or a whole text where it is shorter but has four.
    """
    words = " ".join(_words(text))
    for example in held_out:
        own = _words(example.text)
        length = min(COPIED_WORDS, len(own))
        for start in range(len(own) - length + 1 if length >= COPIED_WORDS // 2 else 0):
            run = " ".join(own[start : start + length])
            if f" {run} " in f" {words} ":
                return run
    return None


def quoted(text: str, examples: Sequence[Example]) -> tuple[Example, ...]:
    """Return the examples of which a text has 80% of the words in a row, and four at least."""
    words = f" {' '.join(_words(text, QUOTED))} "
    found = []
    for example in examples:
        own = _words(example.text, QUOTED)
        length = max(COPIED_WORDS // 2, math.ceil(NEARLY * len(own)))
        runs = (" ".join(own[start : start + length]) for start in range(len(own) - length + 1))
        found += [example] if any(f" {run} " in words for run in runs) else []
    return tuple(found)


#: Characters that nobody sees, by which a word could be made another.
UNSEEN = "[\u00ad\u034f\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufe00-\ufe0f\ufeff]"
#: Letters of scripts that write no spaces: Thai, Lao, Burmese, Khmer, kana, Chinese characters.
SPACELESS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff"
QUOTED = rf"[{SPACELESS}]|[^\W_{SPACELESS}]+"  # a word of a quote: each such letter is one, and "_" is none


def _words(text: str, word: str = WORD) -> list[str]:
    return re.findall(word, re.sub(UNSEEN, "", unicodedata.normalize("NFKC", text)).casefold())
