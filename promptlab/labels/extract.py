"""From a reply to a label: syntax, never meaning.

The prompt asks for the answer in a form, an extractor reads that form, and what is not in it is no label.
An extractor need not know the task's labels: `read_answer` normalizes what it found and looks it up.
"""

import functools
import json
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from promptlab.errors import ExtractorError, PromptlabError, shorten
from promptlab.records import Unreadable

#: Reply text -> label, or for a graded task any value; None or Unreadable where the reply states none.
Extractor = Callable[[str], Any]
LABEL = "LABEL"  # placeholder for the label in an extractor's `answer_format`

QUOTES = "\"'“”„‟‘’‚«»‹›「」『』`*_()[]{}\u200b\ufeff"  # quotes, emphasis and brackets around an answer
STOPS = ".,;:!…。！"  # punctuation behind an answer; in front of one it means something: ".5", "!spam"
DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2212"), "-")
WINDOW = 20_000  # characters of the longest JSON object that is read
LONGEST = 1_000  # characters; no label is longer, and normalizing more could take quadratic time

# Scripts written without spaces: words have no boundaries there.
UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\ua4cf\uac00-\ud7ff\uf900-\uffdc]")


def fold(text: str) -> str:
    """Fold Unicode forms, dashes, case and white space, and drop characters that show nothing."""
    visible = "".join(char for char in text if unicodedata.category(char) != "Cf")
    folded = unicodedata.normalize("NFKC", visible.translate(DASHES)).casefold()
    return unicodedata.normalize("NFKC", " ".join(folded.split()))


def normalize(text: str) -> str:
    """Fold an answer, and strip quotes, emphasis and brackets around it and punctuation behind it."""
    return fold(fold(text).lstrip(QUOTES + " ").rstrip(QUOTES + STOPS + " "))


_folded, _normalized = map(functools.lru_cache(maxsize=256), (fold, normalize))  # answers are few, and recur


def read_answer(
    extract: Extractor, labels: Sequence[str], reply: str, *, cut_off: bool = False
) -> tuple[Any, str | None]:
    """Read the label of a reply; where there are no `labels`, whatever the extractor returns.

    Of a reply that was `cut_off` at its token limit, the label counts only if its form is complete: if
    more text on the same line would not change it.

    Returns:
        The label and None, or None and the reason why there is no label.

    Raises:
        ExtractorError: the extractor raised, or returned neither text nor None where there are labels.
    """
    found = _call(extract, reply, or_none=cut_off)  # nobody writes an extractor for half a reply
    read = found is not None and not isinstance(found, Unreadable)
    if cut_off and not (read and _call(extract, f"{reply}x not", or_none=True) == found):
        return None, "truncated"
    if not read:
        return None, shorten(found.why)[1:-1] if isinstance(found, Unreadable) else "absent"
    if not labels:
        return found, None
    if not isinstance(found, str):
        raise ExtractorError(
            f"the extractor returned {shorten(found)} for the reply {shorten(reply)}, "
            f"expected a label or None"
        )
    for key in (_folded, _normalized):  # the stricter first, for labels such as "A" and "(A)"
        alike = [label for label in labels if key(label) == key(found[:LONGEST])]
        if len(alike) == 1:
            return alike[0], None
    return None, "contradictory" if len(_named(found, tuple(labels))) > 1 else "outside the set"


def _call(extract: Extractor, reply: str, *, or_none: bool = False) -> Any:
    try:
        return extract(reply)
    except PromptlabError:  # NetworkBlocked, for example
        raise
    except Exception as error:
        if or_none:
            return None
        raise ExtractorError(f"the extractor raised {error!r} on the reply {shorten(reply)}") from error


def whole_word(text: str) -> str:
    """Return a regular expression for a text as a whole word: "sincere" is not found in "insincere"."""
    before = "" if UNSPACED.match(text[0]) else r"(?<![\w-])"
    behind = "" if UNSPACED.match(text[-1]) else r"(?!-?\w)"
    return before + re.escape(text) + behind


@functools.lru_cache(maxsize=64)
def _any_of(labels: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(whole_word, sorted(labels, key=len, reverse=True))), re.IGNORECASE)


def _named(text: str, labels: tuple[str, ...]) -> set[str]:
    """Return the labels that a text names as whole words, folded; of two that overlap, the longer."""
    return {fold(one) for one in _any_of(labels).findall(text)}


@dataclass(frozen=True)
class Tagged:
    """Read the label between tags, such as <label>sincere</label>: the last complete tag counts."""

    name: str = "label"

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z][\w-]*", self.name):
            raise ValueError(f"tagged({self.name!r}): expected a tag name such as 'label', without < and >")

    @property
    def answer_format(self) -> str:
        """How a reply states its label, with LABEL in its place."""
        return f"<{self.name}>{LABEL}</{self.name}>"

    def __call__(self, reply: str) -> str | None:
        found = re.findall(rf"<{self.name}>([^<]*)</{self.name}>", reply, re.IGNORECASE)
        return found[-1] if found else None


