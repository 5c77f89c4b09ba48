"""The examples of docs/python.md run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib
import pytest

import promptlab as pl
from promptlab.cassettes import format as files

from . import examples
from .conftest import ROOT
from .server import serving

RECORD, LOOK, PLOT, TEST = re.findall(
    r"```python\n(.*?)```", (ROOT / "docs/python.md").read_text(encoding="utf-8"), re.DOTALL
)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with the data, and a key; every server is the one of the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "none-needed")
    rows = "".join(f"{e.text},{e.label}\n" for e in examples.examples())
    (tmp_path / "topics.csv").write_text(f"text,label\n{rows}")
    matplotlib.use("agg")
    with serving(examples.answer) as server:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
        yield server
    matplotlib.pyplot.close("all")


def test_the_examples_run_and_record_where_the_page_says(project, tmp_path, capsys, monkeypatch):
    known = {}
    exec(RECORD, known)
    recorded = {path.relative_to(tmp_path).as_posix() for path in files.recordings(tmp_path / "cassettes")}
    assert recorded == {f"cassettes/claude/topics/{name}.jsonl" for name in ("optimize", "evaluate-test")}
    asked = len(project.bodies)
    exec(LOOK, known)
    said = capsys.readouterr().out
    assert said.startswith(f"<Run topics: {known['run'].comparison.headline}\n")
    exec(PLOT, known)
    assert (tmp_path / "run.png").read_bytes().startswith(b"\x89PNG")
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("CI", "true")
    exec(RECORD, known)  # which needs neither key nor network
    assert asked == len(project.bodies)


def test_a_test_replays_what_a_script_has_recorded_and_the_other_way_round(pytester, monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    rows = "".join(f"{e.text},{e.label}\n" for e in examples.examples())
    pytester.makefile(".csv", topics=f"text,label\n{rows}")
    pl.save_prompt(pl.Prompt("Better"), "prompt")
    known = {}
    exec(RECORD[: RECORD.index("models =")], known)
    with serving(examples.answer) as server:
        examples.connect(pytester.path, server.url)
        small = {"classifier": pl.Model("small", base_url=server.url), "record": "cassettes/local"}
        result = pl.evaluate(known["task"], "prompt", **small)
    pytester.makepyfile(test_topics=RECORD[: RECORD.index("models =")] + TEST)
    pytester.runpytest().assert_outcomes(passed=1)
    Path("cassettes/local/topics/evaluate-test.jsonl").unlink()
    with serving(examples.answer) as server:
        examples.connect(pytester.path, server.url)
        pytester.runpytest("--live").assert_outcomes(passed=1)
    assert result == pl.evaluate(known["task"], "prompt", **small, live="replay")
