"""`promptlab gate`: main's code on a branch's data, in real repositories."""

from __future__ import annotations

import os
import subprocess

import pytest

from promptlab import cli
from promptlab.gate import worktree

HOSTILE = """\
import pathlib

pathlib.Path("/tmp/promptlab-was-here").touch()
raise SystemExit(0)
"""


@pytest.mark.thorough
@pytest.mark.processes
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
    assert "Broken, do not merge" in done.shown
    assert "- judged by main's code\n" in done.comment
    assert "author's code" not in done.comment
    assert not mark.exists()
    assert (
        "not judged, since it is no data that main's tests read: conftest.py, prompt/conftest.py, "
        in done.shown
    )
    assert (
        "not judged, since it is no data that main's tests read: conftest.py, prompt/conftest.py, "
        in done.comment
    )


def test_a_git_that_cannot_merge_without_a_working_tree_is_named(project, gate, tmp_path, monkeypatch):
    project.propose("better")
    old = """#!/bin/bash
case "$*" in *merge-tree*) echo "usage: git merge-tree <base-tree> <branch1> <branch2>" >&2; exit 129 ;; esac
PATH="${PATH#*:}" exec git "$@"
"""
    (tmp_path / "git").write_text(old)
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    done = gate()
    assert 1 == done.code
    assert "promptlab gate needs git 2.38 or newer" in done.shown


def test_credentials_and_options_are_hidden_from_main_s_tests_unless_they_ask_a_model(monkeypatch, tmp_path):
    given = []

    def run(*arguments, env, **options):
        given.append({name for name in ("ANTHROPIC_API_KEY", "PYTEST_ADDOPTS", "OTHER") if name in env})
        return subprocess.CompletedProcess(arguments, 0)

    monkeypatch.setattr(worktree.subprocess, "run", run)
    for name in ("ANTHROPIC_API_KEY", "PYTEST_ADDOPTS", "OTHER"):
        monkeypatch.setenv(name, "x")
    worktree.run_tests(tmp_path, [])
    worktree.run_tests(tmp_path, [], live=True)
    assert [{"OTHER"}, {"OTHER", "ANTHROPIC_API_KEY"}] == given


def test_what_is_not_committed_is_named(project, monkeypatch, capfd):
    project.propose("better")
    project.commit("proposed")
    path = project.folder / "prompt/system.md"
    path.write_text(path.read_text(encoding="utf-8") + " More.", encoding="utf-8")
    project.write("prompt-2/system.md", "new")
    project.write("notes.txt", "new, and no prompt")
    monkeypatch.chdir(project.folder)
    assert 0 == cli.main(["gate", "main", "proposed"])
    assert "not committed, so not judged: prompt/system.md, prompt-2/system.md\n" in capfd.readouterr().out
