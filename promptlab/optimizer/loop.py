"""The optimization loop: the order of the steps; each step has its own module."""

import functools
import inspect
import warnings
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ParamSpec, TypedDict, TypeVar, Unpack

from promptlab.cassettes import snapshots
from promptlab.cassettes.recorder import IndexedCassette
from promptlab.data import overlap
from promptlab.data.sampling import distinct, draw, taking_turns
from promptlab.data.splits import SPLITS
from promptlab.data.task import Task
from promptlab.errors import reject_unknown
from promptlab.models import prompts
from promptlab.models.blocking import synchronous
from promptlab.models.client import ANY_KEY, WORKERS, Client, check
from promptlab.models.prompts import classifier_of, model_of
from promptlab.models.spending import Budget, budget_of
from promptlab.optimizer.candidates import admitted, canonical_right, unbroken
from promptlab.optimizer.critic import Critic, context
from promptlab.optimizer.forward import Forward
from promptlab.optimizer.history import Candidate, Iteration, Run
from promptlab.optimizer.proposers import PROPOSERS, Proposer, Round
from promptlab.optimizer.race import KEPT, Plan, finals, hand_on, race
from promptlab.optimizer.recording import Live, recording
from promptlab.records import Example, Model, Prompt, Request
from promptlab.scoring.evaluation import Evaluation

P = ParamSpec("P")
T = TypeVar("T")

CALLS = 400
ITERATIONS = 2
PER_LABEL = 8
CRITIC_CALLS = 12  # in a round, at most: claims, four rewrites and single rules, and one repair of each
CANONICAL = 3  # times that a canonical example is asked: no setting makes Claude repeat itself
CRITIC_TOKENS = 16_000  # longest answer of a critic given by name, thinking included


