"""What calls would take: how many, how many tokens, how many dollars, by what recorded ones took."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from promptlab.cassettes import format as files
from promptlab.models import catalog, spending
from promptlab.records import Model


@dataclass(frozen=True)
class Part:
    """The calls of one role."""

    role: str
    model: Model
    calls: int
    input_tokens: int
    output_tokens: int
    estimated: bool  # whether no usage of the model is recorded

    @property
    def dollars(self) -> float | None:
        """What they would cost, nothing being cached; None where the price is not known."""
        price = catalog.price(self.model)
        if price is None:
            return None
        read, written, *_ = price.of(self.input_tokens // self.calls)
        return (self.input_tokens * read + self.output_tokens * written) / spending.MILLION

    def __str__(self) -> str:
        tokens = f"about {self.input_tokens:,} tokens in and {self.output_tokens:,} out"
        return f"{self.role} {self.model.name} {self.calls:,} calls, {tokens}, {cost(self.dollars)}"


@dataclass(frozen=True)
class Plan:
    """What a piece of work would take at most; the tokens are those of an average."""

    title: str
    parts: tuple[Part, ...]

    @property
    def calls(self) -> int:
        """All calls."""
        return sum(one.calls for one in self.parts)

    @property
    def dollars(self) -> float | None:
        """All dollars; None where a price is not known."""
        each = [one.dollars for one in self.parts]
        return None if None in each else sum(filter(None, each))

    def __str__(self) -> str:
        marked = " (estimated: no usage is recorded)" if any(one.estimated for one in self.parts) else ""
        each = "; ".join(map(str, self.parts))
        return f"{self.title}: at most {self.calls:,} calls, {cost(self.dollars)}{marked}: {each}"


def cost(dollars: float | None) -> str:
    """Write dollars for people."""
    return "price unknown" if dollars is None else f"${dollars:.2f}" if dollars >= 1 else f"${dollars:.4f}"


class Usage:
    """The tokens that calls of a profile took, by model: for each, what a character and a reply came to."""

    def __init__(self, recordings: Iterable[Path]) -> None:
        self._sums: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
        for path in recordings:
            for entry in files.read(path).calls.values():
                body = entry["request"]["body"]
                if entry.get("kind") == "rejected":
                    continue
                reply = files.reply_of(entry)
                counts = (_length(body), reply.input_tokens, reply.output_tokens, 1)
                sums = self._sums[body["model"]]
                sums[:] = [a + b for a, b in zip(sums, counts, strict=True)]

    def part(self, role: str, model: Model, calls: int, characters: float) -> Part:
        """Estimate calls about so many characters each."""
        known = self._sums.get(model.name)
        if known is None:
            rate, written = 1 / catalog.CHARACTERS, float(catalog.REPLY[role])
        else:
            rate, written = known[1] / known[0], known[2] / known[3]
        replies = round(calls * min(written, model.max_tokens))
        return Part(role, model, calls, round(calls * characters * rate), replies, known is None)


def _length(body: dict[str, object]) -> int:
    messages = body.get("messages")
    turns = messages if isinstance(messages, list) else []
    return len(str(body.get("system", ""))) + sum(len(str(turn.get("content", ""))) for turn in turns)
