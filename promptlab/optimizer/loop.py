"""The optimization loop: the order of the steps; each step has its own module."""

import asyncio
import contextvars
import functools
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from promptlab.data.splits import SPLITS
from promptlab.data.task import Task
from promptlab.errors import RewriteError
from promptlab.models import prompts
from promptlab.models.client import WORKERS, Client
from promptlab.models.prompts import model_of
from promptlab.optimizer.critic import context, criticize, rewrite
from promptlab.optimizer.history import Candidate, Iteration, Run
from promptlab.records import Example, Model, Prompt
from promptlab.scoring.evaluation import Evaluation, evaluation_of, predict

P = ParamSpec("P")
T = TypeVar("T")

ITERATIONS = 5
PER_LABEL = 20
CANONICAL = 3  # times that a canonical example is asked: no setting makes Claude repeat itself
CRITIC_TOKENS = 16_000  # longest answer of a critic given by name, thinking included


async def steps(
    task: Task,
    *,
    classifier: Model | str,
    critic: Model | str,
    prompt: Prompt | str | Path | None = None,
    iterations: int = ITERATIONS,
    per_label: int = PER_LABEL,
    mistakes: int = 10,
    correct: int = 5,
    max_characters: int = 4000,
    seed: int = 0,
    workers: int = WORKERS,
    api_key: str | None = None,
) -> AsyncIterator[Iteration | Run]:
    """Improve a prompt. `steps` yields each Iteration as it ends, then the Run; `optimize` returns the Run.

    The run is a pure function of the task, the settings and the replies: `workers` changes only how
    long it takes. The critic sees only the train split; prompts are selected on validation; test is used
    once, at the end, for the first and the best prompt.

    Args:
        task: the task, with its examples.
        classifier: the model whose prompt is improved, or its name.
        critic: the model that reads the mistakes and rewrites the prompt, or its name.
        prompt: the prompt to start from, or its folder; None for `prompts.first(task)`.
        iterations: how often the critic is asked, 1 or more.
        per_label: examples of each label in a minibatch, at most; of a graded task, in all.
        mistakes: wrong answers of each label that the critic is shown, at most.
        correct: right answers of each label that the critic is shown, at most.
        max_characters: longest prompt that the critic may write.
        seed: changes which examples are drawn.
        workers: maximum number of concurrent calls.
        api_key: None leaves it to the SDK (ANTHROPIC_API_KEY and its other sources).

    Raises:
        DataError: the task cannot be used as it is; no call was made.
        ModelError: a call was rejected or got no response.
    """
    _, validation, test = (task.split(name) for name in SPLITS)
    classifier, critic = model_of(classifier), model_of(critic, max_tokens=CRITIC_TOKENS)
    first = best = prompts.first(task) if prompt is None else prompts.prompt_of(prompt)
    task.demonstrated(first)
    history: list[Iteration] = []
    for name, value in {"iterations": iterations, "per_label": per_label}.items():
        if value < 1:
            raise ValueError(f"{name} is {value!r}, expected 1 or more")

    async with Client(workers=workers, api_key=api_key) as client:
        forward = functools.partial(_forward, client, classifier, task)
        for number in range(1, iterations + 1):
            step, before = f"iteration {number}", client.usage
            ask = functools.partial(client.ask, asked_for=f"task {task.name!r}, {step}, critic")

            # Forward: the best prompt so far answers about a fresh minibatch, and about validation.
            batch = task.minibatch(best, per_label=per_label, seed=seed, iteration=number)
            seen = await forward(step, "train", best, batch)
            parent = Candidate(best, seen, await forward(step, "validation", best, validation))
            critique = candidate = None
            try:
                # Critique: the critic says what is wrong with it; claims that are false are discarded.
                shown = context(task, seen, history, critic, mistakes=mistakes, correct=correct, seed=seed)
                critique = await criticize(ask, shown, seen)
                # Update: it writes a new prompt, which is checked before a call is paid for it.
                proposal = await rewrite(ask, shown, critique, task, best, max_characters)
                # Accept: the new prompt has to be better on the minibatch, then on validation.
                candidate = Candidate(proposal, await forward(step, "train", proposal, batch))
                if better(candidate.minibatch, seen):
                    scored = await forward(step, "validation", proposal, validation)
                    candidate = replace(candidate, validation=scored)
                accepted, verdict = judge(candidate, parent)
            except RewriteError as error:
                accepted, verdict = False, f"no proposal: {error}"

            usage = client.usage - before
            history.append(Iteration(number, parent, critique, candidate, accepted, verdict, usage))
            best = history[-1].best.prompt
            yield history[-1]

        # The test split is read here for the first time, with the first prompt and the best.
        test_first = await forward("test", "test", first, test)
        test_best = await forward("test", "test", best, test)
        scores = (first, best, test_first, test_best)
        known = (task.data_hash, task.counts, task.notices)
        yield Run(task.name, tuple(history), *scores, client.usage, *known)


