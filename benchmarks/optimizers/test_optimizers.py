"""promptlab beside the predecessor's algorithm and three optimizers of DSPy: same data, model and budget."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import pytest

import promptlab as pl
from promptlab.models.client import WORKERS

from ..duplicates import task as duplicates
from ..routing import task as routing
from ..short import CLASSIFIER
from .calls import Call, logged, recorded

LOGS = Path(__file__).parent / "logs"
PEERS = {"bootstrap": "BootstrapFewShotWithRandomSearch", "miprov2": "MIPROv2", "gepa": "GEPA"}
THREADS = 2  # calls of a peer in flight
TASKS = (duplicates, routing)
#: promptlab's runs on each task, and the predecessor's algorithm.
RUNS: Mapping[str, Mapping[str, dict[str, Any]]] = {
    "duplicates": {
        **{f"promptlab, seed {n}": {"seed": n, "name": f"optimize-{n}"} for n in range(3)},
        "predecessor's algorithm": {"proposers": pl.PREDECESSOR, "iterations": 3, "name": "predecessor"},
    },
    "routing": {"promptlab, seed 0": {"name": "optimize"}},
}


class Entrant(NamedTuple):
    """A run that is compared: its best prompt on test, its calls, and how many were in flight."""

    test: pl.Evaluation
    calls: Sequence[Call]
    in_flight: int


class Race(NamedTuple):
    """A task's first prompt on test, and the runs by their names, promptlab's first."""

    task: str
    first: pl.Evaluation
    entrants: Mapping[str, Entrant]

    @property
    def ours(self) -> dict[str, pl.Evaluation]:
        """Return the best prompts of promptlab on test, by the names of the runs."""
        return {name: one.test for name, one in self.entrants.items() if name.startswith("promptlab")}


@pytest.fixture(scope="session")
def races(lab, pytestconfig) -> dict[str, Race]:
    """Return a race for each task."""
    found = {}
    for module in TASKS:
        task, entrants = module.task, dict[str, Entrant]()
        for name, settings in RUNS[task.name].items():
            run = lab.optimize(task, prompt=module.HERE / "first", classifier=CLASSIFIER, **settings)
            path = pytestconfig.rootpath / "cassettes/local" / task.name / f"{settings['name']}.jsonl"
            entrants[name] = Entrant(run.test, list(recorded(path, task, CLASSIFIER)), WORKERS)
        for name, title in PEERS.items():
            log = LOGS / f"{name}-{task.name}.jsonl"
            labels = json.loads(log.with_suffix(".json").read_text(encoding="utf-8"))["answers"]
            replies = [{"id": example, "reply": label or ""} for example, label in labels.items()]
            entrants[title] = Entrant(pl.score(task, replies, name=title), list(logged(log)), THREADS)
        found[task.name] = Race(task.name, run.test_first, entrants)
    return found


@pytest.fixture(params=[module.task.name for module in TASKS])
def race(races, request) -> Race:
    """Return the race of one task."""
    return races[request.param]


def test_promptlab_is_better_than_the_first_prompt_and_worse_than_no_other_run(race, show):
    show(f"{race.task}: optimizers side by side", figures(race), costs(race))
    for one in race.ours.values():
        assert "better" == pl.compare(race.first, one).verdict
        for other in race.entrants.keys() - race.ours:
            assert "worse" != pl.compare(race.entrants[other].test, one).verdict, other


def test_promptlab_is_ahead_of_every_other_optimizer_in_the_mean_of_the_tasks(races, show):
    each = {title: [race.entrants[title].test.primary for race in races.values()] for title in PEERS.values()}
    each["promptlab"] = [mean(one.primary for one in race.ours.values()) for race in races.values()]
    found = {name: mean(figures) for name, figures in each.items()}
    best = sorted(found, key=found.__getitem__, reverse=True)
    show("optimizers: mean of the tasks", [(f"{name}: {found[name]:.3f}",) for name in best])
    assert "promptlab" == best[0]


def test_every_call_about_test_is_counted(race):
    for name, one in race.entrants.items():
        asked = one.test.prompt not in (None, race.first.prompt)  # beside the first prompt
        assert race.first.examples * (1 + asked) == sum(call.phase == "test" for call in one.calls), name


def figures(race: Race) -> list[tuple[str, ...]]:
    """Make the table of what each run reached on test."""
    title = f"{race.task}, test (n = {race.first.examples})"
    rows = [(title, race.first.primary_name, "no label", "against first", "against promptlab")]
    for name, test in {"first prompt": race.first, **{n: e.test for n, e in race.entrants.items()}}.items():
        against = [pl.compare(one, test).verdict for one in race.ours.values() if one is not test]
        figure, missing = test.primary_interval.around(test.primary), f"{test.without_label:.3f}"
        verdict = "" if test is race.first else pl.compare(race.first, test).verdict
        rows.append((name, figure, missing, verdict, ", ".join(against)))
    return rows


def costs(race: Race) -> list[tuple[str, ...]]:
    """Make the table of what each run cost before test."""
    tokens = "tokens in, out"
    rows = [("search", "classifier calls", tokens, "critic calls", tokens, "minutes", "prompt tokens")]
    for name, one in race.entrants.items():
        cells, seconds = list[str](), 0.0
        for role, in_flight in (("classifier", one.in_flight), ("critic", 1)):
            calls = [call for call in one.calls if (call.phase, call.role) == ("search", role)]
            both = (sum(call.tokens_in for call in calls), sum(call.tokens_out for call in calls))
            cells += [f"{len(calls)}", ", ".join(f"{n:,}" for n in both)]
            seconds += sum(call.seconds for call in calls) / in_flight
        asked = mean(call.tokens_in for call in one.calls if call.phase == "test")
        rows.append((name, *cells, f"{seconds / 60:.0f}", f"{asked:.0f}"))
    return rows
