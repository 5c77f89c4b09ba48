"""Work that tests ask for, done once in a session, on its recording or live, with the network closed."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Coroutine, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from promptlab import network
from promptlab.cassettes import recorder as cassettes
from promptlab.data.task import Task
from promptlab.errors import PromptlabError
from promptlab.gate import ledger
from promptlab.gate.base import Pair
from promptlab.gate.git import Commit
from promptlab.models import messages_api as wire
from promptlab.models.client import ANY_KEY
from promptlab.models.profiles import ROLES, Profile
from promptlab.optimizer.history import Run
from promptlab.optimizer.loop import synchronous
from promptlab.plugin import sharing
from promptlab.plugin.verify import Answer, answers
from promptlab.report import html as page
from promptlab.report import terminal as lines
from promptlab.scoring.evaluation import Evaluation

T = TypeVar("T", bound=Run | Evaluation)


class Done(NamedTuple):
    """What a piece of work gave: the outcome, the sections of the summary, and the pair to be judged."""

    outcome: Any
    sections: list[tuple[str, list[str]]]
    pair: Pair | None


@dataclass
class Runner:
    """What the session's work has in common.

    Attributes:
        root: folder that holds `cassettes/`.
        profile: whose recordings are replayed, or who is asked.
        mode: "replay" makes no call, "live" makes and records each, "changed" those not recorded yet.
        pages: folder for the HTML reports.
        live_profile: the profile that a plain `pytest --live` would use.
        say: shows a line while the session runs, where people want to follow it.
        announce: shows a line whatever they want: it is about money.
        base: the commit whose prompts are judged against; None where no option names one.
        shared: folder that the session's processes share; None where there is one process.
        summary: lines for the end of the session, in sections (title, lines).
        figures: name and value of what the test at work has looked at.
        pairs: the prompts to be judged against the base's, by the recording.
        failed: what could not be evaluated, (title, message).
    """

    root: Path
    profile: Profile
    mode: cassettes.Mode
    pages: Path
    live_profile: str
    say: Callable[[str], None] = print
    announce: Callable[[str], None] = print
    base: Commit | None = None
    shared: Path | None = None
    summary: list[tuple[str, list[str]]] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)
    pairs: dict[Path, Pair] = field(default_factory=dict)
    failed: list[tuple[str, str]] = field(default_factory=list)
    _done: dict[Path, tuple[str, Any]] = field(default_factory=dict)
    _answers: dict[str, Answer] = field(default_factory=dict)

    def once(
        self,
        task: Task,
        name: str,
        settings: dict[str, Any],
        work: Callable[[], Coroutine[Any, Any, T]],
        describe: Callable[[T], Iterable[str]],
        planned: Callable[[cassettes.IndexedCassette], str],
        judge: Callable[[T], Pair | None],
    ) -> T:
        """Do the work unless this session has; what it raised is remembered and raised again."""
        __tracebackhide__ = True
        path = self.cassette(task, name)
        asked = repr((task, task.data_hash, settings))
        if path not in self._done:
            known = len(self.summary)

            def whole() -> Done:
                outcome = self._attempt(path, settings, work, planned)
                self._show(
                    f"{task.name}: {name}", path, outcome, [*describe(outcome), *self._looked(task, outcome)]
                )
                return Done(outcome, self.summary[known:], judge(outcome))

            try:
                done, here = sharing.once(self.shared, f"{path} {asked}", whole)
            except Exception as error:
                self._done[path] = (asked, error)
                self.failed.append((f"{task.name}: {name}", str(error).replace(f"{self.root}/", "")))
            else:
                self.summary += [] if here else done.sections
                self._done[path] = (asked, done.outcome)
                self._answers |= answers(task, settings["classifier"], done.outcome)
                if done.pair:
                    self.pairs[path] = done.pair
        before, outcome = self._done[path]
        if before != asked:
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
    ) -> T:
        recording = cassettes.use(path, mode=self.mode, record_with=self.command())
        title = f"{path.parent.name}: {path.stem}"
        with self._closed(settings), recording as cassette:
            if self.makes_calls:
                told = lines.resumed(planned(cassette), cassette.resumed)
                self.announce(f"promptlab: {title}: {told}")
            try:
                outcome = synchronous(work)()
            finally:
                if cassette.notes:
                    self.summary.append((title, [f"note: {note}" for note in cassette.notes]))
        if not self.makes_calls and cassette.orphans and not self.base:  # some are the base's
            self.summary.append((title, [lines.orphans(cassette.orphans, pruned=self.mode == "prune")]))
        return outcome

    def _looked(self, task: Task, outcome: Run | Evaluation) -> list[str]:
        """Enter what was judged on test into the ledger while calls are made; say how many prompts were."""
        judged = [outcome.first, outcome.best] if isinstance(outcome, Run) else [outcome.prompt]
        if isinstance(outcome, Evaluation) and outcome.split != "test":
            return []
        if self.makes_calls:
            ledger.enter(self.ledger, task, judged)
        return [ledger.told(self.ledger, task, judged)]

    def _show(self, title: str, path: Path, outcome: Run | Evaluation, told: Iterable[str]) -> None:
        """Put an outcome into the summary, and on a page of its own."""
        source = lines.provenance(cassettes.provenance(path))
        html = self.pages / f"{title.replace(': ', '-')}.html"
        page.write(html, outcome, source)
        self.summary.append((title, [*told, source, f"report: {html}"]))

    @property
    def makes_calls(self) -> bool:
        """Whether the session makes and records calls."""
        return self.mode in cassettes.RECORDING

    @property
    def key(self) -> str | None:
        """What is given to the SDK as a key; None leaves it to the SDK."""
        return None if self.makes_calls else ANY_KEY  # a replay needs none, but the SDK wants one

    @property
    def ledger(self) -> Path:
        """Where the prompts judged on test are kept."""
        return self.root / "cassettes" / "ledger.csv"

    def cassette(self, task: Task, name: str) -> Path:
        """Return where a run is recorded."""
        return self.root / "cassettes" / self.profile.name / task.name / f"{name}.jsonl"

    def command(self, *more: str) -> str:
        """Return the command that records what the test at work needs."""
        profile = self.profile.name
        option = [] if profile == self.live_profile else [f"--promptlab-profile={profile}"]
        return shlex.join(["pytest", "--live-changed", *option, *more, test_at_work()])

    def _closed(self, settings: dict[str, Any]) -> AbstractContextManager[None]:
        """Close the network: on replay all but loopback, and the API's own server wherever it is."""
        servers = [wire.url_of(settings[role]) for role in ROLES if role in settings]
        close = network.only_to if self.makes_calls else network.not_even_to
        return close(test_at_work(), servers)


def test_at_work() -> str:
    """Return the id of the test at work, which pytest keeps in the environment."""
    return os.environ.get("PYTEST_CURRENT_TEST", "a test").rsplit(" (", 1)[0]
