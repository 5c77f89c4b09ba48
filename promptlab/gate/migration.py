"""A model migration: the same prompt on two models, about the same examples."""

import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from promptlab.records import Model
from promptlab.scoring.comparison import Comparison, compare
from promptlab.scoring.evaluation import MARGIN, Evaluation
from promptlab.scoring.weights import Verdict


@dataclass(frozen=True, repr=False)
class Migration:
    """What changes if another model answers.

    Attributes:
        comparison: of the two models' answers, the present one's as the base.
        seconds: the median of a call's recorded duration, for each of the two; None where none is recorded.
            It was measured with as many calls in flight as the recording had, and on its day.
    """

    comparison: Comparison
    seconds: tuple[float | None, float | None]

    @property
    def verdict(self) -> Verdict:
        """As of a prompt: "broken", "worse", "inconclusive" or "better"."""
        return self.comparison.verdict

    @property
    def no_worse(self) -> bool:
        """Whether the metric is shown not to fall by the margin or more, with 95% confidence."""
        return self.comparison.no_worse

    @property
    def title(self) -> str:
        """Task and models, for people."""
        old, new = (_model(one) for one in self.sides)
        names = f"{old.name} -> {new.name}" if old.name != new.name else f"{old.name}, other settings"
        return f"{self.comparison.new.task}: {names}"

    @property
    def sides(self) -> tuple[Evaluation, Evaluation]:
        """The two models' answers, the present one's first."""
        return self.comparison.base, self.comparison.new

    def lines(self, *, verbose: bool = False) -> Iterator[str]:
        """Yield what to do, then why, and what it costs."""
        yield from self.comparison.lines(verbose=verbose)
        yield from (f"  {line}" for line in self.costs)

    def __str__(self) -> str:
        """Say all of it."""
        return "\n".join(self.lines(verbose=True))

    def __repr__(self) -> str:
        return f"<Migration {self.title}: {self.comparison!r}>"

    @property
    def costs(self) -> Iterator[str]:
        """Yield canonical examples, tokens and seconds of both, a line each."""
        if all(one.canonical_rows for one in self.sides):
            right = ([row.correct for row in one.canonical.rows] for one in self.sides)
            yield "canonical examples right: " + " -> ".join(f"{sum(one)} of {len(one)}" for one in right)
        for name in ("input_tokens", "output_tokens"):
            means = (statistics.fmean(getattr(row.reply, name) for row in one.rows) for one in self.sides)
            yield f"{name.replace('_', ' ')} a call: " + " -> ".join(f"{one:,.1f}" for one in means)
        if None not in self.seconds:
            yield "seconds a call (median): " + " -> ".join(f"{one:.2f}" for one in self.seconds)


def migration(old: Evaluation, new: Evaluation, margin: float = MARGIN) -> Migration:
    """Compare two models' answers."""
    median = [next((one.seconds[0] for one in side.spent if one.seconds), None) for side in (old, new)]
    return Migration(compare(old, new, margin=margin), (median[0], median[1]))


def _model(result: Evaluation) -> Model:
    assert result.classifier
    return result.classifier
