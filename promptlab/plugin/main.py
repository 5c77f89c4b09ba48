"""What main's own tests read, for a session that judges a branch: they are run in a worktree of the base."""

from __future__ import annotations

import pickle
import tempfile
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pytest

from promptlab.gate.answers import Answers, read
from promptlab.gate.git import Commit
from promptlab.gate.worktree import run_tests, worktree
from promptlab.plugin.options import asked


class Main(NamedTuple):
    """What main's tests read, by title; nothing where no file was changed that could make it another.

    `problem` says why they could not be run.
    """

    answers: dict[str, Answers]
    problem: str = ""


def answers(config: pytest.Config, base: Commit) -> Main:
    """Return what main's tests read: from a file, or from running them, once for all workers."""
    if given := getattr(config, "workerinput", {}).get("promptlab_main"):
        found: Main = pickle.loads(given)  # noqa: S301 - our own
        return found
    if (file := config.getoption("promptlab_main")) is not None:
        return Main(read(Path(file)))
    if config.option.collectonly or not any(map(_may_matter, base.changed)):
        return Main({})
    with tempfile.TemporaryDirectory(prefix="promptlab-main-") as folder, worktree(base) as tree:
        file = Path(folder) / "answers.jsonl"
        project = tree / base.inside(config.rootpath)
        profile = config.getoption("promptlab_profile")
        options = [f"--promptlab-answers={file}", f"--promptlab-report={folder}"]
        options += [f"--promptlab-profile={profile}"] if profile else []
        paths = [str(project / one) for one in asked(config) if (project / one).exists()]
        if asked(config) and not paths:
            return Main({})  # main has none of these tests
        status, said = run_tests(project, [*options, *paths], quiet=True)
        if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            last = "".join(said.strip().splitlines()[-1:])
            return Main({}, f"the tests of {base.name} could not be run here (exit status {status}): {last}")
        return Main(read(file))


def _may_matter(name: str) -> bool:
    """Say whether a changed file may change labels, or how replies are read."""
    path = PurePosixPath(name)
    return path.suffix != ".md" and not (path.suffix == ".jsonl" and "cassettes" in path.parts)
