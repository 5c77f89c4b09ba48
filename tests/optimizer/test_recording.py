"""Scripts and notebooks keep, resume and replay their calls as tests do."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest

import promptlab as pl
from promptlab.cassettes import format as files
from promptlab.optimizer.recording import asker

from .. import examples
from ..conftest import ROOT
from ..examples import model, task
from ..server import answering, serving

SHORT = {"iterations": 1, "per_label": 6, "calls": 120}
PROMPT = pl.Prompt("Better")


@pytest.fixture(autouse=True)
def not_in_ci(monkeypatch):
    monkeypatch.delenv("CI", raising=False)


@pytest.fixture
def server():
    with serving(examples.answer) as server:
        yield server


def optimized(server, folder, **more):
    models = {"classifier": model(server.url), "critic": model(server.url, "critic")}
    return pl.optimize(task(), **models, record=folder, **SHORT | more)


def evaluated(server, folder, prompt=PROMPT, **more):
    return pl.evaluate(task(), prompt, classifier=model(server.url), record=folder, **more)


def test_an_optimization_is_recorded_where_tests_would_and_replayed_without_a_call(server, tmp_path):
    run = optimized(server, tmp_path / "local")
    asked = len(server.bodies)
    assert ["optimize.examples.jsonl", "optimize.jsonl"] == sorted(
        path.name for path in (tmp_path / "local/topics").iterdir()
    )
    assert run == optimized(server, tmp_path / "local", live="replay")
    assert run == optimized(server, str(tmp_path / "local"))  # "changed": nothing has
    assert asked == len(server.bodies)


def test_an_evaluation_is_recorded_under_its_split_or_its_name(server, tmp_path):
    result = evaluated(server, tmp_path)
    other = evaluated(server, tmp_path, pl.Prompt("Worse"), split="validation", name="other")
    assert {"evaluate-test.jsonl", "other.jsonl"} == {path.name for path in (tmp_path / "topics").iterdir()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CI", "true")  # so that the default is to replay
        assert result == evaluated(server, tmp_path)
        assert other == evaluated(server, tmp_path, pl.Prompt("Worse"), split="validation", name="other")
    assert len(result.rows) + len(other.rows) == len(server.bodies)


def test_two_prompts_may_share_a_recording_which_grows(server, tmp_path):
    one, two = (evaluated(server, tmp_path, pl.Prompt(text)) for text in ("Better", "Worse"))
    asked = len(server.bodies)
    assert [one, two] == [evaluated(server, tmp_path, pl.Prompt(text)) for text in ("Better", "Worse")]
    assert asked == len(server.bodies)


@pytest.mark.parametrize("live", ["all", True])
def test_all_makes_each_call_again(server, tmp_path, live):
    result = evaluated(server, tmp_path)
    assert result == evaluated(server, tmp_path, live=live)
    assert 2 * len(result.rows) == len(server.bodies)


@pytest.mark.parametrize("live", ["replay", None])
def test_a_miss_says_in_python_how_to_record(server, tmp_path, monkeypatch, live):
    monkeypatch.setenv("CI", "true")
    folder = tmp_path / "kept"
    with pytest.raises(pl.CassetteMiss) as miss:
        evaluated(server, folder, name="second", live=live)
    way = f"To record it: pl.evaluate(..., record={str(folder)!r}, name='second', live='changed')"
    assert str(miss.value).endswith(way)
    with pytest.raises(pl.CassetteMiss, match=r"pl\.optimize"):
        optimized(server, folder, live=live)
    assert [] == server.bodies


def test_the_server_on_loopback_is_closed_while_calls_are_replayed(server, tmp_path):
    host, port = server.url.removeprefix("http://").split(":")

    def asks(reply):
        with socket.socket() as connection:
            connection.connect((host, int(port)))

    evaluated(server, tmp_path)
    asked = len(server.bodies)
    curious = task(extract=asks, answer_format="LABEL")
    with pytest.raises(pl.NetworkBlocked, match=f"tried to reach {host}:{port}"):
        pl.evaluate(curious, PROMPT, classifier=model(server.url), record=tmp_path, live="replay")
    assert asked == len(server.bodies)


def test_an_optimization_is_replayed_on_the_examples_that_it_was_recorded_on(server, tmp_path):
    run = optimized(server, tmp_path)
    grown = task(120)
    models = {"classifier": model(server.url), "critic": model(server.url, "critic")}
    with pytest.warns(UserWarning, match=r"optimize.jsonl: recorded on older data; live='changed' records"):
        again = pl.optimize(grown, **models, **SHORT, record=tmp_path, live="replay")
    assert run.best == again.best
    assert run.test.predictions.equals(again.test.predictions)


@pytest.mark.parametrize("times", [1, 3])
def test_canonical_examples_are_replayed_as_often_as_they_were_asked(server, tmp_path, times):
    marked = task(examples=[replace(e, canonical=e.id == "e000") for e in examples.examples()])
    settings = {"classifier": model(server.url), "record": tmp_path}
    result = pl.evaluate(marked, PROMPT, **settings, canonical=times)
    assert times == len(result.canonical_rows)
    assert result == pl.evaluate(marked, PROMPT, **settings, live="replay")
    assert 3 == len(pl.evaluate(marked, PROMPT, **settings).canonical_rows)


def test_the_asynchronous_functions_record_too(server, tmp_path):
    async def cell():
        models = {"classifier": model(server.url), "critic": model(server.url, "critic")}
        run = await pl.optimize_async(task(), **models, **SHORT, record=tmp_path)
        return run, await pl.evaluate_async(task(), PROMPT, classifier=model(server.url), record=tmp_path)

    run, result = asyncio.run(cell())
    assert run == optimized(server, tmp_path, live="replay")
    assert result == evaluated(server, tmp_path, live="replay")


def test_without_a_folder_name_and_live_are_errors(server):
    for more in ({"name": "second"}, {"live": "replay"}):
        with pytest.raises(ValueError, match="they need a folder, such as record='cassettes'"):
            evaluated(server, None, **more)


@pytest.mark.parametrize("live", [False, "live", "none"])
def test_another_live_is_an_error_that_shows_it(server, tmp_path, live):
    with pytest.raises(ValueError, match=f"live is {live!r}, expected 'changed', 'all' or 'replay'"):
        evaluated(server, tmp_path, live=live)


def test_the_header_says_which_test_asked_and_names_no_prompt_that_the_gate_would_ask_for(server, tmp_path):
    pl.save_prompt(PROMPT, tmp_path / "prompt")
    evaluated(server, tmp_path, tmp_path / "prompt")
    origin = files.read_header(tmp_path / "topics/evaluate-test.jsonl")["origin"]
    assert asker() == origin["test"]
    assert __name__.replace(".", "/") + ".py" == origin["test"].partition("::")[0]
    assert "" == origin["prompt"]


def test_what_looks_like_a_key_is_recorded_masked_and_said(server, tmp_path):
    key = "sk-" + "ant-" + "0123456789abcdefghijklmnop"
    with pytest.warns(UserWarning, match="what looks like a key was stored masked"):
        evaluated(server, tmp_path, pl.Prompt(f"Better {key}"))
    assert key not in (tmp_path / "topics/evaluate-test.jsonl").read_text()


def test_a_budget_that_ends_says_what_is_kept_and_how_to_go_on(server, tmp_path):
    dear = replace(model(server.url), price=pl.Price(10, 10), max_tokens=10)
    settings = {"classifier": dear, "record": tmp_path, "workers": 1}
    with pytest.raises(pl.BudgetExceeded) as stopped:
        pl.evaluate(task(), PROMPT, **settings, max_cost=0.005)
    (note,) = stopped.value.__notes__
    kept = len(server.bodies)
    assert 0 < kept < 32
    journal = tmp_path / "topics/evaluate-test.jsonl.journal"
    way = f"pl.evaluate(..., record={str(tmp_path)!r}, live='changed')"
    assert f"{kept} replies are kept in {journal}; {way} goes on from them" == note
    result = pl.evaluate(task(), PROMPT, **settings)
    assert len(result.rows) == len(server.bodies)


SCRIPT = """
import sys
from tests import examples
import promptlab as pl
from promptlab.models import pacing

