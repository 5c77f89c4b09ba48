"""A session's laboratory: what the fixture `lab` gives to a test.

Each optimization and evaluation is run once in a session, on its recording or live; its figures go to
the summary, to JUnit and to a page. Of pytest it knows only where lines go.
"""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable, Coroutine, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from promptlab import archive, cassettes, network, prompts, snapshots, wire
from promptlab.datasets import Task
from promptlab.errors import (
    PromptlabError,
    refuse_unknown,
)
from promptlab.evaluations import Evaluation
from promptlab.history import Iteration, Run
from promptlab.loop import ITERATIONS, evaluate_async, model_of, most_calls, steps, synchronous
from promptlab.models import ANY_KEY
from promptlab.profiles import ROLES, Profile
from promptlab.records import Prompt
from promptlab.report import lines, page
from promptlab.verify import Answer, answers, ask_again

T = TypeVar("T", bound=Run | Evaluation)


@dataclass
class Lab:
    """Runs optimizations and evaluations inside a test session.

    Attributes:
        root: folder that holds `cassettes/`.
        profile: whose recordings are replayed, or who is asked.
        mode: "replay" makes no call, "live" makes and records each, "changed" those not recorded yet.
        pages: folder for the HTML reports.
        live_profile: the profile that a plain `pytest --live` would use.
        say: shows a line while the session runs, where people want to follow it.
        announce: shows a line whatever they want: it is about money.
        summary: lines for the end of the session, in sections (title, lines).
        figures: name and value of what the test at work has looked at.
    """

    root: Path
    profile: Profile
    mode: cassettes.Mode
    pages: Path
    live_profile: str
    say: Callable[[str], None] = print
    announce: Callable[[str], None] = print
    summary: list[tuple[str, list[str]]] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)
    _done: dict[Path, tuple[str, Any]] = field(default_factory=dict)
    _answers: dict[str, Answer] = field(default_factory=dict)

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
            async for step in steps(task, **settings, api_key=self._key()):
                if isinstance(step, Iteration):
                    took[step.number] = time.monotonic() - started - sum(took.values())
                    self.say(f"{task.name}: {lines.iteration(step, settings.get('iterations', ITERATIONS))}")
                else:
                    run = step
            took[0] = time.monotonic() - started
            if self._makes_calls:
                snapshots.keep(self.cassette(task, name), task)
            return run

        def planned(_: cassettes.IndexedCassette) -> str:
            sizes = {one: settings[one] for one in ("iterations", "per_label") if one in settings}
            return f"at most {most_calls(task, **sizes):,} calls; {lines.detectable(task)}"

        return self._once(task, name, settings, work, lambda run: lines.run(run, took), planned)

    def evaluate(
        self, task: Task, prompt: Prompt | str | Path, *, split: str = "test", name: str = "", **settings: Any
    ) -> Evaluation:
        """Score a prompt, or the one in a folder, on a split; the model is the profile's classifier.

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
        scored = prompts.prompt_of(prompt)
        settings = {"classifier": self.profile.classifier} | settings | {"split": split}

        async def work() -> Evaluation:
            return await evaluate_async(task, scored, **settings, api_key=self._key())

        def describe(result: Evaluation) -> Iterable[str]:
            notice = task.notice(split)
            return [*lines.evaluation(result), *([f"note: {notice}"] if notice else [])]

        name = name or f"evaluate-{split}"

        def planned(cassette: cassettes.IndexedCassette) -> str:
            model = model_of(settings["classifier"])
            requests = (prompts.request(scored, example.text, model) for example in task.split(split))
            return f"{cassette.missing(map(wire.body_of, requests)):,} calls"

        return self._once(task, name, settings | {"prompt": scored}, work, describe, planned)

    def _once(
        self,
        task: Task,
        name: str,
        settings: dict[str, Any],
        work: Callable[[], Coroutine[Any, Any, T]],
        describe: Callable[[T], Iterable[str]],
        planned: Callable[[cassettes.IndexedCassette], str],
    ) -> T:
        """Do the work unless this session has; what it raised is remembered and raised again."""
        __tracebackhide__ = True
        path = self.cassette(task, name)
        asked = repr((task, task.data_hash, settings))
        if path not in self._done:
            self._done[path] = (asked, self._attempt(path, settings, work, planned))
            if not isinstance(outcome := self._done[path][1], Exception):
                self._answers |= answers(task, settings["classifier"], outcome)
                self._show(f"{task.name}: {name}", path, outcome, describe(outcome))
        known, outcome = self._done[path]
        if known != asked:
            raise PromptlabError(
                f"{path}: two different runs of task {task.name!r} in one session want this recording: "
                f"give one of them a name of its own, lab...(..., name='...')"
            )
        if isinstance(outcome, PromptlabError):
            raise outcome.with_traceback(None) from None  # the message says it all
        if isinstance(outcome, Exception):
            raise outcome
        self.figures |= lines.figures(f"{task.name}.{name}", outcome)
        result: T = outcome
        return result

    def _attempt(
        self,
        path: Path,
        settings: dict[str, Any],
        work: Callable[[], Coroutine[Any, Any, T]],
        planned: Callable[[cassettes.IndexedCassette], str],
    ) -> T | Exception:
        recording = cassettes.use(path, mode=self.mode, record_with=self._command())
        title = f"{path.parent.name}: {path.stem}"
        try:
            with self._closed(settings), recording as cassette:
                if self._makes_calls:
                    told = lines.resumed(planned(cassette), cassette.resumed)
                    self.announce(f"promptlab: {title}: {told}")
                try:
                    outcome = synchronous(work)()
                finally:
                    if cassette.notes:
                        self.summary.append((title, [f"note: {note}" for note in cassette.notes]))
        except Exception as error:
            return error
        if not self._makes_calls and cassette.orphans:
            self.summary.append((title, [lines.orphans(cassette.orphans, pruned=self.mode == "prune")]))
        return outcome

    def _show(self, title: str, path: Path, outcome: Run | Evaluation, told: Iterable[str]) -> None:
        """Put an outcome into the summary, and on a page of its own."""
        source = lines.provenance(cassettes.provenance(path))
        html = self.pages / f"{title.replace(': ', '-')}.html"
        page.write(html, outcome, source)
        self.summary.append((title, [*told, source, f"report: {html}"]))

    @property
    def _makes_calls(self) -> bool:
        return self.mode in cassettes.RECORDING

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

    def _key(self) -> str | None:
        return None if self._makes_calls else ANY_KEY  # a replay needs none, but the SDK wants one

    def cassette(self, task: Task, name: str) -> Path:
        """Return where a run is recorded."""
        return self.root / "cassettes" / self.profile.name / task.name / f"{name}.jsonl"

    def _as_recorded(self, task: Task, name: str) -> Task:
        """Return the task with the examples its optimization was recorded on."""
        recorded = task if self._makes_calls else snapshots.as_recorded(self.cassette(task, name), task)
        if recorded.data_hash != task.data_hash and self.cassette(task, name) not in self._done:
            told = f"recorded on older data; {self._command()} records it anew"
            self.summary.append((f"{task.name}: {name}", [told]))
        return recorded

    def _command(self) -> str:
        """Return the command that records what the test at work needs."""
        profile = self.profile.name
        option = [] if profile == self.live_profile else [f"--promptlab-profile={profile}"]
        return shlex.join(["pytest", "--live-changed", *option, _test()])

    def _closed(self, settings: dict[str, Any]) -> AbstractContextManager[None]:
        """Close the network: on replay all but loopback, and the API's own server wherever it is."""
        servers = [wire.url_of(settings[role]) for role in ROLES if role in settings]
        close = network.only_to if self._makes_calls else network.not_even_to
        return close(_test(), servers)


def _test() -> str:
    """Return the id of the test at work, which pytest keeps in the environment."""
    return os.environ.get("PYTEST_CURRENT_TEST", "a test").rsplit(" (", 1)[0]
