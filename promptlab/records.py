"""The nouns: frozen records that the other modules pass on.

Nothing here computes a metric, reads a file or knows the API.
"""

from __future__ import annotations

import hashlib
import json
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple, get_args

from promptlab.errors import shorten

#: Why a prediction has no label; an extractor may give reasons of its own, see `Unreadable`.
REASONS = ("absent", "contradictory", "outside the set", "refused", "truncated", "empty", "rejected")
REJECTED = "rejected"  # the API refuses the example for good, so that no model sees it

#: The figures by which prompts can be chosen and judged; "score" is that of graded tasks.
Metric = Literal["macro_f1", "accuracy", "f1", "score"]
METRICS: tuple[Metric, ...] = get_args(Metric)

#: What an example should give: a label, or of several columns each one's value.
Label = str | Mapping[str, str]


def metric_name(metric: Metric, positive: str | None = None) -> str:
    """Return the display name of a metric."""
    names = {"macro_f1": "macro F1", "accuracy": "accuracy", "f1": f"F1 of {positive}", "score": "mean score"}
    return names[metric]


def shown(label: object) -> str:
    """Write a label on one line, for people; of a mapping, its names and values."""
    if isinstance(label, Mapping):
        return ", ".join(f"{name}: {value}" for name, value in label.items())
    return label if isinstance(label, str) else repr(label)


class Source(NamedTuple):
    """A row of a file, counted as a spreadsheet shows it; of a DataFrame, the repr of its index."""

    file: str
    row: int | str

    def __str__(self) -> str:
        return f"{self.file}, row {self.row}"