pacing.START = 1e6
model = examples.model(sys.argv[1])
run = pl.optimize(
    examples.task(), classifier=model, critic=examples.model(sys.argv[1], "critic"), record="kept",
    iterations=1, per_label=6, calls=120, workers=2,
)
print(run.best.id, run.test.macro_f1, run.usage.calls)
"""


def run_script(folder, url, **more):
    (folder / "script.py").write_text(SCRIPT)
    quiet = {name: value for name, value in os.environ.items() if name not in ("CI", "PYTEST_CURRENT_TEST")}
    environment = quiet | {"PYTHONPATH": str(ROOT)} | more
    command = [sys.executable, "script.py", url]
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=-1, stderr=-1, text=True)


def stopped(folder, stop):
    """Send a script a signal after thirty calls; return what it wrote on its standard error, and the answers."""
    seen, gone = [], threading.Event()

    def slowly(body):
        seen.append(json.dumps(body))
        if len(seen) > 30:
            gone.wait(20 if stop == signal.SIGKILL else 0.2)
        return examples.answer(body)

    with serving(slowly) as server:
        process = run_script(folder, server.url)
        while len(seen) <= 30:
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        process.send_signal(stop)
        _, said = process.communicate()
        gone.set()
    return said


JOURNAL = "kept/topics/optimize.jsonl.journal"


@pytest.mark.thorough
def test_a_script_that_is_killed_goes_on_where_it_was(server, tmp_path):
    stopped(tmp_path, signal.SIGKILL)
    kept = (tmp_path / JOURNAL).read_bytes().count(b"\n")
    assert kept >= 28
    run = optimized(server, tmp_path / "kept")
    assert run.usage.calls == kept + len(server.bodies)
    assert not (tmp_path / JOURNAL).exists()
    with answering(examples.answer) as fresh:
        models = {"classifier": model(fresh.url), "critic": model(fresh.url, "critic")}
        never_stopped = pl.optimize(task(), **models, **SHORT)
    assert never_stopped.best == run.best
    assert never_stopped.usage == run.usage


@pytest.mark.thorough
def test_an_interrupted_script_says_what_is_kept_and_the_same_command_goes_on_and_replays(tmp_path):
    said = stopped(tmp_path, signal.SIGINT)
    kept = (tmp_path / JOURNAL).read_bytes().count(b"\n")
    way = f"{kept} replies are kept in {JOURNAL}; pl.optimize(..., record='kept', live='changed')"
    assert ["KeyboardInterrupt", f"{way} goes on from them"] == said.splitlines()[-2:]
    assert 1 == said.count("Traceback")
    with serving(examples.answer) as server:
        first, said = run_script(tmp_path, server.url).communicate()
    assert "" == said
    assert int(first.split()[-1]) == kept + len(server.bodies)
    again = run_script(tmp_path, server.url, CI="true")  # nobody listens there any more
    assert (first, "") == again.communicate()
    assert "script.py" == files.read_header(tmp_path / "kept/topics/optimize.jsonl")["origin"]["test"]
