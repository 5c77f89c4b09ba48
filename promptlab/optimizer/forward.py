"""Forward: the classifier answers about examples with a prompt, and its answers are scored."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from promptlab.data.task import Task
from promptlab.models import prompts
from promptlab.models.client import Client
from promptlab.records import Example, Model, Prompt
from promptlab.scoring.evaluation import Evaluation, evaluation_of, predict

REJECTABLE = 0.05  # share of a split's examples that the API may refuse for good: more is no accident


class Forward:
    """Asks a classifier about the examples of a task, and counts what was asked for the first time.

    A prompt is named as in `names`, else after the step that asked with it first.

    Attributes:
        calls: distinct pairs of prompt and example that it was asked about.
    """

    def __init__(self, client: Client, classifier: Model, task: Task, names: Mapping[Prompt, str]) -> None:
        self.calls = 0
        self._client, self._classifier, self._task = client, classifier, task
        self._names = dict(names)
        self._asked: set[tuple[Prompt, str]] = set()

    def cost(self, asked: Sequence[Prompt], examples: Sequence[Example]) -> int:
        """Return how many calls are new among those about each of the examples with each of the prompts."""
        return len({(prompt, one.id) for prompt in asked for one in examples} - self._asked)

    async def __call__(
        self, step: str, split: str, asked: Sequence[Prompt], examples: Sequence[Example], repeats: int = 1
    ) -> list[Evaluation]:
        """Ask about each example with each prompt, all at once; return evaluations in the prompts' order.

        `step` names the caller in errors.
        """
        self.calls += self.cost(asked, examples)
        self._asked |= {(prompt, one.id) for prompt in asked for one in examples}
        self._client.progress.stage = step
        where = f"task {self._task.name!r}, {step}, example"
        each = [(one, repeat) for one in examples for repeat in range(repeats)]
        most = int(REJECTABLE * len(self._task.splits.get(split, examples))) * len(asked) * repeats
        calls = (
            (prompts.build(prompt, one.text, self._classifier, repeat), f"{where} {one.id!r}")
            for prompt in asked
            for one, repeat in each
        )
        replies = iter(await self._client.ask_all(calls, rejectable=most))
        found = []
        for prompt in asked:
            rows = [predict(self._task, one, next(replies), prompt, repeat) for one, repeat in each]
            scored = evaluation_of(self._task, split, prompt, rows, self._classifier)
            found.append(replace(scored, name=self._names.setdefault(prompt, step)))
        return found
