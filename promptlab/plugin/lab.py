"""A session's laboratory: what the fixture `lab` gives to a test.

Each optimization and evaluation is run once in a session, on its recording or live; its figures go to
the summary, to JUnit and to a page. Of pytest it knows only where lines go.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from promptlab.cassettes import archive, snapshots
from promptlab.cassettes import recorder as cassettes
from promptlab.data.task import Task
from promptlab.errors import PromptlabError, refuse_unknown
from promptlab.gate import base as pairs
from promptlab.gate import decide as gate
from promptlab.models import messages_api as wire
from promptlab.models import prompts
from promptlab.optimizer.history import Iteration, Run
from promptlab.optimizer.loop import ITERATIONS, evaluate_async, evaluate_some, model_of, most_calls, steps
from promptlab.plugin.runner import Runner, test_at_work
from promptlab.plugin.verify import ask_again
from promptlab.records import Example, Prompt
from promptlab.report import terminal as lines
from promptlab.scoring.comparison import Comparison
from promptlab.scoring.evaluation import MARGIN, Evaluation


def _no_base(why: str) -> None:
    raise PromptlabError(why)


@dataclass(repr=False)
class Lab(Runner):
    """Runs optimizations and evaluations inside a test session.

    Attributes:
        skip: ends the test at work, with a reason.
    """

    skip: Callable[[str], None] = _no_base

    def __repr__(self) -> str:
        """Say what a failed test needs to know of it."""
        return f"<Lab profile {self.profile.name}, {self.mode}>"

    def optimize(self, task: Task, *, name: str = "optimize", **settings: Any) -> Run:
        """Improve the task's prompt, as `promptlab.optimize`; the models are the profile's.

        Args:
            task: what is decided, on which examples.
            name: names the recording, for a second run of the same task.
            settings: those of `promptlab.steps`, above all `iterations`.

        Raises:
            CassetteMiss: a call was never recorded; the message gives the command that does it.
        """
        __tracebackhide__ = True
        refuse_unknown(settings, steps, "lab.optimize")
        task = self._as_recorded(task, name)
        settings = {"classifier": self.profile.classifier, "critic": self.profile.critic} | settings
        took: dict[int, float] = {}

        async def work() -> Run:
            started = time.monotonic()
            async for step in steps(task, **settings, api_key=self.key):
                if isinstance(step, Iteration):
                    took[step.number] = time.monotonic() - started - sum(took.values())
                    self.say(f"{task.name}: {lines.iteration(step, settings.get('iterations', ITERATIONS))}")
                else:
                    run = step
            took[0] = time.monotonic() - started
            if self.makes_calls:
                snapshots.keep(self.cassette(task, name), task)
            return run

        def planned(_: cassettes.IndexedCassette) -> str:
            sizes = {one: settings[one] for one in ("iterations", "per_label") if one in settings}
            return f"at most {most_calls(task, **sizes):,} calls; {lines.detectable(task)}"

        def describe(run: Run) -> Iterable[str]:
            return lines.run(run, took)

        return self.once(task, name, settings, work, describe, planned, judge=lambda _: None)

    def evaluate(
        self, task: Task, prompt: Prompt | str | Path, *, split: str = "test", name: str = "", **settings: Any
    ) -> Evaluation:
        """Score a prompt, or the one in a folder, on a split; the model is the profile's classifier.

        With `--promptlab-base`, the prompt of a folder is judged against the one there.

        Args:
            task: what is decided, on which examples.
            prompt: the prompt, or the folder that holds it.
            split: "train", "validation" or "test".
            name: names the recording; by default "evaluate-" and the split.
            settings: `workers`, or another `classifier`.

        Raises:
            CassetteMiss: a call was never recorded; the message gives the command that does it.
        """
        __tracebackhide__ = True
        refuse_unknown(settings, evaluate_async, "lab.evaluate")
        name = name or f"evaluate-{split}"
        try:
            scored = prompts.prompt_of(prompt)
        except PromptlabError as error:
            self.failed.append((f"{task.name}: {name}", str(error)))
            raise
        place = None if isinstance(prompt, Prompt) else self._place(task, Path(prompt), name, settings)
        settings = {"classifier": self.profile.classifier} | settings | {"split": split}
        model = model_of(settings["classifier"])
        old: Prompt | None = None
        old_model, rest = model, tuple[Example, ...]()
        if self.base and place and self.makes_calls:
            old, old_model, rest = pairs.missing(task, place, self.base, split)

        async def work() -> Evaluation:
            result = await evaluate_async(task, scored, **settings, api_key=self.key)
            if old and rest:  # answers that the base's commit lacks
                asked = replace(old_model, base_url=model.base_url)
                await evaluate_some(task, old, rest, classifier=asked, split="base", api_key=self.key)
            return result

        def planned(cassette: cassettes.IndexedCassette) -> str:
            asked = [prompts.request(scored, e.text, model) for e in (*task.split(split), *task.canonical)]
            asked += [prompts.request(old, e.text, old_model) for e in rest] if old else []
            bodies = [wire.body_of(one) for one in asked]
            return f"{cassette.missing(bodies):,} calls"

        def describe(result: Evaluation) -> Iterable[str]:
            notice = task.notice(split)
            return [*lines.evaluation(result), *([f"note: {notice}"] if notice else [])]

        def judge(result: Evaluation) -> pairs.Pair | None:
            if place is None or self.base is None:
                return None
            return pairs.pair(task, result, f"{task.name}: {name}", place, self.base)

        return self.once(task, name, settings | {"prompt": scored}, work, describe, planned, judge)

    def compare(self, result: Evaluation, *, margin: float = MARGIN) -> Comparison:
        """Compare what `evaluate` gave with what the base's prompt answered about the same examples.

        The test is skipped where the session has no `--promptlab-base`.

        Raises:
            PromptlabError: too little is recorded on both sides, or the base has no such prompt.
        """
        __tracebackhide__ = True
        if self.base is None:
            self.skip("there is no base to compare with: give --promptlab-base=origin/main")
        for pair in self.pairs.values():
            if pair.whole is result:
                return gate.compared(pair, margin)
        raise PromptlabError(
            f"{result!r} is not what lab.evaluate gave for a prompt's folder, so it has no base"
        )

    def verify(self, count: int) -> bool:
        """Ask `count` recorded calls again, chosen by hash; report how many labels changed, write nothing.

        Returns:
            Whether they could be asked.
        """
        self.announce(f"promptlab: asking {min(count, len(self._answers))} recorded calls again")
        held, told = ask_again(self._answers, count)
        self.summary.append(("live-verify", told))
        return held

    def unasked(self) -> list[Path]:
        """Return the recordings of this profile that no test of the session has opened."""
        files = archive.recordings(self.root / "cassettes" / self.profile.name)
        return [path for path in files if path not in self._done]

    def _place(self, task: Task, folder: Path, name: str, settings: dict[str, Any]) -> pairs.Place:
        more = [f"--promptlab-base={self.base.name}"] if self.base else []
        return pairs.Place(
            root=self.root,
            folder=folder,
            cassette=self.cassette(task, name),
            profile=self.profile,
            classifier=model_of(settings["classifier"]) if "classifier" in settings else None,
            record_with=self.command(*more),
            test=test_at_work(),
        )

    def _as_recorded(self, task: Task, name: str) -> Task:
        """Return the task with the examples its optimization was recorded on."""
        recorded = task if self.makes_calls else snapshots.as_recorded(self.cassette(task, name), task)
        if recorded.data_hash != task.data_hash and self.cassette(task, name) not in self._done:
            told = f"recorded on older data; {self.command()} records it anew"
            self.summary.append((f"{task.name}: {name}", [told]))
        return recorded
