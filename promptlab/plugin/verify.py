"""Whether recorded answers still stand: some are asked again, and nothing is written."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from promptlab.cassettes.entries import key_of
from promptlab.data.sampling import rank
from promptlab.data.task import Task
from promptlab.errors import PromptlabError
from promptlab.models import client as models
from promptlab.models import messages_api as wire
from promptlab.models import prompts
from promptlab.optimizer.history import Run
from promptlab.records import Model, Prediction, Prompt, Request
from promptlab.scoring.evaluation import Evaluation
from promptlab.scoring.intervals import wilson
from promptlab.scoring.metrics import predict


@dataclass(frozen=True)
class Answer:
    """A recorded answer of the classifier, and what it takes to ask and read it again."""

    task: Task
    prompt: Prompt
    request: Request
    prediction: Prediction


def answers(task: Task, classifier: Model, outcome: Run | Evaluation) -> dict[str, Answer]:
    """Collect the classifier's answers of a run or an evaluation, by the key of the request."""
    found = {}
    for result in _evaluations(outcome):
        for row in (*result.rows, *result.clear_cut):
            request = prompts.request(result.prompt, row.example.text, classifier)
            found[key_of("POST", "/v1/messages", wire.body_of(request))] = Answer(
                task, result.prompt, request, row
            )
    return found


def _evaluations(outcome: Run | Evaluation) -> Iterator[Evaluation]:
    if isinstance(outcome, Evaluation):
        yield outcome
        return
    for step in outcome.history:
        for trial in (step.parent, step.candidate):
            if trial:
                yield from filter(None, (trial.minibatch, trial.validation))
    yield from (outcome.test_first, outcome.test)


def ask_again(recorded: Mapping[str, Answer], count: int) -> tuple[bool, list[str]]:
    """Do as `verify`; return whether the calls could be made, and the lines or why not."""
    try:
        return True, asyncio.run(verify(recorded, count))
    except PromptlabError as error:
        return False, [f"not verified: {error}"]


async def verify(recorded: Mapping[str, Answer], count: int) -> list[str]:
    """Ask `count` recorded calls again, chosen by hash, and say how many labels changed.

    Returns:
        Lines: the figure with its interval, then each label that changed.
    """
    chosen = [recorded[key] for key in sorted(recorded, key=lambda key: rank(0, key))[:count]]
    async with models.Client() as client:
        asked = ((one.request, f"example {one.prediction.example.id!r}") for one in chosen)
        replies = await client.ask_all(asked)
    changed = []
    for one, reply in zip(chosen, replies, strict=True):
        old, new = one.prediction, predict(one.task, one.prediction.example, reply, one.prompt.reply_prefix)
        if new.label != old.label:
            said = f"{old.label or old.missing} -> {new.label or new.missing}"
            changed.append(f"  {one.task.name}, prompt {one.prompt.id}, example {old.example.id}: {said}")
    if not chosen:
        return ["no recorded answers were replayed, so none was asked again"]
    share = len(changed) / len(chosen)
    return [
        f"{len(chosen)} of {len(recorded)} recorded answers asked again: {len(changed)} labels changed, "
        f"a share of {wilson(len(changed), len(chosen)).around(share)}",
        *changed,
    ]
