"""Dollars: what calls cost, what one may cost at most, and a budget that is never exceeded."""

from __future__ import annotations

import json
import operator
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from promptlab.errors import BudgetExceeded, DataError
from promptlab.models import catalog
from promptlab.records import Model, Reply, Usage

MILLION = 1_000_000
HIDDEN = 2000  # tokens, amply, of the instructions that the API adds for structured outputs


def dollars(model: Model, *replies: Reply) -> float | None:
    """Return what replies of a model cost; None where its price is not known."""
    price = catalog.price(model)
    if price is None:
        return None
    total = 0.0
    for one in replies:
        plain = one.input_tokens - one.cache_write_tokens - one.cache_read_tokens
        counts = (plain, one.output_tokens, one.cache_write_tokens, one.cache_read_tokens)
        total += sum(map(operator.mul, counts, price.of(one.input_tokens)))
    return total / MILLION


def worst(model: Model, body: Mapping[str, Any]) -> float:
    """Return what a call may cost at most: a token a byte at the dearest rate, and the longest reply."""
    price = catalog.price(model)
    if price is None:
        raise _unknown(model)
    most = len(json.dumps(body).encode())
    most += HIDDEN if model.structured else 0
    read, output, *cached = price.of(most)
    return (most * max(read, *cached) + model.max_tokens * output) / MILLION


def _unknown(model: Model) -> DataError:
    return DataError(
        f"the price of {model.name} is not known, so no cap can be kept: give it in pyproject.toml under "
        f'[tool.promptlab.prices."{model.name}"] (input and output, dollars per million tokens), '
        f"or as Model(..., price=Price(...))"
    )


class Budget:
    """Dollars that may be spent; several runs may share one.

    Attributes:
        limit: the most that may be spent.
        whole: a larger budget, of which this one is a part.
        spent: what was spent so far; a call whose cost is unknown, since it broke off, counts as the worst.
    """

    def __init__(self, limit: float, whole: Budget | None = None) -> None:
        if not limit > 0:
            raise DataError(f"max_cost is {limit!r}, expected dollars, more than 0")
        self.limit, self.whole, self.spent, self._reserved = float(limit), whole, 0.0, 0.0

    def __repr__(self) -> str:
        return f"<Budget ${self.spent:.4f} of ${self.limit:.2f} spent>"

    @property
    def left(self) -> float:
        """What is neither spent nor put aside."""
        return self.limit - self.spent - self._reserved

    def reserve(self, most: float) -> bool:
        """Put the worst case of a call aside; False, and nothing, where it does not fit."""
        if self.left < most or (self.whole and not self.whole.reserve(most)):
            return False
        self._reserved += most
        return True

    def settle(self, most: float, used: float) -> None:
        """Turn what was put aside for a call into what was used."""
        self._reserved -= most
        self.spent += used
        if self.whole:
            self.whole.settle(most, used)

    def exceeded(self, model: Model, most: float) -> BudgetExceeded:
        """Return the error for a call that does not fit."""
        if self.whole and self.whole.left < most:
            return self.whole.exceeded(model, most)
        return BudgetExceeded(
            f"of the budget of ${self.limit:.2f}, ${max(0.0, self.left):.4f} is left, and the next call to "
            f"{model.name} may cost ${most:.4f}"
        )


def budget_of(max_cost: float | Budget | None, *models: Model) -> Budget | None:
    """Return a budget as it is, or that of so many dollars; DataError where a model's price is not known."""
    if max_cost is None:
        return None
    for model in models:
        if catalog.price(model) is None:
            raise _unknown(model)
    return max_cost if isinstance(max_cost, Budget) else Budget(max_cost)


@dataclass(frozen=True)
class Spent:
    """What the calls of one role took.

    Attributes:
        role: "classifier" or "critic".
        model: its name.
        usage: calls and tokens.
        dollars: at the prices of today; None where they are not known.
        seconds: of a call, the median and the 95th percentile, as recorded; None where no time is known.
    """

    role: str
    model: str
    usage: Usage
    dollars: float | None = None
    seconds: tuple[float, float] | None = field(default=None, compare=False)

    def __str__(self) -> str:
        """Say it in a line."""
        of = self.usage
        cached = f" ({of.cache_read_tokens:,} of them cached)" if of.cache_read_tokens else ""
        cost = "price unknown" if self.dollars is None else f"${self.dollars:.4f}"
        took = f"; {self.seconds[0]:.2f} s a call, 95% under {self.seconds[1]:.2f} s" if self.seconds else ""
        tokens = f"{of.input_tokens:,} tokens in{cached}, {of.output_tokens:,} out"
        return f"{self.role} {self.model}: {of.calls:,} calls, {tokens}, {cost}{took}"


def spent(role: str, model: Model, replies: Sequence[Reply]) -> Spent:
    """Sum up the replies of a role."""
    times = sorted(one.seconds for one in replies if one.seconds is not None)
    took = percentiles(times) if times else None
    usage = sum(map(usage_of, replies), Usage())
    return Spent(role, model.name, usage, dollars(model, *replies), took)


def percentiles(times: Sequence[float]) -> tuple[float, float]:
    """Return the median and the 95th percentile of sorted times."""
    return statistics.median(times), times[min(len(times) - 1, int(0.95 * len(times)))]


def usage_of(reply: Reply) -> Usage:
    """Return the usage of one call."""
    cached = (reply.cache_write_tokens, reply.cache_read_tokens)
    return Usage(1, reply.input_tokens, reply.output_tokens, *cached)
