"""What a session has found so far; nothing but the standard library is imported here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from promptlab.gate.answers import Answers
    from promptlab.gate.base import Pair
    from promptlab.gate.decide import Failure
    from promptlab.gate.migration import Migration


@dataclass
class Results:
    """Collected by `lab`, shown by the hooks; workers of pytest-xdist send theirs to the controller."""

    sections: list[tuple[str, list[str]]] = field(default_factory=list)  # of the summary: title, lines
    ledger: list[str] = field(default_factory=list)  # how often each test split was looked at
    pairs: list[Pair] = field(default_factory=list)  # the prompts to be judged against those of the base
    answers: list[Answers] = field(default_factory=list)  # what was read, for --promptlab-answers
    failures: list[Failure] = field(default_factory=list)  # what could not be evaluated
    migrations: list[Migration] = field(default_factory=list)  # the same prompt on two models
    figures: dict[str, float | str] = field(default_factory=dict)  # of the current test, for JUnit

    def merge(self, other: Results) -> None:
        """Add the results of a worker; what several workers have found is kept once, in order of title."""
        titles = {title for title, _ in self.sections}
        self.sections += [section for section in other.sections if section[0] not in titles]
        self.ledger += [line for line in other.ledger if line not in self.ledger]
        self.pairs += [one for one in other.pairs if one not in self.pairs]  # a title may have two results
        self.answers += [one for one in other.answers if one not in self.answers]
        self.migrations += [one for one in other.migrations if one not in self.migrations]
        self.failures += [one for one in other.failures if one not in self.failures]
        self.sections.sort(key=lambda section: section[0])  # workers finish in any order
        self.migrations.sort(key=lambda one: one.title)
        self.ledger.sort()
