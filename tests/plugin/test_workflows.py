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
from ..gate.project import CASSETTE, PROMPTS, Project
from ..server import serving

WORKFLOWS = ROOT / ".github/workflows"
GH = """\
#!/bin/bash
echo "$@" >> "$GH_LOG"
case "$*" in
  *"/comments --jq"*) echo "$KNOWN" ;;
  *"/pulls -f"*) echo "$NUMBER" ;;
  "run download"*recorded) cp -r "$ARTIFACT" recorded ;;
  "run download"*) [ -n "$COMMENT" ] && mkdir -p promptlab && cp "$COMMENT" promptlab/comment.md ;;
esac
"""


def step(workflow: str, name: str) -> str:
    """Return the script of a step; the same one if several jobs have it."""
    jobs = yaml.safe_load((WORKFLOWS / f"{workflow}.yml").read_text(encoding="utf-8"))["jobs"]
    (script,) = {one["run"] for job in jobs.values() for one in job["steps"] if one.get("name") == name}
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
    project.git("update-ref", "refs/remotes/origin/main", "main")  # as a checkout has it
    known = {
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tools),
        "PYTHONPATH": str(ROOT),
        "GH_LOG": str(tools / "log"),
        "GITHUB_STEP_SUMMARY": str(tools / "summary.md"),
        "TESTS": "test_prompt.py",
    }

    def run(script: str, folder=project.folder, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-e", "-c", script],
            cwd=folder,
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


@pytest.mark.thorough
def test_they_work_in_a_plain_folder_with_a_wheel(runner, tmp_path):
    """A prompt, a test and recordings are no package, so that `pip install .` fails there."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    tools = tmp_path / "venv/bin"
    build = [tools / "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, ROOT]
    subprocess.run(build, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    path = {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": ""}
    done = runner(step("prompts", "Install"), **path, INSTALL=f"{wheel} pytest-xdist")
    assert 0 == done.returncode, done.stderr
    runner.project.propose("better")
    runner.project.commit("proposed")
    done = runner(step("prompts", "Test and judge"), **path, BASE="main")
    assert 0 == done.returncode, done.stdout + done.stderr
    assert "3 passed" in done.stdout
    sha = runner.project.git("rev-parse", "HEAD").strip()
    runner.project.git("checkout", "--quiet", "main")
    done = runner(step("prompts-gate", "Judge"), **path, MAIN="main", SHA=sha)
    assert 0 == done.returncode, done.stdout + done.stderr
    assert "## promptlab: 1 better" in runner.project.comment


def test_a_commit_that_is_no_hash_is_not_judged(runner):
    assert 1 == runner(step("prompts-gate", "Judge"), MAIN="main", SHA="--exec=x").returncode


@pytest.fixture
def pushed(runner, tmp_path_factory):
    """Propose something on a branch of a remote; the server to ask is real, its answers are synthetic."""
    project, remote = runner.project, tmp_path_factory.mktemp("remote")
    project.git("init", "--quiet", "--bare", "--initial-branch=main", str(remote))
    project.git("remote", "add", "origin", f"file://{remote}")
    with serving(lambda body: "<label>sincere</label>") as server:
        project.edit("pyproject.toml", "http://127.0.0.1:8082", server.url)
        project.git("commit", "--quiet", "-am", "server")
        project.propose("main")
        prefix = (PROMPTS / "main/prefix.md").read_text(encoding="utf-8")
        project.write("prompt/prefix.md", f"{prefix}Asked: ")
        project.commit("changed")

        def push() -> None:
            project.git("commit", "--quiet", "--allow-empty", "-am", "more")
            project.git("push", "--quiet", "origin", "main", "changed")
            project.git("fetch", "--quiet", "origin")

        yield server, remote, push


def committed(runner, workflow: str, remote, folder):
    """Run the job that commits, in a checkout of its own."""
    runner.project.git("clone", "--quiet", "--branch=changed", f"file://{remote}", str(folder))
    given = {"BRANCH": "changed", "MAIN": "main", "REPO": "o/r", "RUN": "1"}
    artifact = str(runner.project.folder / "cassettes")
    return runner(step(workflow, "Commit"), folder, ARTIFACT=artifact, **given)


@pytest.mark.thorough
def test_changed_prompts_are_recorded_and_committed_to_their_branch(runner, pushed, tmp_path):
    server, remote, push = pushed
    push()
    done = runner(step("prompts-record", "Record"), BRANCH="changed", MAIN="main")
    assert 0 == done.returncode, done.stdout + done.stderr
    assert 154 + 3 * 8 == len(server.bodies)  # canonical examples three times
    done = committed(runner, "prompts-record", remote, tmp_path / "clone")
    assert 0 == done.returncode, done.stdout + done.stderr
    git = runner.project.git
    git("fetch", "--quiet", "origin")
    told = git("log", "--format=%an: %s", "-1", "origin/changed").strip()
    assert "github-actions[bot]: Record changed prompts" == told
    names = git("show", "--format=", "--name-only", "origin/changed").split()
    assert ["cassettes/ledger.csv", "cassettes/local/insincere/evaluate-test.jsonl"] == names
    assert "auth setup-git" == (runner.tools / "log").read_text().splitlines()[-1]


@pytest.mark.thorough
def test_main_records_what_the_model_says_to_a_branch_and_runs_none_of_it(runner, pushed, tmp_path):
    server, remote, push = pushed
    project, mark = runner.project, tmp_path / "was-here"
    project.take("better")  # a recording of another prompt, and a forged reply
    project.answer(lambda text, reply: "<label>forged</label>")
    project.write("conftest.py", f"open({str(mark)!r}, 'w').close()\n")
    project.git("add", ".")
    push()
    project.git("checkout", "--quiet", "main")
    done = runner(step("prompts-record-main", "Record"), BRANCH="changed", MAIN="main")
    assert 0 == done.returncode, done.stdout + done.stderr
    assert 154 + 3 * 8 == len(server.bodies)
    assert all("Asked: " in body["messages"][0]["content"] for body in server.bodies)
    assert not mark.exists()
    done = committed(runner, "prompts-record-main", remote, tmp_path / "clone")
    assert 0 == done.returncode, done.stdout + done.stderr
    recorded = project.git("show", f"origin/changed:{CASSETTE}")
    assert "forged" in recorded
    project.git("fetch", "--quiet", "origin")
    recorded = project.git("show", f"origin/changed:{CASSETTE}")
    assert "forged" not in recorded
    assert "Asked: " in recorded


def test_what_is_committed_are_recordings_alone(runner, tmp_path):
    """Whatever the job that ran the branch's code has left in its artifact."""
    project = runner.project
    remote = tmp_path / "remote"
    project.git("init", "--quiet", "--bare", "--initial-branch=main", str(remote))
    project.git("checkout", "--quiet", "-b", "changed")
    project.git("push", "--quiet", f"file://{remote}", "changed")
    for name in (
        "local/new.jsonl",
        "local/run.jsonl.journal",
        "ledger.csv",
        "conftest.py",
        "local/ledger.csv",
    ):
        project.write(f"cassettes/{name}", "x")
    (project.folder / "cassettes/link.jsonl").symlink_to("/etc/hostname")
    done = committed(runner, "prompts-record", remote, tmp_path / "clone")
    assert 0 == done.returncode, done.stdout + done.stderr
    project.git("fetch", "--quiet", f"file://{remote}", "changed")
    names = project.git("show", "--format=", "--name-only", "FETCH_HEAD").split()
    assert [
        f"cassettes/{name}" for name in ("ledger.csv", "local/new.jsonl", "local/run.jsonl.journal")
    ] == names


@pytest.mark.parametrize("branch", ["main", "--exec=x", "a b", "a/../b", "a;b", "", "refs/heads/x.lock"])
def test_what_is_no_branch_is_not_recorded(runner, branch):
    for workflow in ("prompts-record", "prompts-record-main"):
        assert runner(step(workflow, "Check the branch's name"), BRANCH=branch, MAIN="main").returncode


def test_the_jobs_that_commit_are_the_same_and_only_they_may_write():
    read = [
        yaml.safe_load((WORKFLOWS / f"{name}.yml").read_text())
        for name in ("prompts-record", "prompts-record-main")
    ]
    assert read[0]["jobs"]["commit"] == read[1]["jobs"]["commit"]
    for one in read:
        assert {"contents": "read"} == one["jobs"]["record"]["permissions"]
        names = [each.get("name") for each in one["jobs"]["commit"]["steps"]]
        assert ["Check the branch's name", None, "Commit"] == names
        assert 0 == subprocess.run(["bash", "-n", "-c", step(one["name"], "Commit")]).returncode


def snippet(kind: str) -> str:
    """Return the block of a kind in docs/ci.md without the line that installs what is there."""
    (block,) = re.findall(
        rf"```{kind}\n(.*?)```", (ROOT / "docs/ci.md").read_text(encoding="utf-8"), re.DOTALL
    )
    script = "\n".join(yaml.safe_load(block)["prompts"]["script"]) if kind == "yaml" else block
    script = script.split("'''")[1] if kind == "groovy" else script
    return re.sub(r"(?m)^ *pip install .*$", "", script)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("kind", "prompt", "code"), [("yaml", "better", 0), ("yaml", "worse", 1), ("groovy", "worse", 1)]
)
def test_gitlab_and_jenkins_need_no_more_than_the_documentation_says(runner, tmp_path, kind, prompt, code):
    project = runner.project
    project.propose(prompt)
    project.commit("proposed")
    sha = project.git("rev-parse", "HEAD").strip()
    project.git("clone", "--quiet", f"file://{project.folder}", str(tmp_path / "clone"))
    names = {"CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main", "CI_COMMIT_SHA": sha, "CHANGE_TARGET": "main"}
    done = runner(snippet(kind), tmp_path / "clone", **names)
    assert code == done.returncode, done.stdout + done.stderr
    assert f'name="promptlab.verdict" value="{"broken" if code else "better"}"' in (
        tmp_path / "clone/junit.xml"
    ).read_text(encoding="utf-8")
    assert (tmp_path / "clone/.promptlab/comment.md").exists()


