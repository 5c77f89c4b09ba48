"""The fixture `lab`: optimizations and evaluations inside a test session, on recorded calls or live.

Each piece of work is recorded once. It is identified by data, prompt, models and settings; labels are read
and scored afterwards, so that one recording serves tasks with different extractors.
"""

import contextlib
import functools
import os
import re
import shlex
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, Unpack

import pytest

from promptlab import network, secrets
from promptlab.cassettes import estimates, misses, recorder, snapshots
from promptlab.cassettes import format as files
from promptlab.cassettes.estimates import Usage
from promptlab.cassettes.format import UNKNOWN, Origin
from promptlab.cassettes.recorder import IndexedCassette
from promptlab.data import overlap
from promptlab.data.task import Task
from promptlab.errors import (
    BudgetExceeded,
    CassetteMiss,
    DataError,
    ExtractorError,
    NetworkBlocked,
    PromptlabError,
    reject_unknown,
)
from promptlab.gate import answers, base, decide, git, ledger
from promptlab.gate.answers import Answers, Change
from promptlab.gate.base import Pair, Place
from promptlab.gate.git import Commit
from promptlab.gate.migration import Migration, migration
from promptlab.models import catalog, progress, prompts
from promptlab.models.blocking import synchronous
from promptlab.models.client import ANY_KEY, Client
from promptlab.models.messages_api import shown_url, url_of
from promptlab.models.profiles import ROLES, Profile
from promptlab.models.prompts import classifier_of, files_of, model_of
from promptlab.models.spending import Budget
from promptlab.optimizer import loop
from promptlab.optimizer.forward import REJECTABLE
from promptlab.optimizer.history import Iteration, Run
from promptlab.plugin import plan, sharing
from promptlab.plugin.console import Console
from promptlab.plugin.plan import Planned
from promptlab.plugin.results import Results
from promptlab.plugin.resuming import Resuming
from promptlab.plugin.sharing import Slot
from promptlab.plugin.verify import ask_again
from promptlab.records import Model, Prompt, Request, shown
from promptlab.report import html, terminal
from promptlab.scoring.comparison import Comparison
from promptlab.scoring.evaluation import MARGIN, Evaluation, evaluation_of, predict
from promptlab.scoring.no_model import baselines

NOT_BY_MAIN = (
    "main's own tests could not evaluate it on main, so nothing is known of main's labels and reading: "
    "on main, pytest --live-changed records what it lacks"
)

UNASKED = ("workers", "api_key", "max_cost")  # settings of an optimization that change no request


@dataclass(frozen=True)
class Settings:
    """What a session was started with."""

    root: Path  # holds `cassettes/`
    profile: Profile  # whose recordings are replayed, or who is asked
    live_profile: str  # the profile that a plain `pytest --live` would use
    mode: recorder.Mode
    pages: Path  # the folder for the HTML reports
    base: Commit | None = None  # whose prompts are judged against
    fresh_base: bool = False  # whether the base's prompt is asked again beside a new one
    anchor: Commit | None = None  # a release whose prompts are judged against too
    main: Mapping[str, Answers] = field(default_factory=dict)  # what the base's own tests read
    by_main_alone: bool = False  # whether `main` has to have every evaluation of a prompt that the base has
    answers: bool = False  # whether to keep what each evaluation of a prompt folder read
    texts: bool = True  # whether pages may show examples and replies
    shared: Path | None = None  # the folder that the session's processes share; None with one process
    plan: bool = False  # whether calls that are not recorded are planned, not missed
    max_cost: float | None = None  # dollars that the session may spend
    afresh: bool = False  # whether what a stopped session has finished is made again
    invocation: str = "run the same command again"  # by which an interrupted session goes on
    verbose: bool = False  # whether the summary has the statistics too

    @property
    def makes_calls(self) -> bool:
        """Whether the session makes and records calls."""
        return self.mode in recorder.RECORDING


class Outcome(NamedTuple):
    """The result of a piece of work, its sections of the summary, and the pairs to be judged."""

    result: Any
    sections: list[tuple[str, list[str]]]
    ledger: list[str]
    pairs: tuple[Pair, ...] = ()


