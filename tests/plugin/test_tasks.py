"""Tasks of every kind in a session: recorded, replayed, reported and judged like a classification."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest

import promptlab as pl
from promptlab.cassettes import snapshots
from promptlab.cli import main

from .. import examples
from ..examples import connect
from ..server import serving
from .test_hooks import lay_out

FIELDS = "id,text,kind,day\n" + "".join(
    f"{e.id},{e.text},{e.label},{n}\n" for n, e in enumerate(examples.examples())
)
TASK = """
import json
import promptlab as pl

def extract(reply):
    try:
        return json.loads(reply)
    except ValueError:
        return pl.Unreadable("no JSON")

def share(example, answer):
    return sum(answer[key] == value for key, value in example.label.items()) / 2

def lenient(example, answer):
    return 1.0

task = pl.Task(
    name="fields",
    examples=pl.read_csv("data.csv", label=("kind", "day")),
    brief="Pull out kind and day.",
    extract=extract,
    score=share,
    answer_format='{"kind": KIND, "day": DAY}',
)
"""
TESTS = """
from dataclasses import replace

import promptlab as pl
from fields import lenient, share, task

def test_the_loop_improves_it(lab):
    run = lab.optimize(task, iterations=2, per_label=10, calls=250)
    assert run.test.score == 1.0 > run.test_first.score
    assert run.comparison.verdict == "better"

def test_a_prompt_in_a_folder(lab):
    result = lab.evaluate(task, "prompt")
    assert 0 < result.score < 1
    assert 0 < result.missing["no JSON"] < 0.5

def test_another_scorer_reads_the_same_recording(lab):
    result = lab.evaluate(replace(task, score=lenient), "prompt")
    assert result.score == 1 - result.without_label
    assert [row.reply for row in result.rows] == [row.reply for row in lab.evaluate(task, "prompt").rows]
