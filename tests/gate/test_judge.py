"""`promptlab gate`: main's code on a branch's data, in real repositories."""

from __future__ import annotations

import pytest

HOSTILE = """\
import pathlib

pathlib.Path("/tmp/promptlab-was-here").touch()
raise SystemExit(0)
"""


pytestmark = [pytest.mark.thorough, pytest.mark.processes]


def test_nothing_of_the_branch_is_run(project, gate, tmp_path):
    """Its tests, conftest, configuration and modules may be whatever they are."""
    project.propose("worse")
    mark = tmp_path / "was-here"
    hostile = HOSTILE.replace("/tmp/promptlab-was-here", str(mark))
    for name in (
        "conftest.py",
        "test_prompt.py",
        "sitecustomize.py",
        "prompt/conftest.py",
        "promptlab/__init__.py",
    ):
        project.write(name, hostile)
    project.write("pytest.ini", "[pytest]\naddopts = --collect-only -p conftest\n")
    done = gate()
    assert 1 == done.code, done.shown
    assert "broken: do not merge" in done.shown
    assert "- judged by main's code\n" in done.comment
    assert "author's code" not in done.comment
    assert not mark.exists()
    assert "not judged here, since they are no data that these tests read:\n  conftest.py\n" in done.shown
