"""Whether recorded answers still hold: some requests are made again, and nothing is written."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping

from promptlab.cassettes.format import message_key
from promptlab.data.sampling import rank
from promptlab.data.task import Task
from promptlab.errors import PromptlabError
from promptlab.models import prompts
from promptlab.models.client import Client
from promptlab.models.spending import Budget
from promptlab.optimizer.history import Run
from promptlab.records import Model, Prediction, Prompt, Request, shown
from promptlab.scoring.evaluation import Evaluation, predict
from promptlab.scoring.weights import share_interval

Answer = tuple[Task, Prompt, Request, Prediction]  # what it takes to ask and read an answer again


def answers(task: Task, classifier: Model, outcome: Run | Evaluation) -> Iterator[tuple[str, Answer]]:
    """Yield the classifier's answers of a run or an evaluation, each with the key of its request."""
    for result in [outcome] if isinstance(outcome, Evaluation) else outcome.evaluations:
        for row in (*result.rows, *result.canonical_rows):
            request = prompts.build(result.asked_with, row.example.text, classifier, row.repeat)
            yield message_key(request), (task, result.asked_with, request, row)


def ask_again(
    outcomes: Iterable[tuple[Task, Model, Run | Evaluation]], count: int, budget: Budget | None
) -> tuple[bool, list[str]]:
    """Ask `count` recorded requests again, chosen by hash, and say how many labels changed.

    Returns whether the calls could be made, and lines: the figure with its interval and each label that
    changed, or why they could not.
    """
    recorded = {key: answer for one in outcomes for key, answer in answers(*one)}
    try:
        return True, asyncio.run(_verify(recorded, count, budget))
    except PromptlabError as error:
        return False, [f"not verified: {error}"]


async def _verify(recorded: Mapping[str, Answer], count: int, budget: Budget | None) -> list[str]:
    chosen = [recorded[key] for key in sorted(recorded, key=lambda key: rank(0, key))[:count]]
    async with Client("live-verify", budget=budget) as client:
        asked = ((request, f"example {row.example.id!r}") for _, _, request, row in chosen)
        replies = await client.ask_all(asked)
    changed = []
    for (task, prompt, _, old), reply in zip(chosen, replies, strict=True):
        new = predict(task, old.example, reply, prompt)
        if new.label != old.label:
            change = f"{old.missing or shown(old.label)} -> {new.missing or shown(new.label)}"
            changed.append(f"  {task.name}, prompt {prompt.id}, example {old.example.id}: {change}")
    if not chosen:
        return ["no recorded calls were replayed, so none were repeated"]
    share = len(changed) / len(chosen)
    return [
        f"{len(chosen)} of {len(recorded)} recorded calls repeated: {len(changed)} labels changed, "
        f"a share of {share_interval(len(changed), len(chosen)).around(share)}",
        *changed,
    ]