def most_calls(task: Task, *, iterations: int = ITERATIONS, per_label: int = PER_LABEL) -> int:
    """Return how many calls an optimization makes if every proposal is tried to the end and accepted."""
    train = task.counts["train"].values()
    minibatch = sum(train) if task.draw else sum(min(per_label, count) for count in train)
    validation, test = (len(task.splits[name]) for name in ("validation", "test"))
    critic = 4  # claims, rewrite, and one repair of each
    return validation + 2 * test + iterations * (2 * minibatch + validation + critic)


def better(new: Evaluation, old: Evaluation) -> bool:
    """Say whether the new prompt wins: by the primary metric, and where that is equal by being shorter."""
    figures = round(new.primary, 9), round(old.primary, 9)
    return (figures[0], -len(new.asked_with)) > (figures[1], -len(old.asked_with))


def judge(new: Candidate, old: Candidate) -> tuple[bool, str]:
    """Accept or reject a new prompt, and say in words why."""
    before, after, accepted = old.minibatch, new.minibatch, False
    if new.validation and old.validation:
        before, after = old.validation, new.validation
        accepted = better(after, before)
    verdict = f"{'accepted' if accepted else 'rejected'}: {after.primary_name} on "
    verdict += "validation" if new.validation else "minibatch"
    return accepted, f"{verdict} {before.primary:.3f} -> {after.primary:.3f}"


async def _forward(
    client: Client,
    classifier: Model,
    task: Task,
    step: str,
    split: str,
    prompt: Prompt,
    examples: Sequence[Example],
    repeats: int = 1,
) -> Evaluation:
    """Ask the classifier about every example and score its answers."""
    where = f"task {task.name!r}, {step}, example"
    asked = [(example, repeat) for example in examples for repeat in range(repeats)]
    replies = await client.ask_all(
        (prompts.build(prompt, one.text, classifier, repeat), f"{where} {one.id!r}") for one, repeat in asked
    )
    pairs = zip(asked, replies, strict=True)
    rows = [predict(task, one, reply, prompt, repeat) for (one, repeat), reply in pairs]
    return evaluation_of(task, split, prompt, rows, classifier)


def _to_the_end(steps: Callable[P, AsyncIterator[Iteration | Run]]) -> Callable[P, Coroutine[Any, Any, Run]]:
    @functools.wraps(steps, assigned=("__doc__",))
    async def optimize_async(*args: P.args, **kwargs: P.kwargs) -> Run:
        async for step in steps(*args, **kwargs):
            last = step
        assert isinstance(last, Run)
        return last

    return optimize_async


async def evaluate_async(
    task: Task,
    prompt: Prompt | str | Path,
    *,
    classifier: Model | str,
    split: str = "test",
    repeats: int = 1,
    canonical: int = CANONICAL,
    workers: int = WORKERS,
    api_key: str | None = None,
) -> Evaluation:
    """Run the classifier on every example of a split and on the canonical ones, and score its replies.

    Args:
        task: the task, with its examples.
        prompt: the prompt, or the folder that holds it.
        classifier: the model, or its name.
        split: "train", "validation" or "test".
        repeats: how often each example is asked, 1 or more; every figure is that of all answers.
        canonical: how often each canonical example is asked, 1 or more; the majority counts.
        workers: maximum number of concurrent calls.
        api_key: None leaves it to the SDK (ANTHROPIC_API_KEY and its other sources).

    Raises:
        DataError: the task cannot be used as it is; no call was made.
        ModelError: a call was rejected or got no response.
    """
    prompt, examples = prompts.prompt_of(prompt), task.split(split)
    task.demonstrated(prompt)
    for name, value in {"repeats": repeats, "canonical": canonical}.items():
        if value < 1:
            raise ValueError(f"{name} is {value!r}, expected 1 or more")
    async with Client(workers=workers, api_key=api_key) as client:
        forward = functools.partial(_forward, client, model_of(classifier), task, "evaluation")
        result = await forward(split, prompt, examples, repeats)
        if not task.canonical:
            return result
        marked = await forward("canonical", prompt, task.canonical, canonical)
        return replace(result, canonical_rows=marked.rows)


def synchronous(function: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Make a coroutine function callable from anywhere, a notebook's running loop included."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        work = function(*args, **kwargs)
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(work)
        # A loop is running in this thread, which therefore cannot wait for another one.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(contextvars.copy_context().run, asyncio.run, work).result()

    call.__name__ = call.__qualname__ = function.__name__.removesuffix("_async")
    return call


optimize_async = _to_the_end(steps)
optimize = synchronous(optimize_async)
evaluate = synchronous(evaluate_async)