"""


def answer(body):
    """Answer as a classifier that is right only if the prompt says "Better", or as a critic."""
    turn = body["messages"][-1]["content"]
    if "improve the prompt" not in body.get("system", ""):
        number = int(re.search(r"Sentence (\d+)", turn)[1])
        right = "Better" in body.get("system", "")
        if number % 7 == 0 and not right:
            return "I cannot say."
        return json.dumps({"kind": examples.LABELS[number % 2], "day": str(number if right else 0)})
    if "Rewrite the prompt" in turn:
        assert "Name every label" not in turn
        form = '{"kind": KIND, "day": DAY}'
        return f"<system>\nBetter: answer as {form}\n</system>\n<prefix>\n</prefix>\n<suffix>\nas {form}\n</suffix>"
    found = re.search(r'# Mistakes\n\n## score 0\.\d\d\n\{"id": "(\w+)"', turn)
    return json.dumps({"ids": [found[1]], "why": "the day is missing"}) if found else "I have said it all."


def git(folder, *arguments):
    who = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(autouse=True)
def rough(monkeypatch):
    """Simulate few pull requests where a session says what its examples can show."""
    monkeypatch.setattr("promptlab.scoring.power.ROUNDS", (40, 80))


RECORDED = []  # once, for all tests


@pytest.fixture
def recording(pytester, tmp_path_factory):
    """Record a graded task, with its server, and commit it."""
    if RECORDED:
        return RECORDED[0]
    folder = pytester.path
    pytester.syspathinsert()
    for name, text in {"data.csv": FIELDS, "fields.py": TASK, "test_fields.py": TESTS}.items():
        (folder / name).write_text(text)
    pl.save_prompt(pl.Prompt("Say it as JSON."), folder / "prompt")
    with serving(answer) as server:
        connect(folder, server.url)
        pytester.runpytest("--live").assert_outcomes(passed=3)
    (folder / ".gitignore").write_text("__pycache__/\n.pytest_cache/\n")
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "main")
    RECORDED.append(shutil.copytree(folder, tmp_path_factory.mktemp("recording") / "project"))
    return RECORDED[0]


@pytest.fixture
def project(recording, pytester):
    """Give a test its own copy of the recorded project."""
    shutil.copytree(recording, pytester.path, dirs_exist_ok=True)
    pytester.syspathinsert()
    return pytester


def test_a_graded_task_is_replayed_with_its_table_page_ledger_and_figures(project):
    result = project.runpytest("--junitxml=junit.xml", "-v")
    result.assert_outcomes(passed=3)
    result.stdout.re_match_lines(
        [
            r"the prompt was improved: mean score on test 0\.\d{3} -> 1\.000",
            r"  \d+ higher, 0 lower of \d+ test examples, which the search never saw",
            r"  \+0\.\d+, plausibly .*",
            r"round +prompt +proposed by +characters +mean score on validation .*",
            r"examples +all",
            r"first \(\w{8}\) on test \(n = \d+\): mean score 0\.\d{3} \(.*\), fully right 0\.\d{3} \(.*\), unreadable 0\.\d{3} .*",
            r"  unreadable 0\.\d{3}: no JSON 0\.\d{3}",
            r"distinct prompts judged on the test split of fields so far: 3",
        ],
        consecutive=False,
    )
    assert "without a model" not in result.stdout.str()
    page = (project.path / ".promptlab/fields-optimize.html").read_text()
    assert "kind: weather, day: 0" in page
    assert "no JSON" in page
    assert "the day is missing" in page
    assert "discarded: " not in page
    junit = (project.path / "junit.xml").read_text()
    assert re.search(r'name="promptlab\.fields\.evaluate-test\.score" value="0\.\d+"', junit)
    assert 'name="promptlab.fields.optimize.test_score" value="1.0"' in junit


@pytest.mark.parametrize(
    ("prompt", "verdict"),
    [("Better: as JSON.", "better"), pytest.param("Say nothing.", "worse", marks=pytest.mark.thorough)],
)
@pytest.mark.usefixtures("main_in_this_process")
def test_a_pull_request_on_a_graded_task_is_judged(project, prompt, verdict):
    pl.save_prompt(pl.Prompt(prompt), project.path / "prompt")
    with serving(lambda body: answer(body) if "nothing" not in body["system"] else "nothing") as server:
        connect(project.path, server.url)
        project.runpytest("--live-changed", "-k", "folder", "--promptlab-base=main")
    git(project.path, "checkout", "--quiet", "-b", "change")
    git(project.path, "add", ".")
    git(project.path, "commit", "--quiet", "-m", "change")
    project.runpytest("--promptlab-base=main", "-k", "another")
    comment = (project.path / ".promptlab/comment.md").read_text()
    assert f"fields: evaluate-test: **{verdict}**" in comment
    assert f"fields: evaluate-test-2: **{verdict}**" in comment  # by the other scorer
    assert "| mean score | " in comment
    assert "kind: food, day: 1" in comment


def test_demonstrations_are_recorded_judged_and_seen_on_the_page(pytester):
    lay_out(pytester.path)
    train = examples.task().split("train")
    shown = [(e.text, f"<label>{e.label}</label>") for e in train[:2]]
    (pytester.path / "test_topics.py").write_text(
        "from topics import task\n\ndef test_it(lab):\n    assert lab.evaluate(task, 'prompt').macro_f1 > 0\n"
    )
    pl.save_prompt(pl.Prompt("Better", demonstrations=shown), pytester.path / "prompt")
    pytester.syspathinsert()
    with serving(examples.answer) as server:
        connect(pytester.path, server.url)
        pytester.runpytest("--live").assert_outcomes(passed=1)
    assert [4] == list({len(body["messages"]) - 1 for body in server.bodies})
    pytester.runpytest().assert_outcomes(passed=1)
    assert train[1].text in (pytester.path / ".promptlab/topics-evaluate-test.html").read_text()
    pl.save_prompt(pl.Prompt("Better", demonstrations=shown[::-1]), pytester.path / "prompt")
    pytester.runpytest().stdout.fnmatch_lines(["*CassetteMiss: cassettes/local/topics/*.jsonl: *"])


def test_examples_that_have_moved_from_train_to_test_are_named(pytester):
    lay_out(pytester.path)
    (pytester.path / "test_topics.py").write_text(
        "import promptlab as pl\nfrom topics import task\n\n"
        "def test_it(lab):\n    assert lab.evaluate(task, pl.Prompt('Better')).macro_f1 == 1\n"
    )
    folder = pytester.path / "cassettes/local/topics"
    folder.mkdir(parents=True)
    snapshots.save(folder / "optimize.jsonl", examples.task(split_seed=1))
    moved = {e.id for e in examples.task(split_seed=1).split("train")} & {
        e.id for e in examples.task().split("test")
    }
    pytester.syspathinsert()
    with serving(examples.answer) as server:
        connect(pytester.path, server.url)
        result = pytester.runpytest("--live")
    some = ", ".join(sorted(moved)[:10])
    assert (
        f"note: {len(moved)} examples were in train when an optimization was recorded and are in test now"
        in result.stdout.str()
    )
    assert some in result.stdout.str()
    assert 0 == main(["split", str(pytester.path / "data.csv"), "--seed", "1"])
    with serving(examples.answer) as server:
        connect(pytester.path, server.url)
        assert "were in train when" not in pytester.runpytest("--live").stdout.str()
