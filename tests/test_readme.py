from __future__ import annotations

import re
import textwrap

from . import examples
from .conftest import ROOT
from .examples import connect
from .server import serving

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_it_opens_with_the_two_commands():
    lines = [line.split("#")[0].strip() for line in README.splitlines()[2:4]]
    install = "python3 -m venv .venv && .venv/bin/pip install nox && .venv/bin/nox -s "
    assert [install + "demo", install + "tests"] == lines


def test_the_loop_is_quoted_to_the_letter():
    source = (ROOT / "promptlab/optimizer/loop.py").read_text(encoding="utf-8")
    start = source.index("        for number in range(1")
    end = source.index("        # The test split is read here")
    assert textwrap.dedent(source[start:end]).strip() == BLOCKS[1].strip()


def test_the_loop_fits_on_a_screen():
    assert len(BLOCKS[1].splitlines()) <= 40


def test_the_example_runs_as_it_stands(pytester):
    pytester.makefile(
        ".csv", topics="text,label\n" + "".join(f"{e.text},{e.label}\n" for e in examples.examples())
    )
    pytester.makepyfile(test_topics=BLOCKS[0])
    with serving(examples.answer) as server:
        connect(pytester.path, server.url)
        pytester.runpytest_subprocess("--live").assert_outcomes(passed=1)
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


def test_the_example_is_short():
    assert len(BLOCKS[0].splitlines()) <= 15


def test_every_room_is_listed():
    listed = re.search(r"^    promptlab/\n((?:      .*\n)+)", README, re.MULTILINE)[1]
    there = {path.name for path in (ROOT / "promptlab").glob("*.py")} - {"__init__.py"}
    there |= {f"{path.parent.name}/" for path in (ROOT / "promptlab").glob("*/__init__.py")}
    assert there == set(re.findall(r"(?<=^      )[\w./]+|(?<=\.py )\w+\.py", listed, re.MULTILINE))


def test_every_option_is_listed(pytester):
    options = set(re.findall(r"^  (--[\w-]+)", pytester.runpytest("--help").stdout.str(), re.MULTILINE))
    ours = {name for name in options if name.startswith(("--promptlab-", "--live"))}
    assert 12 == len(ours)
    for name in ours:
        assert re.search(rf"`{name}[`=]", README), name
