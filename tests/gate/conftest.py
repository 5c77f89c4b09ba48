"""Each test has a project of its own."""

from __future__ import annotations

import pytest

from promptlab import cli

from .project import Judged, Project


@pytest.fixture
def project(pytester, monkeypatch):
    """Return a project whose main branch has a prompt, a test and its recording."""
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    return Project(pytester)


@pytest.fixture(autouse=True)
def _main_in_this_process(request):
    if "pytester" in request.fixturenames and not request.node.get_closest_marker("processes"):
        request.getfixturevalue("main_in_this_process")


@pytest.fixture
def gate(project, monkeypatch, capfd):
    """Commit what is there as a branch, and judge it from main by the command."""

    def gate(*arguments: str) -> Judged:
        project.commit("proposed")
        project.git("checkout", "--quiet", "main")
        monkeypatch.chdir(project.folder)
        monkeypatch.setenv("COLUMNS", "200")
        code = cli.main(["gate", "main", "proposed", *arguments])
        said = capfd.readouterr()
        return Judged(code, said.out + said.err, project.comment)

    return gate


@pytest.fixture
def session(project):
    """Commit what is there as a branch, and judge it in a session of its own."""

    def session(*arguments: str) -> Judged:
        project.commit("proposed")
        return project.judged(*(one.replace("--strict", "--promptlab-strict") for one in arguments))

    return session


@pytest.fixture(params=["session", pytest.param("gate", marks=pytest.mark.thorough)])
def judge(request):
    """Judge what is there in both ways."""
    return request.getfixturevalue(request.param)