class Form(NamedTuple):
    """How a text is made of columns: filled into the template; None is the one column as it is."""

    columns: tuple[str, ...] = ("text",)
    template: str | None = None


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled text.

    Attributes:
        id: unique in its task; a hash of the text unless the data names one.
        label: what the classifier should answer; of a graded task it may be a mapping.
        note: why the label holds, for the critic; "" when nobody wrote one.
        canonical: one that no prompt may get wrong; always in the train split.
        group: examples of one group go into the same split; None is a group of one.
        split: "train", "validation" or "test"; None leaves it to the task.
        disputed: its label is in doubt: the critic never sees it, and figures are given without it too.
        source: where it was read from, for error messages; not part of its identity.
        overlay: the file of corrections that its data were read with; not part of its identity.
        form: how its text was made of columns; not part of its identity.
    """

    id: str
    text: str
    label: Label
    note: str = ""
    canonical: bool = False
    group: str | None = None
    split: str | None = None
    disputed: bool = False
    source: Source | None = field(default=None, compare=False)
    overlay: str | None = field(default=None, compare=False)
    form: Form = field(default=Form(), compare=False, repr=False)


class Demonstration(NamedTuple):
    """A text and the reply that the model should have given to it."""

    text: str
    reply: str


@dataclass(frozen=True)
class Prompt:
    """The text around an example: system prompt, user turn before and after it, start of the reply.

    `demonstrations` are shown before the example, each as a user turn, with the same prefix and suffix, and
    the assistant's turn; their order matters.
    """

    system: str = ""
    prefix: str = ""
    suffix: str = ""
    reply_prefix: str = ""
    demonstrations: tuple[Demonstration, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "demonstrations", tuple(Demonstration(*one) for one in self.demonstrations))

    @cached_property
    def id(self) -> str:
        """Eight hexadecimal digits that identify the prompt in tables."""
        parts = "\0".join((self.system, self.prefix, self.suffix, self.reply_prefix))
        if self.demonstrations:
            parts += "\0" + json.dumps(self.demonstrations)
        return hashlib.blake2b(parts.encode(errors="surrogatepass"), digest_size=4).hexdigest()

    def __len__(self) -> int:
        """Count the characters of all parts, demonstrations included."""
        parts = (self.system, self.prefix, self.suffix, self.reply_prefix)
        return sum(map(len, parts)) + sum(len(text) + len(reply) for text, reply in self.demonstrations)

    def __bool__(self) -> bool:
        """An empty prompt is a prompt: the model gets the text alone."""
        return True


@dataclass(frozen=True)
class Price:
    """Dollars per million tokens.

    Attributes:
        input: tokens read, those from or for the cache not counted.
        output: tokens written, thinking included.
        cache_write: tokens written into the cache; None is the price of input.
        cache_read: tokens read from the cache; None is the price of input.
        long_from: input tokens from which on the whole request has the price `long`.
        long: None where there is no such tier.
    """

    input: float
    output: float
    cache_write: float | None = None
    cache_read: float | None = None
    long_from: int = 0
    long: Price | None = None

    def of(self, input_tokens: int) -> tuple[float, float, float, float]:
        """Return the four prices of a request of so many tokens in all, in the order of the attributes."""
        if self.long and input_tokens > self.long_from:
            return self.long.of(input_tokens)
        write, read = (self.input if one is None else one for one in (self.cache_write, self.cache_read))
        return self.input, self.output, write, read


@dataclass(frozen=True)
class Model:
    """A model and its settings.

    Attributes:
        name: as the API knows it, for example "claude-haiku-5-5".
        max_tokens: longest reply, in tokens, thinking included.
        base_url: server to ask; None is the SDK's own (ANTHROPIC_BASE_URL, then api.anthropic.com).
        effort: "low" to "max"; None leaves the model's default.
        thinking: the API's `thinking` object; None leaves the model's default.
        extra_body: further fields of the request, for example {"temperature": 0} for llama.cpp.
        structured: the JSON schema of its answers, read with `json_field`; True is the task's own, a reason
            and then a label. Not every server minds it.
        price: None takes it from promptlab's table, where it has one.
    """

    name: str
    max_tokens: int = 1024
    base_url: str | None = None
    effort: str | None = None
    thinking: Mapping[str, Any] | None = None
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    structured: bool | Mapping[str, Any] = False
    price: Price | None = field(default=None, compare=False, repr=False)  # no part of what is asked


@dataclass(frozen=True)
class Request:
    """One call: the model, the system prompt and the turns as (role, text) pairs.

    A request that is made several times is numbered: `repeat` is 0 for the first.
    """

    model: Model
    system: str
    messages: tuple[tuple[str, str], ...]
    repeat: int = 0
    shared: bool = False  # whether other requests begin the same, so that the API should cache that

    @cached_property
    def beginning(self) -> object:
        """What the requests of one prompt to one model have in common: all but the last user turn."""
        return self.model.name, self.model.base_url, self.system, self.messages[: self.last_turn]

    @property
    def last_turn(self) -> int:
        """The number of the last user turn, which has the text that is asked about."""
        return max((n for n, (role, _) in enumerate(self.messages) if role == "user"), default=0)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model answered.

    Attributes:
        text: the text blocks joined; thinking is not part of it. Of a rejected example, what the API said.
        stop_reason: as the API gives it: "end_turn", "max_tokens", "refusal", ...; "rejected" where it
            refused the example for good, so that no model answered.
        blocks: the types of all blocks, in order.
        model: as the reply names it.
        input_tokens: tokens read, cached ones included.
        output_tokens: tokens written, thinking included.
        cache_write_tokens: of the tokens read, those that were written into the API's cache.
        cache_read_tokens: of the tokens read, those that came from it.
        seconds: how long the call took, when it was made; None where that is not known.
    """

    text: str
    stop_reason: str
    blocks: tuple[str, ...]
    model: str
    input_tokens: int
    output_tokens: int
    cache_write_tokens: int = 0
    cache_read_tokens: int = 0
    seconds: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What an extractor returns for a reply that it cannot read, and why, in a few words."""

    why: str


@dataclass(frozen=True, repr=False)
class Prediction:
    """The classifier's answer about one example.

    Attributes:
        label: what the extractor read; None where there is none. Of a graded task it need not be a string.
        missing: why there is no label: one of REASONS, or the extractor's own words.
        repeat: which of several answers to the same request it is.
        score: 0 to 1; of a classification task, whether the label is right. Without a label it is 0.
    """

    example: Example
    reply: Reply
    label: Any
    missing: str | None = None
    repeat: int = 0
    score: float = 0.0

    @property
    def correct(self) -> bool:
        """Whether nothing is wrong: the score is 1."""
        return self.score == 1

    def __repr__(self) -> str:
        """Show the prediction on one line, for a failed assertion."""
        said = shorten(self.reply.text, 200).replace("##[", "## [")
        text = shorten(self.example.text, 200).replace("##[", "## [")
        gold = shown(self.example.label)
        return f"<Prediction {self.example.id}: {gold}, answered {self.answer}; {text} -> {said}>"

    @property
    def answer(self) -> str:
        """The label, or why there is none, in brackets."""
        return f"({self.missing})" if self.missing else shown(self.label)


@dataclass(frozen=True, slots=True)
class Usage:
    """Distinct requests that were made, tokens read (cached ones included) and tokens written.

    Of the tokens read, some were written into the API's cache, others came from it.
    """

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_write_tokens: int = 0
    cache_read_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(*map(operator.add, self._counts, other._counts))

    def __sub__(self, other: Usage) -> Usage:
        return Usage(*map(operator.sub, self._counts, other._counts))

    @property
    def _counts(self) -> tuple[int, ...]:
        cached = (self.cache_write_tokens, self.cache_read_tokens)
        return self.calls, self.input_tokens, self.output_tokens, *cached
