"""The workflows in .github/workflows: their shell steps, run as GitHub runs them, on a real repository.

What stands in for GitHub's own command `gh` is a script that notes its arguments: synthetic.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
import yaml

from ..conftest import ROOT
from ..gate.project import PROMPTS, Project
from ..server import serving

WORKFLOWS = ROOT / ".github/workflows"
GH = """\
#!/bin/bash
echo "$@" >> "$GH_LOG"
case "$*" in
  *"/comments --jq"*) echo "$KNOWN" ;;
  *"/pulls -f"*) echo "$NUMBER" ;;
  "run download"*) [ -n "$COMMENT" ] && mkdir -p promptlab && cp "$COMMENT" promptlab/comment.md ;;
esac
"""


def step(workflow: str, name: str) -> str:
    """Return the script of a step."""
    jobs = yaml.safe_load((WORKFLOWS / f"{workflow}.yml").read_text(encoding="utf-8"))["jobs"]
    (script,) = [one["run"] for job in jobs.values() for one in job["steps"] if one.get("name") == name]
    return script


@pytest.fixture
def runner(pytester, tmp_path_factory):
    """A checkout, and a PATH with `python` and `gh` on it."""
    tools = tmp_path_factory.mktemp("tools")
    command = f'#!/bin/bash\nexec "{sys.executable}" -c "import sys, promptlab.cli; sys.exit(promptlab.cli.main())" "$@"\n'
    python = f'#!/bin/bash\nexec "{sys.executable}" "$@"\n'
    for name, text in {"python": python, "promptlab": command, "gh": GH}.items():
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    project = Project(pytester)
    known = {
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tools),
        "PYTHONPATH": str(ROOT),
        "GH_LOG": str(tools / "log"),
        "GITHUB_STEP_SUMMARY": str(tools / "summary.md"),
        "TESTS": "test_prompt.py",
    }

    def run(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-e", "-c", script],
            cwd=project.folder,
            env=known | environment,
            capture_output=True,
            text=True,
        )

    run.project, run.tools = project, tools  # type: ignore[attr-defined]
    return run


def test_expressions_stand_in_no_script():
    """What a pull request can name would run there."""
    for path in WORKFLOWS.glob("*.yml"):
        for job in yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values():
            assert not [one["run"] for one in job["steps"] if "${{" in one.get("run", "")], path


@pytest.mark.thorough
def test_a_pull_request_is_tested_and_judged(runner):
    runner.project.propose("worse")
    runner.project.commit("worse")
    done = runner(step("prompts", "Test and judge"), BASE="main", GITHUB_ACTIONS="true")
    assert 1 == done.returncode, done.stdout
    assert "2 failed, 1 passed" in done.stdout
    first, *_, last = done.stdout.splitlines()
    assert re.fullmatch(r"::stop-commands::(\w{32})", first)
    assert f"::{first[-32:]}::" == last
    annotated = runner(step("prompts", "Annotate")).stdout.splitlines()
    assert annotated
    assert all(line.startswith("::error file=prompt/") for line in annotated)
    assert "evaluations fail" in (runner.tools / "summary.md").read_text(encoding="utf-8")
    assert "evaluations fail" in (runner.project.folder / ".promptlab/comment.md").read_text(encoding="utf-8")
    assert (runner.project.folder / "junit.xml").exists()


def test_only_annotations_are_printed_as_commands(runner):
    lines = [
        "::error file=a.md,line=1,title=t::worse",
        "::add-mask::x",
        "::set-output name=a::b",
        "::error file=a.md,line=1,title=t::::stop-commands::x",
        "::warning file=a.md::x",
        " ::error file=a.md,line=1,title=t::x",
    ]
    runner.project.write(".promptlab/annotations.txt", "\n".join(lines) + "\n")
    assert lines[:1] == runner(step("prompts", "Annotate")).stdout.splitlines()


@pytest.mark.thorough
def test_a_push_to_main_is_tested_alone(runner):
    done = runner(step("prompts", "Test and judge"), BASE="")
    assert 0 == done.returncode, done.stdout
    assert not (runner.project.folder / ".promptlab/comment.md").exists()


@pytest.mark.parametrize(
    ("known", "call"),
    [
        ("", "api --silent --method POST repos/o/r/issues/7/comments -F body=@body.md"),
        ("42", "api --silent --method PATCH repos/o/r/issues/comments/42 -F body=@body.md"),
    ],
    ids=["the first time", "again"],
)
def test_one_comment_is_posted_and_then_updated(runner, known, call):
    runner.project.propose("worse")
    runner.project.commit("worse")
    runner.project.judged()
    comment = runner.project.folder / ".promptlab/comment.md"
    names = {"REPO": "o/r", "RUN": "1", "SHA": "abc", "HEAD": "o:worse", "KNOWN": known, "NUMBER": "7"}
    done = runner(step("prompts-gate", "Post the comment"), COMMENT=str(comment), **names)
    assert 0 == done.returncode, done.stderr
    assert call == (runner.tools / "log").read_text().splitlines()[-1]
    body = (runner.project.folder / "body.md").read_text(encoding="utf-8")
    assert comment.read_text(encoding="utf-8") == body


@pytest.mark.parametrize(("text", "code"), [("# not ours", 1), (None, 0)], ids=["foreign", "none"])
def test_what_is_no_comment_is_not_posted(runner, text, code):
    file = runner.tools / "comment.md"
    if text:
        file.write_text(text)
    names = {"REPO": "o/r", "RUN": "1", "SHA": "abc", "HEAD": "o:x", "KNOWN": "", "NUMBER": "7"}
    done = runner(step("prompts-gate", "Post the comment"), COMMENT=str(file) if text else "", **names)
    assert code == done.returncode
    log = runner.tools / "log"
    assert "comments" not in (log.read_text() if log.exists() else "")


@pytest.mark.parametrize(
    ("judged", "state"),
    [("success", "success"), ("failure", "failure"), ("cancelled", "failure"), ("", "failure")],
)
def test_only_a_judgement_that_passed_is_posted_as_success(runner, judged, state):
    done = runner(step("prompts-gate", "Post the verdict"), JUDGED=judged, REPO="o/r", SHA="abc", PAGE="p")
    assert 0 == done.returncode, done.stderr
    (call,) = (runner.tools / "log").read_text().splitlines()
    assert call.startswith(
        f"api --silent --method POST repos/o/r/statuses/abc -f state={state} -f context=promptlab"
    )


@pytest.mark.thorough
@pytest.mark.parametrize(("prompt", "code"), [("better", 0), ("worse", 1)])
def test_main_judges_what_a_branch_proposes(runner, prompt, code):
    project = runner.project
    project.propose(prompt)
    project.write("conftest.py", "raise SystemExit(0)\n")
    project.commit("proposed")
    sha = project.git("rev-parse", "HEAD").strip()
    project.git("checkout", "--quiet", "main")
    done = runner(step("prompts-gate", "Judge"), MAIN="main", SHA=sha)
    assert code == done.returncode, done.stdout + done.stderr
    assert "## promptlab: 1" in project.comment


def test_a_commit_that_is_no_hash_is_not_judged(runner):
    assert 1 == runner(step("prompts-gate", "Judge"), MAIN="main", SHA="--exec=x").returncode


@pytest.mark.thorough
def test_changed_prompts_are_recorded_and_committed_to_their_branch(runner, tmp_path_factory):
    """The answers are synthetic; the repository, the remote and the push are real."""
    project, remote = runner.project, tmp_path_factory.mktemp("remote")
    project.git("init", "--quiet", "--bare", "--initial-branch=main", str(remote))
    project.git("remote", "add", "origin", f"file://{remote}")
    project.git("push", "--quiet", "origin", "main")
    with serving(lambda body: "<label>sincere</label>") as server:
        project.edit("pyproject.toml", "http://127.0.0.1:8082", server.url)
        (project.folder / "prompt/prefix.md").write_bytes(
            (PROMPTS / "main/prefix.md").read_bytes() + b"Asked: "
        )
        project.commit("changed")
        project.git("push", "--quiet", "origin", "changed")
        project.git("fetch", "--quiet", "origin")
        done = runner(
            step("prompts-record", "Record") + "\n" + step("prompts-record", "Commit"), BRANCH="changed"
        )
    assert 0 == done.returncode, done.stdout + done.stderr
    assert 154 + 3 * 8 == len(server.bodies)  # canonical examples three times
    told = project.git("log", "--format=%an: %s", "-1", "changed").strip()
    assert "github-actions[bot]: Record changed prompts" == told
    assert project.git("rev-parse", "HEAD") == project.git("rev-parse", "origin/changed")
    names = project.git("show", "--format=", "--name-only", "HEAD").split()
    assert ["cassettes/ledger.csv", "cassettes/local/insincere/evaluate-test.jsonl"] == names


@pytest.mark.thorough
def test_every_night_some_calls_are_asked_again(runner):
    with serving(lambda body: "<label>insincere</label>") as server:
        runner.project.edit("pyproject.toml", "http://127.0.0.1:8082", server.url)
        done = runner(step("prompts-nightly", "Ask again"))
    assert 0 == done.returncode, done.stdout + done.stderr
    assert 50 == len(server.bodies)
    summary = (runner.tools / "summary.md").read_text(encoding="utf-8")
    assert "50 of 162 recorded calls repeated" in summary