@dataclass
class _Job:
    """A piece of work."""

    task: str
    name: str
    path: Path  # its recording
    asked: str  # everything that its requests depend on
    models: tuple[Model, ...]  # who is asked, the classifier first
    place: Place | None = None  # of a prompt in a folder
    done: list[tuple[Task, Run | Evaluation]] = field(default_factory=list)  # read and scored by each task
    error: Exception | None = None  # what the work raised
    recorded: set[str] = field(default_factory=set)  # keys of the calls in the recording
    played: set[str] = field(default_factory=set)  # keys of the calls that were asked for

    def result(self, task: Task) -> Run | Evaluation | None:
        """Return the result that was read and scored by a task; None where there is none yet."""
        return next((result for known, result in self.done if known == task), None)

    def settled(self, task: Task) -> bool:
        """Whether there is a result for a task, or an error that no other extractor would change."""
        failed = self.error and not isinstance(self.error, ExtractorError | NetworkBlocked)
        return self.result(task) is not None or bool(failed and not self.done)

    @property
    def asks(self) -> str:
        """What it asks, and of whom: another server may be another model under the same name."""
        return f"{self.asked} {[shown_url(model) for model in self.models]}"

    @property
    def title(self) -> str:
        """The title of its sections in the summary."""
        return f"{self.task}: {self.name}"

    @property
    def reading(self) -> str:
        """What main's answers are found by: the title, and which of the tasks in their order reads them."""
        return f"{self.title}, reading {1 + len(self.done)}"

    @property
    def next_name(self) -> str:
        """The name of the next result: the work's, then with a number."""
        number = 1 + len({id(result) for _, result in self.done})
        return self.name if number == 1 else f"{self.name}-{number}"