@pytest.mark.thorough
def test_the_hook_refuses_to_push_a_worse_prompt(runner, tmp_path):
    project, remote = runner.project, tmp_path / "remote"
    project.git("init", "--quiet", "--bare", "--initial-branch=main", str(remote))
    project.git("remote", "add", "origin", f"file://{remote}")
    project.git("push", "--quiet", "origin", "main")
    project.write(".git/hooks/pre-push", snippet("bash"))
    (project.folder / ".git/hooks/pre-push").chmod(0o755)
    for prompt, code in (("worse", 1), ("better", 0)):
        project.propose(prompt)
        project.commit(prompt)
        done = runner(f"git push --quiet origin {prompt}")
        assert code == done.returncode, done.stdout + done.stderr
        project.git("checkout", "--quiet", "main")
    assert "better" in project.git("branch", "--remotes")


@pytest.mark.thorough
def test_every_night_some_calls_are_asked_again(runner):
    with serving(lambda body: "<label>insincere</label>") as server:
        runner.project.edit("pyproject.toml", "http://127.0.0.1:8082", server.url)
        done = runner(step("prompts-nightly", "Ask again"))
    assert 0 == done.returncode, done.stdout + done.stderr
    assert 50 == len(server.bodies)
    summary = (runner.tools / "summary.md").read_text(encoding="utf-8")
    assert "50 of 162 recorded calls repeated" in summary
