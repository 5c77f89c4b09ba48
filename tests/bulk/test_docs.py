"""What docs/classify.md shows is what happens."""

from __future__ import annotations

import re

import pytest

from ..conftest import ROOT
from .conftest import TASK, classify, sentences

DOC = (ROOT / "docs/classify.md").read_text(encoding="utf-8")
CONSOLE = re.search(r"```console\n(.*?)```", DOC, re.DOTALL)[1].splitlines()
PYTHON = re.search(r"```python\n(.*?)```", DOC, re.DOTALL)[1]


def test_the_commands_print_what_they_are_said_to_print(pytester, server, folder, capsys, monkeypatch):
    test, command, batch = re.findall(r"^    (pytest|promptlab) (.*)$", DOC, re.MULTILINE)
    assert ("pytest", "promptlab") == (test[0], command[0])
    evaluate = "\n\ndef test_it(lab):\n    assert lab.evaluate(task, 'prompt').macro_f1\n"
    (folder / "test_topics.py").write_text(TASK + evaluate)
    sentences(folder / "rows.csv", *range(100))
    live, file = test[1].partition("#")[0].split()
    pytester.runpytest(live, f"--rootdir={folder}", str(folder / file)).assert_outcomes(passed=1)
    monkeypatch.chdir(folder)
    capsys.readouterr()
    assert [
        "classify",
        "test_topics.py:task",
        "--prompt",
        "prompt",
        *(["rows.csv", "-o", "labels.csv"]),
    ] == command[1].split()
    assert f"{command[1]} --batch" == batch[1]
    classify("rows.csv", "-o", "labels.csv")
    said = capsys.readouterr()
    assert CONSOLE == (said.err + said.out).splitlines()


def test_the_example_in_python_runs_as_it_stands(server, folder, capsys, monkeypatch):
    monkeypatch.syspath_prepend(folder)
    exec(PYTHON, {"URL": server.url})
    assert [
        ["label", "reason"],
        ["0", "food", "None"],
        ["1", "weather", "None"],
        ["2", "None", "no", "text"],
    ] == [line.split() for line in capsys.readouterr().out.splitlines()]
    assert (folder / "frame.journal").exists()


def test_each_reason_of_a_row_that_is_not_asked_is_explained():
    from promptlab.bulk.work import NO_ROW, UNFIT

    explained = re.findall(r"^\| `([\w -]+)` \|", DOC, re.MULTILINE)
    assert [*(reason for reason in UNFIT if reason != NO_ROW), "rejected"] == explained


@pytest.mark.parametrize("option", ["--profile", "--replies", "--max-cost", "--prompt", "--batch"])
def test_each_option_is_explained(option, capsys):
    with pytest.raises(SystemExit):
        classify("--help")
    assert option in capsys.readouterr().out
    assert option in DOC