async def steps(
    task: Task,
    *,
    classifier: Model | str,
    critic: Model | str,
    prompt: Prompt | str | Path | None = None,
    calls: int = CALLS,
    iterations: int = ITERATIONS,
    proposers: Sequence[Proposer] = PROPOSERS,
    per_label: int = PER_LABEL,
    mistakes: int = 10,
    correct: int = 5,
    max_characters: int = 4000,
    seed: int = 0,
    workers: int = WORKERS,
    api_key: str | None = None,
    max_cost: float | Budget | None = None,
) -> AsyncIterator[Iteration | Run]:
    """Improve a prompt. `steps` yields each Iteration as it ends, then the Run; `optimize` returns the Run.

    The run is a pure function of the task, the settings and the replies: `workers` changes only how
    long it takes. Proposers and critic see only the train split; prompts race on validation; test is used
    once, at the end, for the first and the best prompt.

    Args:
        task: the task, with its examples.
        classifier: the model whose prompt is improved, or its name.
        critic: the model that reads the mistakes and rewrites the prompt, or its name.
        prompt: the prompt to start from, or its folder; None for `prompts.first(task)`.
        calls: of the classifier for the search, at most. Those of the critic, 12 in a round at most, and
            those about test, twice its size, come on top.
        iterations: rounds, at most: as many as the calls allow, which are shared out among them.
        proposers: functions of a Round that return prompts to try; PREDECESSOR is the critic's rewrite alone.
        per_label: examples of each label in a minibatch, at most; of a graded task, in all. Canonical
            examples are added, and up to half as many that were answered wrong before.
        mistakes: wrong answers of each label that the critic is shown, at most.
        correct: right answers of each label that the critic is shown, at most.
        max_characters: longest prompt that the critic may write, demonstrations not counted.
        seed: changes which examples are drawn.
        workers: maximum number of concurrent calls.
        api_key: None leaves it to the SDK (ANTHROPIC_API_KEY and its other sources).
        max_cost: dollars that may be spent, or a Budget that several runs share; None is no limit.

    Raises:
        DataError: the task cannot be used as it is; no call was made.
        ModelError: a call was rejected or got no response.
        BudgetExceeded: the next call may cost more than what is left of `max_cost`.
        CassetteMiss: a call was not recorded, and calls are replayed.
    """
    _, _, test = (task.split(name) for name in SPLITS)
    classifier, critic = classifier_of(classifier, task), model_of(critic, max_tokens=CRITIC_TOKENS)
    first = prompts.first(task) if prompt is None else prompts.prompt_of(prompt)
    task.demonstrated(first)
    positive(calls=calls, iterations=iterations, per_label=per_label)
    check(classifier, critic)
    budget = budget_of(max_cost, classifier, critic)
    plan = Plan(task, calls, iterations, seed)
    kept: tuple[Candidate, ...] = (Candidate(first),)
    history: list[Iteration] = []
    spare: list[Candidate] = []

    planned = sum(most(task, calls=calls, iterations=iterations))
    async with Client(task.name, planned=planned, workers=workers, api_key=api_key, budget=budget) as client:
        forward = Forward(client, classifier, task, {first: "first"})
        for number in range(1, plan.iterations + 1):
            step, before, limit = f"iteration {number}", client.usage, plan.limit(number, forward.calls)

            # Forward: the best prompt so far answers about a minibatch of train.
            batch = minibatch(task, kept[0].prompt, history, per_label=per_label, seed=seed)
            batch = batch[: (limit - forward.calls) // 4]
            (seen,) = await forward(step, "train", [kept[0].prompt], batch)
            parents = (replace(kept[0], minibatch=seen), *kept[1:])
            # Propose: each proposer in turn; what cannot be tried is refused before a call is paid for it.
            ask = functools.partial(client.ask, asked_for=f"task {task.name!r}, {step}, critic")
            shown = context(task, seen, history, critic, mistakes=mistakes, correct=correct, seed=seed)
            advice = Critic(ask, shown, seen, max_characters, critic.name != classifier.name)
            current = Round(task, number, seed, parents, tuple(history), advice)
            room = limit - forward.calls - KEPT * len(canonical_right(parents[0]))
            new, refused = await admitted(current, proposers, first, plan.room(parents, room))
            # Race: on more and more of validation; the weaker leave, and who breaks a canonical example.
            alive, left = await race(forward, step, parents, new, plan.examples, plan.rounds, room)
            alive, left = await unbroken(forward, step, parents, alive, left)
            # Keep: the best, and the one that is right where the best is wrong.
            kept = hand_on(alive)
            others = [replace(one, left="not needed") for one in alive if one not in kept]
            spare += [one for one in alive if one not in kept]
            raced = {one.prompt: one for one in (*kept, *others, *left)}
            parents = tuple(raced.pop(one.prompt) for one in parents)
            tried, usage = tuple(raced.values()), client.usage - before
            history.append(Iteration(number, parents, advice.critique, tried, refused, kept, usage))
            yield history[-1]
            if kept[0].perfect:  # no other can win any more
                break

        # The finalists answer about all of validation.
        finalists = await finals(forward, plan, [*kept, *spare], calls - forward.calls)
        # The test split is read here for the first time, with the first prompt and the best.
        (test_first,) = await forward("test", "test", [first], test)
        (test_best,) = await forward("test", "test", [finalists[0].prompt], test)
        scores = (first, finalists[0].prompt, test_first, test_best)
        names = (task.data_hash, task.counts, task.notices)
        yield Run(task.name, tuple(history), finalists, *scores, client.usage, *names, client.spent)


def minibatch(
    task: Task, prompt: Prompt, history: Sequence[Iteration], *, per_label: int, seed: int
) -> tuple[Example, ...]:
    """Draw the train examples of a round: canonical ones, ones that were hard before, and fresh ones.

    Hard are those that the best prompt of an earlier round got wrong; there are half as many as fresh ones at
    most. The prompt shows none of the examples.
    """
    number, shown = len(history) + 1, task.demonstrated(prompt)
    wrong = [row.example for step in history if (seen := step.parents[0].minibatch) for row in seen.mistakes]
    hard = draw(distinct(wrong), task.labels, per_label=per_label // 2, seed=seed, iteration=number)
    fresh = task.minibatch(prompt, per_label=per_label, seed=seed, iteration=number)
    drawn = taking_turns((*hard, *fresh), task.labels)  # so that what is cut off is cut off of each label
    return tuple(one for one in distinct((*task.canonical, *drawn)) if one not in shown and not one.disputed)


def positive(**settings: int) -> None:
    """Refuse settings below 1; ValueError."""
    for name, value in settings.items():
        if value < 1:
            raise ValueError(f"{name} is {value!r}, expected 1 or more")


def most(task: Task, *, calls: int = CALLS, iterations: int = ITERATIONS) -> tuple[int, int, int]:
    """Return how many calls an optimization makes at most: for the search, of the critic, about test."""
    return calls, CRITIC_CALLS * iterations, 2 * len(task.splits["test"])


class Settings(TypedDict, total=False):
    """The settings of `steps` that have a default."""

    prompt: Prompt | str | Path | None
    calls: int
    iterations: int
    proposers: Sequence[Proposer]
    per_label: int
    mistakes: int
    correct: int
    max_characters: int
    seed: int
    workers: int
    api_key: str | None
    max_cost: float | Budget | None


RECORDED = """
        record: a folder to keep the calls in, as `record/task/name.jsonl`; None makes each and keeps none.
        name: names the recording, by default "optimize".
        live: with `record`, what is asked: "changed", the calls that are not recorded; "all" (or True); or
            "replay", none. None is "replay" where the environment variable CI is set, else "changed"."""


def _with_settings(function: Callable[P, T]) -> Callable[P, T]:
    """Show the settings of `steps` in the signature and the documentation of a function that takes them."""
    own, of_steps = (inspect.signature(one).parameters for one in (function, steps))
    more = [own[name] for name in ("record", "name", "live")]
    function.__signature__ = inspect.Signature([*of_steps.values(), *more])  # type: ignore[attr-defined]
    start, raises, rest = str(steps.__doc__).partition("\n\n    Raises:")
    function.__doc__ = start + RECORDED + raises + rest
    return function


@_with_settings
async def optimize_async(
    task: Task,
    *,
    classifier: Model | str,
    critic: Model | str,
    record: str | Path | None = None,
    name: str = "",
    live: Live | None = None,
    **settings: Unpack[Settings],
) -> Run:
    """Improve a prompt to the end."""
    reject_unknown(settings, inspect.signature(optimize_async).parameters, "optimize")
    models = (classifier_of(classifier, task), model_of(critic))
    with recording(
        "optimize", task, models, record=record, name=name, live=live, default="optimize"
    ) as cassette:
        if replayed := cassette is not None and cassette.mode == "replay":
            task, settings["api_key"] = _as_recorded(cassette.file, task), ANY_KEY
        elif task.near_duplicates:
            warnings.warn(overlap.notice(task.near_duplicates), stacklevel=2)
        async for step in steps(task, classifier=classifier, critic=critic, **settings):
            last = step
    if cassette is not None and not replayed:
        snapshots.save(cassette.file, task)
    assert isinstance(last, Run)
    return last


def _as_recorded(recording: Path, task: Task) -> Task:
    """Return the task with the examples that its optimization was recorded on."""
    recorded = snapshots.as_recorded(recording, task)
    if recorded.data_hash != task.data_hash:
        warnings.warn(f"{recording}: recorded on older data; live='changed' records it again", stacklevel=2)
    return recorded


class Asking(TypedDict, total=False):
    """The settings of `evaluate_async` that say how is asked, and have a default."""

    canonical: int | None
    workers: int
    api_key: str | None
    max_cost: float | Budget | None


async def evaluate_async(
    task: Task,
    prompt: Prompt | str | Path,
    *,
    classifier: Model | str,
    split: str = "test",
    repeats: int = 1,
    canonical: int | None = None,
    workers: int = WORKERS,
    api_key: str | None = None,
    max_cost: float | Budget | None = None,
    record: str | Path | None = None,
    name: str = "",
    live: Live | None = None,
) -> Evaluation:
    """Run the classifier on every example of a split and on the canonical ones, and score its replies.

    Args:
        task: the task, with its examples.
        prompt: the prompt, or the folder that holds it.
        classifier: the model, or its name.
        split: "train", "validation" or "test".
        repeats: how often each example is asked, 1 or more; every figure is that of all answers.
        canonical: how often each canonical example is asked, 1 or more; the majority counts. None is three
            times, or on replay once where three answers are not recorded.
        workers: maximum number of concurrent calls.
        api_key: None leaves it to the SDK (ANTHROPIC_API_KEY and its other sources).
        max_cost: dollars that may be spent, or a Budget that several runs share; None is no limit.
        record: a folder to keep the calls in, as `record/task/name.jsonl`; None makes each and keeps none.
        name: names the recording, by default "evaluate-" and the split.
        live: with `record`, what is asked: "changed", the calls that are not recorded; "all" (or True); or
            "replay", none. None is "replay" where the environment variable CI is set, else "changed".

    Raises:
        DataError: the task cannot be used as it is; no call was made.
        ModelError: a call was rejected or got no response.
        BudgetExceeded: the next call may cost more than what is left of `max_cost`.
        CassetteMiss: a call was not recorded, and calls are replayed.
    """
    known_as, prompt = prompts.name_of(prompt), prompts.prompt_of(prompt)
    examples = task.split(split)
    task.demonstrated(prompt)
    positive(repeats=repeats, canonical=CANONICAL if canonical is None else canonical)
    model = classifier_of(classifier, task)
    budget = budget_of(max_cost, model)
    with recording(
        "evaluate", task, [model], record=record, name=name, live=live, default=f"evaluate-{split}"
    ) as cassette:
        check(model)
        key = ANY_KEY if cassette is not None and cassette.mode == "replay" else api_key
        async with Client(task.name, workers=workers, api_key=key, budget=budget) as client:
            forward = Forward(client, model, task, {prompt: known_as})
            (result,) = await forward("evaluation", split, [prompt], examples, repeats)
            if not task.canonical:
                return result
            times = canonical or canonical_times(
                cassette, prompts.requests(prompt, task.canonical, model, CANONICAL)
            )
            (marked,) = await forward("evaluation", "canonical", [prompt], task.canonical, times)
            return replace(result, canonical_rows=marked.rows)


def canonical_times(cassette: IndexedCassette | None, requests: Sequence[Request]) -> int:
    """Return how often a canonical example is asked: as in `requests`, on replay once if one is missing."""
    if cassette is not None and cassette.mode == "replay" and cassette.missing(requests):
        return 1
    return CANONICAL


optimize = synchronous(optimize_async)
evaluate = synchronous(evaluate_async)