class Lab:
    """Runs optimizations and evaluations inside a test session."""

    def __init__(self, settings: Settings, results: Results, console: Console | None = None) -> None:
        self._settings, self._results, self._console = settings, results, console or Console()
        self._jobs: dict[Path, _Job] = {}
        self._checked: set[str] = set()  # the tasks whose split has been compared with their recordings
        self._key = None if settings.makes_calls else ANY_KEY  # the SDK wants one, on replay too
        self._budget = Budget(settings.max_cost) if settings.max_cost and settings.makes_calls else None
        self._resuming: Resuming | None = None
        if settings.mode == "live":
            self._resuming = Resuming(
                settings.root / ".promptlab", settings.profile.name, afresh=settings.afresh
            )

    def __repr__(self) -> str:
        return f"<Lab profile {self._settings.profile.name}, {self._settings.mode}>"

    def optimize(
        self,
        task: Task,
        *,
        name: str = "optimize",
        classifier: Model | str | None = None,
        critic: Model | str | None = None,
        **given: Unpack[loop.Settings],
    ) -> Run:
        """Improve the task's prompt, like `promptlab.optimize`, with the profile's models.

        Args:
            task: the classification task, with its examples.
            name: names the recording, for a second run of the same task.
            classifier: another classifier than the profile's.
            critic: another critic than the profile's.
            given: the settings of `promptlab.steps`, above all `iterations`.

        Raises:
            CassetteMiss: a call was never recorded; the message gives the command that records it.
        """
        __tracebackhide__ = True
        reject_unknown(given, loop.Settings.__annotations__, "lab.optimize")
        profile = self._settings.profile
        settings: dict[str, Any] = {"classifier": classifier or profile.classifier}
        settings |= {"critic": critic or profile.critic} | given
        if settings["critic"] is None:
            raise DataError(
                f"profile {profile.name!r} has no critic, and lab.optimize needs one: add "
                f"critic = {{ name = '...' }} under [tool.promptlab.profiles.{profile.name}]"
            )
        if (prompt := settings.get("prompt")) is not None:
            settings["prompt"] = prompts.prompt_of(prompt)
        today, task = task, self._as_recorded(task, name)
        same = {key: value for key, value in settings.items() if key not in (*UNASKED, *ROLES)}
        if "proposers" in same:  # by their names: the address of a function differs from process to process
            same["proposers"] = [getattr(one, "__qualname__", repr(one)) for one in same["proposers"]]
        models = (classifier_of(settings[ROLES[0]], task), model_of(settings[ROLES[1]]))
        drawn = getattr(task.draw, "__qualname__", task.draw)
        self._note_moved(task)
        job = self._job(task, name, models, (task.labels, task.brief, task.answer_format, drawn, same))
        if not job.settled(task):
            with self._attempt(job, task) as slot:
                slot.value = self._reused(job, task, slot) or self._optimize(job, task, settings, today)
        run = self._result(job, task)
        assert isinstance(run, Run)
        return run

    def evaluate(
        self,
        task: Task,
        prompt: Prompt | str | Path,
        *,
        split: str = "test",
        name: str = "",
        repeats: int = 1,
        classifier: Model | str | None = None,
        **settings: Unpack[loop.Asking],
    ) -> Evaluation:
        """Score a prompt, or the prompt in a folder, on a split, with the profile's classifier.

        With `--promptlab-base`, a prompt in a folder is judged against its version at that commit. Canonical
        examples are asked three times while calls are made; a recording with one answer is read as it is.

        Args:
            task: the classification task, with its examples.
            prompt: the prompt, or the folder that holds it.
            split: "train", "validation" or "test".
            name: names the recording; by default "evaluate-" and the split.
            repeats: how often each example is asked, 1 or more; every figure is that of all answers, and
                the intervals know how much of it is chance.
            classifier: another classifier than the profile's.
            settings: those of `promptlab.evaluate` that say how is asked, such as `workers`.

        Raises:
            CassetteMiss: a call was never recorded; the message gives the command that records it.
        """
        __tracebackhide__ = True
        reject_unknown(settings, loop.Asking.__annotations__, "lab.evaluate")
        canonical, name = settings.get("canonical"), name or f"evaluate-{split}"
        loop.positive(repeats=repeats, canonical=1 if canonical is None else canonical)
        try:
            scored = prompts.prompt_of(prompt)
        except PromptlabError as error:
            self._failed(f"{task.name}: {name}", error)
            raise error.with_traceback(None) from None
        model = classifier_of(classifier or self._settings.profile.classifier, task)
        self._note_moved(task)
        job = self._job(task, name, (model,), (split, scored, repeats, canonical))
        if not isinstance(prompt, Prompt):
            job.place = job.place or self._place(job, Path(prompt), model if classifier else None)
        if not job.settled(task):
            with self._attempt(job, task) as slot:
                reused = self._reused(job, task, slot)
                slot.value = reused or self._evaluate(job, task, scored, split, repeats, {**settings})
        result = self._result(job, task)
        assert isinstance(result, Evaluation)
        return result

    def compare(self, result: Evaluation, *, margin: float = MARGIN) -> Comparison:
        """Compare a result of `evaluate` with the result of the base's prompt on the same examples.

        The test is skipped where the session has no `--promptlab-base`.

        Raises:
            PromptlabError: too little is recorded on both sides, or the base has no such prompt.
        """
        __tracebackhide__ = True
        if self._settings.base is None:
            pytest.skip("there is no base to compare with: give --promptlab-base=origin/main")
        for pair in self._results.pairs:
            if pair.whole is result:
                return decide.compared(pair, margin)
        raise PromptlabError(
            f"{result!r} was not returned by lab.evaluate for a prompt folder, so it has no base"
        )

    def migrate(
        self,
        task: Task,
        prompt: Prompt | str | Path,
        *,
        to: Model | str,
        split: str = "test",
        margin: float = MARGIN,
        repeats: int = 1,
        **settings: Unpack[loop.Asking],
    ) -> Migration:
        """Compare the profile's classifier with another model on the same prompt and examples.

        The present model's answers are those of `evaluate`; the other's have a recording of their own, named
        after it. With `--promptlab-base`, the comment has a section on it.

        Args:
            task: the classification task, with its examples.
            prompt: the prompt, or the folder that holds it.
            to: the other model; of a name, the settings are those of the profile's classifier.
            split: "train", "validation" or "test".
            margin: by how much the primary metric may fall for `no_worse`.
            repeats: as for `evaluate`.
            settings: as for `evaluate`.

        Raises:
            CassetteMiss: a call was never recorded; the message gives the command that records it.
        """
        __tracebackhide__ = True
        model = replace(self._settings.profile.classifier, name=to) if isinstance(to, str) else to
        name = f"evaluate-{split}-{re.sub(r'[^0-9A-Za-z.-]+', '-', model.name)}"
        old = self.evaluate(task, prompt, split=split, repeats=repeats, **settings)
        again = prompts.prompt_of(prompt)
        new = self.evaluate(
            task, again, split=split, name=name, repeats=repeats, classifier=model, **settings
        )
        found = migration(old, new, margin)
        if found not in self._results.migrations:
            self._results.migrations.append(found)
            self._results.sections.append((found.title, list(found.lines(verbose=self._settings.verbose))))
        self._results.figures[f"{task.name}.{name}.migration"] = found.verdict
        return found

    # -- the work -------------------------------------------------------------------------------

    def _optimize(self, job: _Job, task: Task, settings: dict[str, Any], today: Task) -> Outcome:
        sizes: dict[str, int] = {one: settings[one] for one in ("calls", "iterations") if one in settings}
        search, critic, test = most = loop.most(task, **sizes)
        calls = f"at most {search + critic + test:,} calls: {search:,} for the search, {critic} of the critic"
        calls += f", {test:,} about test"
        if self._settings.makes_calls:  # it is simulated, for seconds
            near = f"; {overlap.notice(task.near_duplicates)}" if task.near_duplicates else ""
            calls += f"; {terminal.detectable(task)}{near}"
        with self._recording(job, task) as cassette:
            self._announce(job, calls, cassette)
            try:
                run, seconds = synchronous(self._steps)(task, settings)
            except CassetteMiss as miss:
                prompt = settings.get("prompt")
                if not self._settings.plan:
                    raise self._run_differs(
                        job, task, cassette, prompt, search + critic + test, miss
                    ) from None
                raise Planned(plan.of_run(job.title, task, job.models, prompt, most, self._usage)) from None
        if self._settings.makes_calls:
            snapshots.save(job.path, task)
        known = {split: baselines(task, split) for split in ("validation", "test")}
        won = terminal.run(run, seconds, known, verbose=self._settings.verbose)
        lines = [*won, *_by_today(today, task, run)]
        return self._outcome(job, task, run, [run.test_first, run.test], lines)

    async def _steps(self, task: Task, settings: dict[str, Any]) -> tuple[Run, dict[int, float]]:
        """Run an optimization; return it and the seconds of each iteration, under 0 those of the run."""
        started, seconds = time.monotonic(), dict[int, float]()
        iterations = settings.get("iterations", loop.ITERATIONS)
        async for step in loop.steps(task, **self._asking(settings)):
            if isinstance(step, Iteration):
                seconds[step.number] = time.monotonic() - started - sum(seconds.values())
                self._console.progress(f"{task.name}: {terminal.iteration(step, iterations)}")
            else:
                run = step
        return run, seconds | {0: time.monotonic() - started}

    def _evaluate(
        self, job: _Job, task: Task, prompt: Prompt, split: str, repeats: int, settings: dict[str, Any]
    ) -> Outcome:
        """Ask about a split and the canonical examples; while recording, also what the base lacks."""
        (model,) = job.models
        settings = self._asking(settings) | {"repeats": repeats}
        asked = prompts.requests(prompt, task.split(split), model, repeats)
        given = settings.get("canonical")
        marked = prompts.requests(prompt, task.canonical, model, given or loop.CANONICAL)
        others = self._of_base(job, task, prompt, split, repeats)
        with self._recording(job, task) as cassette:
            usual = loop.CANONICAL if self._settings.plan else loop.canonical_times(cassette, marked)
            often = settings["canonical"] = given or usual
            wanted = [*asked, *(one for one in marked if one.repeat < often), *others]
            missing = cassette.missing(wanted)
            if self._settings.plan and missing:
                raise Planned(plan.of_requests(job.title, missing, self._usage))
            if missing and not self._settings.makes_calls:
                raise self._differs(job, task, cassette, prompt, (missing, len(wanted)))
            self._announce(job, f"{len(missing):,} calls", cassette)
            result = loop.evaluate(task, prompt, classifier=model, split=split, **settings)
            result = replace(result, name=prompts.name_of(job.place.folder) if job.place else "")
            if others:
                synchronous(self._ask)(others)
        return self._evaluated(job, task, result)

    def _differs(
        self,
        job: _Job,
        task: Task,
        cassette: IndexedCassette,
        prompt: Prompt,
        counts: tuple[list[Request], int],
    ) -> CassetteMiss:
        """Say what an unrecorded evaluation differs in, how many calls it lacks, and what they cost."""
        task.demonstrated(prompt)  # what is wrong with the prompt itself comes first
        (model,), (missing, whole), recording = job.models, counts, cassette.recording
        differs = list(misses.of_prompt(prompt, model, recording, task.examples))
        if recording.calls and not differs:
            about = {prompts.build(prompt, one.text, model).messages: one for one in task.examples}
            differs = list(misses.of_texts([(about[one.messages], one) for one in missing], recording))
        known = plan.of_requests(job.title, missing, self._usage).dollars if catalog.price(model) else None
        dollars = [] if known is None else [f"about {estimates.cost(known)}"]
        return self._miss(job, differs, [f"{len(missing):,} of {whole:,} calls to record", *dollars])

    def _run_differs(
        self,
        job: _Job,
        task: Task,
        cassette: IndexedCassette,
        prompt: Prompt | None,
        most: int,
        miss: CassetteMiss,
    ) -> CassetteMiss:
        """Say what an optimization that is not recorded differs in, and how many calls it may take."""
        recording, (classifier, critic) = cassette.recording, job.models
        first = prompt or prompts.first(task)
        differs = [*misses.of_prompt(first, classifier, recording, task.examples)]
        differs += [f"critic: {one}" for one in misses.of_model(critic, recording)]
        other = f"{miss.asked_for} is not recorded, so settings or data of the search differ"
        return self._miss(job, differs or [other], [f"at most {most:,} calls to record"])

    def _miss(self, job: _Job, differs: list[str], takes: list[str]) -> CassetteMiss:
        empty = not files.read_header(job.path)
        path = self._relative(job.path)
        said = "; ".join([*(["nothing is recorded there yet"] if empty else differs), *takes])
        why = f"{path}: {said}.".replace(f"{self._settings.root.resolve()}/", "")
        return CassetteMiss(path, self._command(), empty=empty, why=why)

    def _of_base(self, job: _Job, task: Task, prompt: Prompt, split: str, repeats: int) -> list[Request]:
        """Return the requests with the base's prompt to be made beside: what it lacks, or all once more."""
        settings, (model,) = self._settings, job.models
        if not (settings.base and job.place and settings.makes_calls):
            return []
        old, who, rest = base.unrecorded(task, job.place, settings.base, split)
        if old is None:
            return []
        who = replace(who, base_url=model.base_url)
        if settings.fresh_base and (old != prompt or who != model):
            return prompts.requests(old, task.split(split), who, repeats, base.FRESH)
        return prompts.requests(old, rest, who, repeats)

    async def _ask(self, requests: list[Request]) -> None:
        async with Client("the base's prompt", api_key=self._key, budget=self._budget) as client:
            most = int(REJECTABLE * len(requests))
            await client.ask_all(((one, "the base's prompt") for one in requests), rejectable=most)

    def _asking(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Add how the session asks to the settings of a piece of work."""
        own = settings.get("max_cost") if self._settings.makes_calls else None
        part = Budget(own, self._budget) if isinstance(own, int | float) else own or self._budget
        return settings | {"api_key": self._key, "max_cost": part}

    @functools.cached_property
    def _usage(self) -> Usage:
        return Usage(files.recordings(self._settings.root / "cassettes" / self._settings.profile.name))

    def _evaluated(self, job: _Job, task: Task, result: Evaluation) -> Outcome:
        notice = task.notice(result.split)
        with self._closed(job):
            outside = terminal.outside_the_set(task, result)
        known, verbose = baselines(task, result.split), self._settings.verbose
        lines = list(terminal.evaluation(result, known, verbose=verbose, outside=outside))
        lines += [f"note: {notice}"] if notice else []
        pairs = self._pairs(job, task, result)
        again = [pair.base for pair in pairs if pair.base and pair.again]
        judged = [result, *again] if result.split == "test" else []
        return self._outcome(job, task, result, judged, lines)._replace(pairs=pairs)

    def _pairs(self, job: _Job, task: Task, result: Evaluation) -> tuple[Pair, ...]:
        """Return what is to be judged against the base, and a release, that was not found already."""
        if job.place is None or self._settings.base is None:
            return ()
        title, place = f"{job.task}: {job.next_name}", job.place
        main = self._settings.main.get(job.reading)
        pair = base.pair(task, result, title, place, self._settings.base, main=main)
        if self._settings.by_main_alone and main is None and pair.known:
            pair = replace(pair, unreadable=(*pair.unreadable, NOT_BY_MAIN))
        pairs = [pair]
        if anchor := self._settings.anchor:
            title += f", since {anchor.name}"
            pairs.append(base.pair(task, result, title, place, anchor, anchor=True))
        known = [replace(pair, title="") for pair in self._results.pairs]
        return tuple(pair for pair in pairs if replace(pair, title="") not in known)

    def _outcome(
        self, job: _Job, task: Task, result: Run | Evaluation, judged: list[Evaluation], lines: list[str]
    ) -> Outcome:
        """Write the page of a result and, while calls are made, enter what was judged on test."""
        looks = []
        if judged:
            path = self._settings.root / "cassettes" / "ledger.csv"
            if self._settings.makes_calls:
                ledger.enter(path, task, judged)
            looks = [ledger.describe(path, task, judged)]
        source = terminal.provenance(files.read_header(job.path))
        page = self._settings.pages / f"{job.task}-{job.next_name}.html"
        split = "test" if isinstance(result, Run) else result.split
        html.write(page, result, source, baselines(task, split), texts=self._settings.texts)
        won = isinstance(result, Run) and result.best != result.first and self._settings.texts
        kept = [f"best prompt: {_kept(result, page)}"] if isinstance(result, Run) and won else []
        section = (f"{job.task}: {job.next_name}", [*lines, *looks, source, *kept, f"report: {page}"])
        return Outcome(result, [section], looks)

    # -- each piece of work once ----------------------------------------------------------------

    def _job(self, task: Task, name: str, models: tuple[Model, ...], given: object) -> _Job:
        """Return the work on a recording, new or known; PromptlabError where other work uses it."""
        __tracebackhide__ = True
        served = [replace(model, base_url=None) for model in models]
        asked = repr((task.data_hash, task.shares, task.split_seed, served, given))
        path = self._settings.root / "cassettes" / self._settings.profile.name / task.name / f"{name}.jsonl"
        job = self._jobs.setdefault(path, _Job(task.name, name, path, asked, models))
        if job.asked != asked:
            raise PromptlabError(
                f"{path}: two different runs of task {task.name!r} in one session use this recording: "
                f"give one of them another name, lab...(..., name='...')"
            )
        return job

    @contextlib.contextmanager
    def _attempt(self, job: _Job, task: Task) -> Iterator[Slot]:
        """Give one process the turn to do a piece of work; an error is kept for `_result` to raise."""
        try:
            with sharing.turn(self._settings.shared, f"{job.path} {job.asked}") as slot:
                yield slot
            self._add(job, task, slot.value)
        except Exception as error:
            job.error = error
            self._failed(job.title, error)

    def _reused(self, job: _Job, task: Task, slot: Slot) -> Outcome | None:
        """Return what a task reads from replies that this session has; None where there are none."""
        known = job.done[0][1] if job.done else slot.value and slot.value.result
        again = self._read_again(job, task, known) if known else None
        if again is None:
            return None
        if again is not known:
            return self._evaluated(job, task, again)
        if not job.done:
            shared: Outcome = slot.value
            return shared
        # The same answers here, but the base's may read differently.
        return Outcome(known, [], [], self._pairs(job, task, known) if isinstance(known, Evaluation) else ())

    def _read_again(self, job: _Job, task: Task, result: Run | Evaluation) -> Any:
        """Read a result's replies as a task does: the same result, or another evaluation.

        None for a run that would take another course.
        """
        if isinstance(result, Run):
            same = all(self._read_again(job, task, one) is one for one in result.evaluations)
            return result if same else None
        with self._closed(job):
            rows, canonical = (
                tuple(predict(task, row.example, row.reply, result.asked_with, row.repeat) for row in some)
                for some in (result.rows, result.canonical_rows)
            )
        again = evaluation_of(task, result.split, result.prompt, rows, result.classifier)
        again = replace(again, canonical_rows=canonical, name=result.name)
        return result if again == result else again

    def _add(self, job: _Job, task: Task, outcome: Outcome) -> None:
        if self._settings.answers and job.place and isinstance(outcome.result, Evaluation):
            self._results.answers.append(self._answers(job, task, outcome.result))
        job.done.append((task, outcome.result))
        self._results.sections += outcome.sections
        self._results.ledger += [line for line in outcome.ledger if line not in self._results.ledger]
        self._results.pairs += outcome.pairs

    def _answers(self, job: _Job, task: Task, result: Evaluation) -> Answers:
        """Return what was read."""
        assert job.place
        root, paths = self._settings.root.resolve(), (job.path, job.place.folder, *task.files)
        recording, prompt, *data = (Path(os.path.relpath(one.resolve(), root)).as_posix() for one in paths)
        return answers.answers(job.reading, recording, prompt, data, task, result)

    def _failed(self, title: str, error: Exception) -> None:
        failure = decide.failure(title, error, self._settings.root)
        self._results.failures += [failure] if failure not in self._results.failures else []

    def _result(self, job: _Job, task: Task) -> Run | Evaluation:
        """Return the result for a task, or raise what the work raised, without the library's frames."""
        __tracebackhide__ = True
        result = job.result(task)
        if result is None and isinstance(job.error, Planned):
            pytest.skip(str(job.error))
        if result is None and isinstance(job.error, PromptlabError):
            raise job.error.with_traceback(None) from None  # the message says it all
        if result is None:
            raise job.error or AssertionError("unreachable")
        found = terminal.figures(result).items()
        self._results.figures |= {f"{job.task}.{job.name}.{figure}": value for figure, value in found}
        return result

    # -- recordings -----------------------------------------------------------------------------

    @contextlib.contextmanager
    def _recording(self, job: _Job, task: Task) -> Iterator[IndexedCassette]:
        """Open the recording of a piece of work, with the network closed."""
        # What was just recorded is not paid again, for a task that reads other labels.
        mode, name = self._settings.mode, self._relative(job.path)
        if mode == "live" and (job.done or (self._resuming and self._resuming.has(name, job.asks))):
            mode = "changed"
        origin, again = self._origin(job, task), self._settings.invocation
        opened = recorder.use(job.path, mode=mode, record_with=self._command(), origin=origin, go_on=again)
        shown = progress.output.set(self._console)
        with self._closed(job), opened as cassette:
            try:
                yield cassette
            except BudgetExceeded as error:
                cap = [f"--promptlab-max-cost={self._budget.limit:g}"] if self._budget else []
                cap += [f"--promptlab-base={self._settings.base.name}"] if self._settings.base else []
                cap += ["--promptlab-fresh-base"] if self._settings.fresh_base else []
                live = "--live" if self._settings.mode == "live" else "--live-changed"
                kept = f"{cassette.kept} replies are kept in {job.path}{files.JOURNAL}"
                raise BudgetExceeded(f"{error}. {kept}; to go on: {self._command(*cap, live=live)}") from None
            finally:
                progress.output.reset(shown)
                if cassette.notes:
                    notes = [f"note: {note}" for note in cassette.notes]
                    self._results.sections.append((job.title, notes))
        job.recorded, job.played = set(cassette.recording.calls), job.played | cassette.played
        if self._resuming:
            self._resuming.finished(name, job.asks)

    def _closed(self, job: _Job) -> contextlib.AbstractContextManager[None]:
        """Close the network: on replay all but loopback, and the API's own server wherever it is."""
        close = network.only_to if self._settings.makes_calls else network.not_even_to
        return close(current_test(), [url_of(model) for model in job.models])

    def _announce(self, job: _Job, calls: str, cassette: IndexedCassette) -> None:
        """Say how many calls will be made, before they are."""
        if cassette.resumed:
            calls += f"; {cassette.resumed} replies are reused from an unfinished run"
        if self._settings.mode == "live" and cassette.mode == "changed" and not job.done:
            calls = (
                "not made again, since the session before, which was stopped, has finished it; "
                "--promptlab-afresh makes it again"
            )
        if self._settings.makes_calls:
            self._console.announce(f"promptlab: {job.title}: {calls}")

    def _command(self, *more: str, live: str = "--live-changed") -> str:
        """Return the command that records what the current test needs."""
        profile = self._settings.profile.name
        option = [] if profile == self._settings.live_profile else [f"--promptlab-profile={profile}"]
        return shlex.join(["pytest", live, *option, *more, current_test()])

    def _place(self, job: _Job, folder: Path, classifier: Model | None) -> Place:
        commit = self._settings.base
        more = [f"--promptlab-base={commit.name}"] if commit else []
        root, profile = self._settings.root, self._settings.profile
        record_with = self._command(*more)
        return Place(root, folder, job.path, profile, classifier, record_with, current_test())

    def _origin(self, job: _Job, task: Task) -> Origin:
        """Say for whom calls are recorded; paths are relative to the project, or names alone."""
        if not self._settings.makes_calls:
            return UNKNOWN
        return Origin(
            by=os.environ.get("GITHUB_ACTOR")
            or git.author(self._settings.root)
            or os.environ.get("USER", ""),
            test=current_test(),
            prompt=self._relative(job.place.folder) if job.place else "",
            data=tuple(map(self._relative, task.sources)),
        )

    def _relative(self, path: Path) -> str:
        return files.relative(path, self._settings.root)

    def _note_moved(self, task: Task) -> None:
        """Name the examples that have moved from train to test since an optimization was recorded, once."""
        if task.name not in self._checked:
            self._checked.add(task.name)
            folder = self._settings.root / "cassettes" / self._settings.profile.name / task.name
            if note := snapshots.moved(folder, task):
                self._results.sections.append((f"{task.name}: split", [f"note: {note}"]))

    def _as_recorded(self, task: Task, name: str) -> Task:
        """Return the task with the examples that its optimization was recorded on."""
        if self._settings.makes_calls or self._settings.plan:
            return task
        folder = self._settings.root / "cassettes" / self._settings.profile.name / task.name
        recorded = snapshots.as_recorded(folder / f"{name}.jsonl", task)
        if recorded.data_hash != task.data_hash and folder / f"{name}.jsonl" not in self._jobs:
            moved = snapshots.moves(recorded, task)
            note = (
                f"recorded on older data{f' ({moved})' if moved else ''}; {self._command()} records it again"
            )
            self._results.sections.append((f"{task.name}: {name}", [note]))
        return recorded


def _by_today(today: Task, recorded: Task, run: Run) -> Iterator[str]:
    """Yield what was relabelled since a run was recorded, and its figures on test under both labels."""
    changed = snapshots.relabelled(recorded, today)
    if not changed:
        return
    yield f"relabelled since it was recorded: {len(changed)}"
    rows = [Change(was.id, was.text, shown(was.label), shown(now.label)) for was, now in changed]
    yield from (f"  {line}" for line in decide.table(rows, ("recorded", "now")))
    labels = {was.id: now for was, now in changed}
    for result in (run.test_first, run.test):
        graded = (replace(row, example=labels.get(row.example.id, row.example)) for row in result.rows)
        again = [
            replace(row, score=0.0 if row.missing else today.grade(row.example, row.label)) for row in graded
        ]
        now = evaluation_of(today, "test", result.prompt, again, result.classifier)
        figures = f"{result.primary:.3f} by the recorded labels, {now.primary:.3f} by today's"
        yield f"  {result.subject}: {result.primary_name} on test {figures}"


def _kept(run: Run, page: Path) -> Path:
    """Write a run's best prompt beside its page, as a prompt's folder; what looks like a key is masked."""
    folder = page.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    texts = files_of(run.best)
    for name in prompts.FILES:
        (folder / name).unlink(missing_ok=True)
        if name in texts:
            text = secrets.masked(texts[name])
            (folder / name).write_text(text, encoding="utf-8", errors="surrogatepass", newline="")
    return folder


def current_test() -> str:
    """Return the id of the current test, which pytest keeps in the environment."""
    return os.environ.get("PYTEST_CURRENT_TEST", "a test").rsplit(" (", 1)[0]


# -- the end of the session ---------------------------------------------------------------------


def finish(lab: Lab, *, prune: bool) -> None:
    """Report the recorded calls that were not asked for, and remove them where `prune` says so."""
    settings, results = lab._settings, lab._results
    for job in lab._jobs.values():
        orphans = job.recorded - job.played
        if settings.makes_calls or settings.base or job.error or not orphans:  # some may be the base's
            continue
        results.sections.append((job.title, [terminal.orphans(len(orphans), pruned=prune)]))
        if prune:
            files.write(job.path, files.without(files.read(job.path), orphans))
    if prune:
        found = files.recordings(settings.root / "cassettes" / settings.profile.name)
        why = "kept, although no test in this session opened it; if no test needs it, delete it"
        unopened = [f"{path}: {why}" for path in found if path not in lab._jobs]
        results.sections.append(("prune", unopened or ["every recording was opened by a test"]))


def end(lab: Lab, *, whole: bool) -> None:
    """Sum up what was planned; forget a live session that came to its `whole` end."""
    jobs = lab._jobs.values()
    if plans := [job.error.plan for job in jobs if isinstance(job.error, Planned)]:
        lab._results.sections.append(("plan", [*map(str, plans), plan.total(plans)]))
    if lab._resuming and whole and not any(job.error for job in jobs):
        lab._resuming.end()


def verify(lab: Lab, count: int) -> bool:
    """Ask `count` recorded requests again and report how many labels changed; whether they could be asked."""
    done = [(task, job.models[0], result) for job in lab._jobs.values() for task, result in job.done]
    lab._console.announce(f"promptlab: repeating {count} recorded calls")
    held, lines = ask_again(done, count, lab._budget)
    lab._results.sections.append(("live-verify", lines))
    return held
