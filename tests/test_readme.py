"""The README: its recipe is followed from an empty folder to the gate."""

from __future__ import annotations

import re
import shlex
import subprocess

import pytest

import promptlab as pl
from promptlab.cli import main

from . import examples
from .conftest import ROOT
from .server import serving

README = (ROOT / "README.md").read_text(encoding="utf-8")
TASK, GUARD, OPTIMIZE = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
(PROFILE,) = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
(CRITIC,) = re.findall(r"`(critic = \{.*?\})`", README)
ADDRESS = "http://127.0.0.1:8082"  # of the profile's server
DATA = "text,label\n" + "".join(f"{e.text},{e.label}\n" for e in examples.examples())


def commands(section: str) -> list[list[str]]:
    """Return the commands of a section, in order."""
    text = README.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    lines = re.findall(r"^    (\w.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return [shlex.split(line, comments=True) for line in lines]


def test_it_opens_with_the_two_commands():
    lines = [line.split("#")[0].strip() for line in README.splitlines()[2:4]]
    install = "python3 -m venv .venv && .venv/bin/pip install nox && .venv/bin/nox -s "
    assert [install + "demo", install + "tests"] == lines


def test_it_is_short():
    assert len(README.splitlines()) < 250


def test_no_model_with_a_key_comes_before_one_without():
    assert README.index("llama-server") < README.index("API_KEY")


@pytest.fixture
def follow(pytester, monkeypatch, main_in_this_process):
    """Follow commands of the README, each as its user would; return the exit status of each."""
    monkeypatch.setattr("promptlab.scoring.power.ROUNDS", (40, 80))  # it says what test can show, in seconds
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(pytester.path / "gitconfig"))
    (pytester.path / "gitconfig").write_text("[user]\nname = a\nemail = a@b.c\n")
    pytester.path.joinpath("topics.csv").write_text(DATA)

    def run(program, *arguments):
        if program == "pytest":
            return int(pytester.runpytest_inprocess(*arguments).ret)
        if program == "promptlab":
            return main(arguments)
        assert program in ("git", "rm", "cp")
        return subprocess.run([program, *arguments], check=False).returncode

    return lambda *lines: [run(*line) for line in lines]


def connect(folder, url, more=""):
    (folder / "pyproject.toml").write_text(PROFILE.replace(ADDRESS, url) + more)


def test_the_recipe_leads_from_a_file_of_examples_to_the_gate(follow, pytester, capsys):
    assert [0, 0] == follow(
        ["git", "init", "--quiet", "--initial-branch=main"], *commands("Guard a prompt")[:1]
    )
    assert TASK == (pytester.path / "topics/task.py").read_text()
    assert GUARD == (pytester.path / "topics/test_topics.py").read_text()
    with serving(examples.answer) as server:
        connect(pytester.path, server.url)
        assert [0, 0, 0, 0, 0] == follow(*commands("Guard a prompt")[1:])
        branch, *others = commands("The gate")
        assert [0] == follow(branch)
        asked = len(server.bodies)
        system = pytester.path / "topics/prompt/system.md"
        system.write_text("Better: " + system.read_text())
        capsys.readouterr()
        assert [0, 0, 0, 0, 0] == follow(*others)
        assert 2 * asked == len(server.bodies)
    assert "OK to merge" in capsys.readouterr().out


def test_the_search_runs_as_it_stands(follow, pytester):
    follow(*commands("Guard a prompt")[:1])
    pytester.path.joinpath("topics/test_optimize.py").write_text(OPTIMIZE)
    with serving(examples.answer) as server:
        connect(pytester.path, server.url, CRITIC)
        live, *adopt = commands("Find a better one")
        assert [0] == follow(live)
    assert [0] == follow(["pytest", "topics/test_optimize.py"])
    first = pl.load_prompt("topics/prompt")
    assert [0, 0] == follow(*adopt)
    assert pl.load_prompt("topics/optimized") == pl.load_prompt("topics/prompt") != first


def test_its_examples_are_short():
    assert max(len(one.splitlines()) for one in (TASK, GUARD, OPTIMIZE)) <= 15
