from __future__ import annotations

import re
import shlex
import subprocess
import sys
import textwrap

import anthropic

import promptlab as pl

from . import examples
from .conftest import ROOT
from .examples import connect
from .server import serving

README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLE, PRODUCTION, GRADED, LOOP = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_it_opens_with_the_two_commands():
    lines = [line.split("#")[0].strip() for line in README.splitlines()[2:4]]
    install = "python3 -m venv .venv && .venv/bin/pip install nox && .venv/bin/nox -s "
    assert [install + "demo", install + "tests"] == lines


def test_the_loop_is_quoted_to_the_letter():
    source = (ROOT / "promptlab/optimizer/loop.py").read_text(encoding="utf-8")
    start = source.index("        for number in range(1")
    end = source.index("        # The test split is read here")
    assert textwrap.dedent(source[start:end]).strip() == LOOP.strip()


def test_the_loop_fits_on_a_screen():
    assert len(LOOP.splitlines()) <= 40


def test_the_example_runs_as_it_stands(pytester, monkeypatch):
    monkeypatch.setattr("promptlab.scoring.power.ROUNDS", (40, 80))  # it says what test can show, in seconds
    pytester.makefile(
        ".csv", topics="text,label\n" + "".join(f"{e.text},{e.label}\n" for e in examples.examples())
    )
    pytester.makepyfile(test_topics=EXAMPLE)
    with serving(examples.answer) as server:
        connect(pytester.path, server.url)
        pytester.runpytest("--live").assert_outcomes(passed=1)
    pytester.runpytest().assert_outcomes(passed=1)


def test_production_asks_and_reads_as_the_tests_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pl.save_prompt(pl.Prompt("Better", "<", ">", demonstrations=[("Hail?", "x")]), "prompt")
    task, model = examples.task(), "claude-haiku-5-5"
    example = task.split("test")[0]
    with serving(examples.answer) as server, anthropic.Anthropic(base_url=server.url, api_key="x") as client:
        known = {"client": client, "pl": pl, "task": task, "text": example.text}
        exec(PRODUCTION, known)
        pl.evaluate(task, "prompt", classifier=pl.Model(model, base_url=server.url))
    assert (example.label, None) == (known["label"], known["missing"])
    assert 2 == server.bodies.count(server.bodies[0])


def test_the_graded_task_can_be_made_as_it_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.csv").write_text(
        "text,name,date\n" + "".join(f"text {n},n{n},d{n}\n" for n in range(20))
    )
    known = {"pl": pl, "read_fields": str.split}
    exec(GRADED, known)
    one = known["task"].examples[3]
    assert (1.0, 0.5) == tuple(known["task"].grade(one, {"name": "n3", "date": date}) for date in ("d3", ""))


def test_the_example_is_short():
    assert len(EXAMPLE.splitlines()) <= 15


def test_every_room_is_listed():
    listed = re.search(r"^    promptlab/\n((?:      .*\n)+)", README, re.MULTILINE)[1]
    there = {path.name for path in (ROOT / "promptlab").glob("*.py")} - {"__init__.py"}
    there |= {f"{path.parent.name}/" for path in (ROOT / "promptlab").glob("*/__init__.py")}
    assert there == set(re.findall(r"(?<=^      )[\w./]+|(?<=\.py )\w+\.py", listed, re.MULTILINE))


def test_every_option_is_listed(pytester):
    options = set(re.findall(r"^  (--[\w-]+)", pytester.runpytest("--help").stdout.str(), re.MULTILINE))
    ours = {name for name in options if name.startswith(("--promptlab-", "--live"))}
    assert 19 == len(ours)
    for name in ours:
        assert re.search(rf"`{name}[`=]", README), name


def test_the_estimate_is_what_its_command_prints():
    command, line = re.search(
        r"`pytest ([^`]*--promptlab-plan[^`]*test_optimize[^`]*)` prints.*?```console\n(.*?)\n",
        README,
        re.DOTALL,
    ).groups()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *shlex.split(command)], cwd=ROOT, capture_output=True, text=True
    )
    assert line in done.stdout.splitlines()
    (read, written), _ = re.findall(r"about ([\d,]+) tokens in and ([\d,]+) out", line)
    assert f"({read} × $0.10 + {written} × $0.50)" in README
