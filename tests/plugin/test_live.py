"""Live sessions: what one costs at most, what is planned, and how one goes on that was stopped."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time

import pytest

from .. import examples
from ..examples import connect
from ..server import serving
from .test_hooks import DATA, TASK

PRICES = """
[tool.promptlab.prices.small]
input = 10
output = 100

[tool.promptlab.prices.large]
input = 10
output = 100
"""
TESTS = """
import promptlab as pl
from topics import task

def test_first(lab):
    assert lab.evaluate(task, pl.Prompt("one"), name="first").rows

def test_second(lab):
    assert lab.evaluate(task, pl.Prompt("two"), name="second").rows
"""


@pytest.fixture(autouse=True)
def rough(monkeypatch):
    monkeypatch.setattr("promptlab.scoring.power.ROUNDS", (40, 80))
    monkeypatch.setattr("promptlab.models.client._wait", lambda asked, attempt: 0.0)


@pytest.fixture
def project(pytester):
    """Lay out a project with two evaluations."""
    for name, text in {"data.csv": DATA, "topics.py": TASK, "test_topics.py": TESTS}.items():
        (pytester.path / name).write_text(text)
    pytester.syspathinsert()
    return pytester


def connected(project, server, more=""):
    connect(project.path, server.url)
    file = project.path / "pyproject.toml"
    file.write_text(file.read_text().replace('"small" }', '"small", max_tokens = 20 }') + more)


def test_a_session_costs_no_more_than_its_cap_and_the_command_it_prints_goes_on(project):
    """Advice is tested by following it."""
    with serving(examples.answer) as server:
        connected(project, server, PRICES)
        done = project.runpytest("--live", "--promptlab-max-cost=0.03")
        done.assert_outcomes(passed=1, failed=1)
        made = len(server.bodies)
        (said,) = re.findall(r"of the budget of \$0\.03, \$0\.00\d\d is left.*", done.stdout.str())[:1]
        kept = int(re.search(r"(\d+) replies are kept in .*second\.jsonl\.journal", said)[1])
        assert 30 + kept == made < 60
        assert made * 0.0006 <= 0.03
        command = re.search(r"to go on: pytest (.*)$", said)[1].split()
        assert ["--live", "--promptlab-max-cost=0.03", "test_topics.py::test_second"] == command
        project.runpytest(*command).assert_outcomes(passed=1)
    assert 60 == len(server.bodies)
    project.runpytest().assert_outcomes(passed=2)


def test_a_cap_needs_the_prices_and_costs_no_call_without(project):
    with serving(examples.answer) as server:
        connected(project, server)
        done = project.runpytest("--live", "--promptlab-max-cost=1")
    done.assert_outcomes(failed=2)
    done.stdout.fnmatch_lines(['*the price of small is not known*tool.promptlab.prices."small"*'])
    assert [] == server.bodies


def test_a_run_may_have_a_cap_of_its_own(project):
    text = TESTS.replace('name="first")', 'name="first", max_cost=0.005)')
    (project.path / "test_topics.py").write_text(text)
    with serving(examples.answer) as server:
        connected(project, server, PRICES)
        done = project.runpytest("--live", "--promptlab-max-cost=1")
    done.assert_outcomes(passed=1, failed=1)
    done.stdout.fnmatch_lines(["*of the budget of $0.01, *"])
    assert 30 < len(server.bodies) < 60


def test_a_cap_that_is_none_is_a_usage_error(pytester):
    for value in ("0", "-2", "nan"):
        done = pytester.runpytest(f"--promptlab-max-cost={value}")
        done.stderr.fnmatch_lines(["*--promptlab-max-cost=*: expected dollars, more than 0*"])


def without_critic(project, server):
    connect(project.path, server.url)
    file = project.path / "pyproject.toml"
    file.write_text(file.read_text().replace('critic = { name = "large" }\n', ""))


def test_a_profile_needs_no_critic_to_evaluate(project):
    with serving(examples.answer) as server:
        without_critic(project, server)
        done = project.runpytest("--live")
    done.assert_outcomes(passed=2)
    assert "asks small at" in done.stdout.str()
    project.runpytest().assert_outcomes(passed=2)


def test_an_optimization_without_a_critic_says_what_to_add_before_a_call(project):
    (project.path / "test_topics.py").write_text(
        "from topics import task\n\ndef test_it(lab):\n    lab.optimize(task, calls=250)\n"
    )
    with serving(examples.answer) as server:
        without_critic(project, server)
        done = project.runpytest("--live")
    done.assert_outcomes(failed=1)
    said = "*DataError: profile 'local' has no critic, and lab.optimize needs one: add critic = { name = '...' } *"
    done.stdout.fnmatch_lines([said])
    assert [] == server.bodies


def test_a_model_that_retires_is_named_in_the_summary(project):
    with serving(examples.answer) as server:
        server.models = {"claude-haiku-5-5": {"id": "claude-haiku-5-5", "lifecycle": "deprecated"}}
        connected(project, server)
        file = project.path / "pyproject.toml"
        file.write_text(file.read_text().replace('"small"', '"claude-haiku-5-5"'))
        done = project.runpytest("--live", "-k", "first")
    done.assert_outcomes(passed=1, deselected=1)
    done.stdout.fnmatch_lines(["*= models =*", "note: claude-haiku-5-5 is deprecated: lab.migrate compares*"])


# -- what calls would cost -------------------------------------------------------------------------


def test_a_plan_says_what_is_not_recorded_and_makes_no_call(project):
    with serving(examples.answer) as server:
        connected(project, server, PRICES)
        project.runpytest("--live", "-k", "first").assert_outcomes(passed=1, deselected=1)
        server.bodies.clear()
        done = project.runpytest("--promptlab-plan", "-rs")
    done.assert_outcomes(passed=1, skipped=1)
    assert [] == server.bodies
    # 30 calls, of which each took 10 tokens in and 5 out when the first prompt was recorded
    done.stdout.fnmatch_lines(
        [
            "*= plan =*",
            "topics: second: at most 30 calls, $0.018*: classifier small 30 calls, about 3?? tokens in and 150 out, $0.018*",
            "in all at least 30 calls, $0.018*: each test was skipped at the first call that is not recorded*",
            "SKIPPED*not recorded: at most 30 calls, $0.018*",
        ]
    )
    assert ["first.jsonl"] == [path.name for path in project.path.glob("cassettes/local/topics/*")]


def test_a_plan_without_any_recording_is_an_estimate(project):
    (project.path / "test_topics.py").write_text(
        "from topics import task\n\ndef test_it(lab):\n    lab.optimize(task, iterations=1, calls=100)\n"
    )
    done = project.runpytest("--promptlab-plan")
    done.assert_outcomes(skipped=1)
    found = re.search(
        r"topics: optimize: at most (\d+) calls, \$(\S+) \(estimated: no usage is recorded\): "
        r"classifier claude-haiku-5-5 (\d+) calls, about \S+ tokens in and \S+ out, \$(\S+); "
        r"critic claude-opus-5-5 (\d+) calls, about \S+ tokens in and \S+ out, \$(\S+)",
        done.stdout.str(),
    )
    calls, dollars, *parts = found.groups()
    assert (100 + 2 * 30 + 12, 100 + 2 * 30, 12) == (int(calls), int(parts[0]), int(parts[2]))
    assert pytest.approx(float(parts[1]) + float(parts[3]), rel=0.01) == float(dollars)


def test_a_plan_counts_what_a_live_session_asks_three_times(project):
    rows = [
        f"{e.id},{e.text},{e.label},{'yes' if n < 2 else ''}\n" for n, e in enumerate(examples.examples())
    ]
    (project.path / "data.csv").write_text("id,text,label,canonical\n" + "".join(rows))
    with serving(examples.answer) as server:
        connected(project, server, PRICES)
        planned = project.runpytest("--promptlab-plan", "-k", "first").stdout.str()
        project.runpytest("--live", "-k", "first").assert_outcomes(passed=1, deselected=1)
    assert f"topics: first: at most {len(server.bodies)} calls" in planned


def test_a_plan_of_a_model_without_a_price_says_so(project):
    with serving(examples.answer) as server:
        connected(project, server)
        done = project.runpytest("--promptlab-plan")
    done.stdout.fnmatch_lines(
        ["topics: first: at most 30 calls, price unknown*", "in all at least 60 calls, price unknown*"]
    )


def test_a_plan_is_about_the_data_as_they_are_now(project):
    """A replay would take the examples that the run was recorded on; a live session would not."""
    (project.path / "test_topics.py").write_text(
        "from topics import task\n\ndef test_it(lab):\n    lab.optimize(task, iterations=1, calls=100)\n"
    )
    with serving(examples.answer) as server:
        connected(project, server)
        project.runpytest("--live").assert_outcomes(passed=1)
    project.runpytest("--promptlab-plan").assert_outcomes(passed=1)
    with (project.path / "data.csv").open("a") as file:
        file.writelines(f"new{n},Sentence {n} about rain.,weather\n" for n in range(100, 110))
    project.runpytest().assert_outcomes(passed=1)
    project.runpytest("--promptlab-plan").assert_outcomes(skipped=1)


def test_a_plan_where_everything_is_recorded_has_nothing_to_say(project):
    with serving(examples.answer) as server:
        connected(project, server)
        project.runpytest("--live").assert_outcomes(passed=2)
    done = project.runpytest("--promptlab-plan")
    done.assert_outcomes(passed=2)
    assert " plan " not in done.stdout.str()


# -- a session that was stopped ---------------------------------------------------------------------


def failing(on):
    """Answer, until the server fails for good on what a prompt asks."""
    broken = [True]

    def answer(body):
        return (400, {}, {}) if body["system"] == on and broken[0] else examples.answer(body)

    return answer, broken


@pytest.fixture
def stopped(project):
    """Record one of two evaluations, while the server fails for the other; then mend the server."""
    answer, broken = failing("two")
    with serving(answer) as server:
        connected(project, server)
        project.runpytest("--live").assert_outcomes(passed=1, failed=1)
        broken[0] = False
        server.bodies.clear()
        yield server


def test_a_session_that_was_stopped_goes_on_and_says_so(project, stopped):
    state = json.loads((project.path / ".promptlab/live.json").read_text())
    assert ["cassettes/local/topics/first.jsonl"] == [*state["finished"]]
    done = project.runpytest("--live")
    done.assert_outcomes(passed=2)
    assert {"two"} == {body["system"] for body in stopped.bodies}
    done.stdout.fnmatch_lines(
        [
            "promptlab: topics: first: not made again, since the session before*--promptlab-afresh makes it again"
        ]
    )
    assert not (project.path / ".promptlab/live.json").exists()
    stopped.bodies.clear()
    project.runpytest("--live").assert_outcomes(passed=2)
    assert 60 == len(stopped.bodies)  # that session came to its end, so this one makes all calls


def test_afresh_makes_all_calls_again(project, stopped):
    project.runpytest("--live", "--promptlab-afresh").assert_outcomes(passed=2)
    assert 60 == len(stopped.bodies)


CHANGES = ["a day later", "another profile", "another prompt", "another server", "damaged"]


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_old_or_differs_is_made_again(project, stopped, change):
    file, more = project.path / ".promptlab/live.json", contextlib.nullcontext(stopped)
    state = json.loads(file.read_text())
    if change == "a day later":
        began = datetime.datetime.fromisoformat(state["began"]) - datetime.timedelta(days=1, seconds=1)
        file.write_text(json.dumps(state | {"began": began.isoformat()}))
    elif change == "another profile":
        file.write_text(json.dumps(state | {"profile": "claude"}))
    elif change == "another prompt":
        (project.path / "test_topics.py").write_text(TESTS.replace('"one"', '"1"'))
    elif change == "another server":
        more = serving(examples.answer)
    else:
        file.write_text("{")
    with more as server:
        connected(project, server)
        project.runpytest("--live").assert_outcomes(passed=2)
    assert 60 == len(server.bodies)


def test_a_session_that_was_killed_goes_on(project):
    """A process of its own, as users have it; a key that is planted in data and replies is in none of its files."""
    slow, planted = [], f"sk-{'ant'}-api03-{'Zq9' * 20}"
    rows = [f'{e.id},"{e.text}\n{planted}",{e.label}\n' for e in examples.examples()]
    (project.path / "data.csv").write_text("id,text,label\n" + "".join(rows))

    def answer(body):
        if body["system"] == "two" and slow:
            time.sleep(0.2)
        return f"{examples.answer(body)}\t{planted}"

    slow.append(True)
    with serving(answer) as server:
        connected(project, server)
        command = [sys.executable, "-m", "pytest", "--live", "-p", "no:cacheprovider"]
        process = subprocess.Popen(
            command, cwd=project.path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        while len(server.bodies) < 55:
            time.sleep(0.05)
            assert process.poll() is None
        os.kill(process.pid, signal.SIGKILL)
        said = process.communicate()[0].decode()
        files = [path for path in project.path.rglob("*") if path.is_file() and path.name != "data.csv"]
        assert {"live.json", "first.jsonl", "second.jsonl.journal"} <= {path.name for path in files}
        assert [] == [path for path in files if planted.encode() in path.read_bytes()]
        assert planted not in said
        time.sleep(0.3)
        sent = len(server.bodies)
        slow.clear()
        project.runpytest("--live").assert_outcomes(passed=2)
        assert len(server.bodies) - sent < 25  # of the first none again, of the second what was in flight
        assert "one" not in {body["system"] for body in server.bodies[sent:]}


def interrupted(command, folder, until):
    """Run a command, interrupt it as Ctrl-C does once `until` holds, and return its status and what it said."""
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    while not until():
        time.sleep(0.05)
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    return process.wait(), process.communicate()[0]


def slowly(slow):
    def answer(body):
        if slow:
            time.sleep(0.2)
        return examples.answer(body)

    return answer


@pytest.mark.thorough
def test_ctrl_c_ends_a_session_with_what_is_kept_and_the_command_that_goes_on(project):
    """A process of its own, which is interrupted; the advice is tested by following it."""
    slow = [True]
    with serving(slowly(slow)) as server:
        connected(project, server)
        command = [
            sys.executable,
            "-m",
            "pytest",
            "--live",
            "-p",
            "no:cacheprovider",
            "-k",
            "first or second",
        ]
        status, said = interrupted(command, project.path, lambda: len(server.bodies) >= 42)
        assert pytest.ExitCode.INTERRUPTED == status
        last = [line for line in said.splitlines() if "KeyboardInterrupt" in line or "interrupted; " in line]
        found = re.search(
            r"interrupted; (\d+) replies are kept in \S+/second\.jsonl\.journal and will not be asked for again\. "
            r"To go on: (pytest .*?) !+$",
            last[-1],
        )
        assert 1 == len(last), said
        kept, again = int(found[1]), shlex.split(found[2])
        assert len(server.bodies) == 30 + kept  # what was in flight has ended, and is kept
        assert ["pytest", *command[3:]] == again
        slow.clear()
        project.runpytest(*again[1:]).assert_outcomes(passed=2)
        assert 60 == len(server.bodies)


SCRIPT = """
from pathlib import Path
import promptlab as pl
from promptlab.cassettes import recorder
from topics import task

with recorder.use(Path("mine.jsonl"), mode="live", record_with="python script.py"):
    result = pl.evaluate(task, pl.Prompt("one"), classifier=pl.Model("small", base_url="{url}"))
print(result.examples)
"""


@pytest.mark.thorough
def test_ctrl_c_ends_a_script_the_same_way(project):
    slow = [True]
    with serving(slowly(slow)) as server:
        (project.path / "script.py").write_text(SCRIPT.format(url=server.url))
        command = [sys.executable, "script.py"]
        status, said = interrupted(command, project.path, lambda: len(server.bodies) >= 17)
        assert -signal.SIGINT == status
        *_, last = said.splitlines()
        kept = int(
            re.fullmatch(
                r"KeyboardInterrupt: interrupted; (\d+) replies are kept in mine\.jsonl\.journal and will not be asked "
                r"for again\. To go on: run the same command again",
                last,
            )[1]
        )
        assert kept == len(server.bodies) < 30
        slow.clear()
        done = subprocess.run(command, cwd=project.path, capture_output=True, text=True, check=True)
        assert ("30\n", 30) == (done.stdout, len(server.bodies))