@dataclass(frozen=True)
class Phrase:
    """Read the last of some sentences, one for each label: {"sincere": "this question is sincere", ...}.

    A sentence may leave out what comes before and after the words that matter, and shorter is safer:
    the one above is also found in "Therefore, in conclusion, this question is sincere."
    """

    sentences: Mapping[str, str]

    def __post_init__(self) -> None:
        for label, sentence in self.sentences.items():
            others = [other for one, other in self.sentences.items() if one != label]
            if not _words(sentence) or any(re.search(_pattern(sentence), other) for other in others):
                raise ValueError(
                    f"phrase({dict(self.sentences)!r}): the sentence for {label!r} is empty or part of "
                    f"another, expected sentences of which none contains another"
                )

    @property
    def answer_format(self) -> str | None:
        """The sentence with LABEL in it; None where the sentences differ in more than the label."""
        forms = {re.sub(whole_word(label), LABEL, one) for label, one in self.sentences.items()}
        return forms.pop() if len(forms) == 1 else None

    def state(self, label: str) -> str:
        """Return the sentence for a label."""
        return self.sentences[label]

    def __call__(self, reply: str) -> str | None:
        spots = [
            (found.end(), label)
            for label, sentence in self.sentences.items()
            for found in re.finditer(_pattern(sentence), reply)
        ]
        return max(spots)[1] if spots else None


def _words(sentence: str) -> list[str]:
    return [word for one in sentence.split() if (word := one.strip(QUOTES + STOPS))]


def _pattern(sentence: str) -> str:
    """Match the words of a sentence, with emphasis, quotes, commas and line ends between them."""
    between = rf"[\s,;:{re.escape(QUOTES)}]+"
    return rf"(?i)(?<![^\W_]){between.join(map(re.escape, _words(sentence)))}(?!-?[^\W_])"


@dataclass(frozen=True)
class LastLine:
    """Read a label on the last line, alone or behind "Label:" or the like."""

    answer_format: ClassVar[str] = LABEL

    def __call__(self, reply: str) -> str | None:
        lines = [line for line in reply.splitlines() if re.search(r"\w", line)]
        before, _, rest = lines[-1].partition(":") if lines else ("", "", "")
        return rest if rest.strip() and len(before.split()) <= 5 else before or None


@dataclass(frozen=True)
class JsonField:
    """Read a field of the last JSON object that has it, in a code fence or not."""

    name: str = "label"

    @property
    def answer_format(self) -> str:
        """An object with this field alone."""
        return json.dumps({self.name: LABEL}, ensure_ascii=False)

    def __call__(self, reply: str) -> str | None:
        found, end = None, 0
        while start := re.compile(r'\{\s*"').search(reply, end):
            try:  # in a window, since the error of a parser counts the lines of all that it was given
                value, length = json.JSONDecoder().raw_decode(reply[start.start() : start.start() + WINDOW])
                end = start.start() + length
                found = value.get(self.name, found)
            except json.JSONDecodeError as error:
                end = start.start() + max(error.pos, 1)
            except RecursionError:
                return None
        return found if found is None or isinstance(found, str) else json.dumps(found)


@dataclass(frozen=True)
class Choice:
    """Read a label in running text: the last line that names a label counts.

    It counts if it names one label alone, as a whole word, and holds no "not", "no", "n't", "neither",
    "nor" or "never". Running text can mean what no such rule sees ("borderline, could be sincere"): where
    you can, ask for tags.
    """

    labels: Sequence[str]
    answer_format: ClassVar[str] = LABEL

    def __post_init__(self) -> None:
        if isinstance(self.labels, str) or len(self.labels) < 2:
            raise ValueError(f"choice({self.labels!r}): expected two labels or more")
        object.__setattr__(self, "labels", tuple(self.labels))

    def __call__(self, reply: str) -> str | None:
        known = tuple(self.labels)
        for line in reversed(reply.splitlines()):
            if found := _named(line, known):
                others = _any_of(known).sub(" ", line)  # "no" and "not spam" may be labels
                negated = re.search(r"(?i)\b(?:not|no|neither|nor|never)\b|n['’]t\b", others)
                return found.pop() if len(found) == 1 and not negated else None
        return None


@dataclass(frozen=True, init=False)
class FirstOf:
    """Read with the first of several extractors that finds anything."""

    extractors: tuple[Extractor, ...]
    answer_format: str | None

    def __init__(self, first: Extractor, *others: Extractor) -> None:
        form = getattr(first, "answer_format", None)
        self.__dict__.update(extractors=(first, *others), answer_format=form)

    def __call__(self, reply: str) -> Any:
        tried = (one(reply) for one in self.extractors)
        return next(
            (found for found in tried if found is not None and not isinstance(found, Unreadable)), None
        )


tagged, phrase, last_line, json_field, choice, first_of = Tagged, Phrase, LastLine, JsonField, Choice, FirstOf
