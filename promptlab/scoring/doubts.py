"""Labels worth a second look: examples that every prompt answers in the same wrong way."""

from collections.abc import Iterable
from dataclasses import dataclass

from promptlab.records import Example, Prediction, Prompt
from promptlab.scoring.evaluation import Evaluation

FEWEST = 3  # prompts; two of them often share a mistake


@dataclass(frozen=True)
class Doubt:
    """An example whose label may be the mistake, and what the prompts answered, side by side."""

    example: Example
    answer: str  # the label that all of them gave
    answers: tuple[tuple[str, Prediction], ...]  # each prompt's name with its answer


def doubtful(evaluations: Iterable[Evaluation], *, fewest: int = FEWEST) -> tuple[Doubt, ...]:
    """Return the examples that every prompt gave the same wrong label, those of most prompts first.

    Look at them before you change the prompt: if a label is wrong, correct it in the data or in an overlay;
    if it can be argued about, mark it as `disputed`, which keeps the example from the critic and from
    demonstrations, and gives every figure with and without it.

    Args:
        evaluations: of one task with labels, by different prompts; of one prompt, its first answer counts.
        fewest: prompts that have to have answered; with fewer, an example is not in doubt.
    """
    answers: dict[Example, dict[Prompt | str, tuple[str, Prediction]]] = {}
    for result in evaluations:
        for row in result.rows if result.labels else ():
            who = result.prompt or result.answered_by
            answers.setdefault(row.example, {}).setdefault(who, (result.subject, row))
    found = []
    for example, given in answers.items():
        labels = {row.label for _, row in given.values()}
        if len(given) >= fewest and len(labels) == 1 and not labels & {None, example.label}:
            found.append(Doubt(example, str(labels.pop()), tuple(given.values())))
    return tuple(sorted(found, key=lambda one: (-len(one.answers), one.example.id)))
