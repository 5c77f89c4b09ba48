"""`promptlab init`: what it writes runs as it stands."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pandas
import pytest

from promptlab.cli import main
from promptlab.scaffold.files import READERS, WORKFLOWS, fill

from .. import examples
from ..conftest import ROOT
from ..examples import connect
from ..server import serving

ROWS = [{"id": e.id, "question": e.text, "topic": e.label, "lang": "en"} for e in examples.examples()]


def write(path):
    frame = pandas.DataFrame(ROWS)
    writers = {
        ".csv": lambda: frame.to_csv(path, index=False),
        ".tsv": lambda: frame.to_csv(path, index=False, sep="\t"),
        ".parquet": lambda: frame.to_parquet(path),
    }
    writers.get(path.suffix, lambda: frame.to_json(path, orient="records", lines=True))()


OTHERS = [pytest.param(kind, marks=pytest.mark.thorough) for kind in READERS if kind != ".csv"]


@pytest.mark.parametrize("kind", [".csv", *OTHERS])
def test_the_tests_pass_after_one_live_run_and_from_then_on_offline(pytester, kind, capsys):
    (pytester.path / "data").mkdir()
    write(pytester.path / f"data/my{kind}")
    assert 0 == main(["init", "topics", "--data", f"data/my{kind}", "--label", "topic"])
    assert (
        "wrote topics/task.py\nwrote topics/test_topics.py\nwrote topics/README.md\n"
        in capsys.readouterr().out
    )
    with serving(examples.answer) as server:
        connect(pytester.path, server.url)
        pytester.runpytest("--live").assert_outcomes(passed=2)
    pytester.runpytest().assert_outcomes(passed=2)
    task = (pytester.path / "topics/task.py").read_text()
    assert 'text="question"' in task
    assert 'labels=("food", "weather")' in task
    assert "40 `food`, 40 `weather`" in (pytester.path / "topics/README.md").read_text()


@pytest.mark.parametrize("repository", [True, False])
def test_data_outside_the_repository_are_copied_into_the_folder(pytester, repository, capsys, monkeypatch):
    project = pytester.mkdir("project")
    (project / "sub").mkdir()
    if repository:
        subprocess.run(["git", "init", "--quiet", project], check=True)
    write(pytester.path / "my.csv")
    monkeypatch.chdir(project / "sub" if repository else project)
    assert 0 == main(
        ["init", "topics", "--data", "../../my.csv" if repository else "../my.csv", "--label", "topic"]
    )
    said = capsys.readouterr().out
    assert "/my.csv, which lies outside the repository, to topics/my.csv\n" in said
    assert "commit: git add topics cassettes .github .gitattributes, and pyproject.toml" in said
    assert (pytester.path / "my.csv").read_bytes() == Path("topics/my.csv").read_bytes()
    assert 'read_csv(HERE / "my.csv"' in Path("topics/task.py").read_text()


def test_data_elsewhere_in_the_repository_stay_where_they_are(pytester, capsys, monkeypatch):
    subprocess.run(["git", "init", "--quiet", pytester.path], check=True)
    write(pytester.path / "my.csv")
    monkeypatch.chdir(pytester.mkdir("sub"))
    assert 0 == main(["init", "topics", "--data", "../my.csv", "--label", "topic"])
    said = capsys.readouterr().out
    assert "copied" not in said
    assert "commit: git add topics ../my.csv cassettes .github .gitattributes, and pyproject.toml" in said
    assert 'read_csv(HERE / "../../my.csv"' in Path("topics/task.py").read_text()
    assert not Path("topics/my.csv").exists()


def test_a_file_in_the_place_of_the_copy_is_kept(pytester, capsys, monkeypatch):
    write(pytester.path / "my.csv")
    monkeypatch.chdir(pytester.mkdir("project"))
    Path("topics").mkdir()
    Path("topics/my.csv").write_text("mine")
    assert 1 == main(["init", "topics", "--data", "../my.csv", "--label", "topic"])
    assert "my.csv is there already; nothing was written" in capsys.readouterr().err
    assert ["my.csv"] == [path.name for path in Path("topics").iterdir()]
    assert "mine" == Path("topics/my.csv").read_text()


REFUSED = {
    "no such column": (
        [],
        r"my\.csv: no column 'label', only 'id', 'question', 'topic', 'lang': name it with --label",
    ),
    "no labels": (
        ["--label", "id"],
        r"column 'id' has 80 distinct values, such as .*expected 2 to 50 labels",
    ),
    "one label": (["--label", "lang"], "column 'lang' has 1 distinct values"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_data_that_cannot_be_used_are_refused_and_nothing_is_written(pytester, case, capsys):
    more, message = REFUSED[case]
    write(pytester.path / "my.csv")
    assert 1 == main(["init", "topics", "--data", "my.csv", *more])
    assert re.search(message, capsys.readouterr().err)
    assert ["my.csv"] == [path.name for path in pytester.path.iterdir()]


@pytest.mark.parametrize("name", ["my-task", "class", "email", "statistics"])
def test_a_name_that_would_hide_a_module_is_refused(pytester, name, capsys):
    write(pytester.path / "my.csv")
    assert 1 == main(["init", name, "--data", "my.csv", "--label", "topic"])
    assert (
        f"name {name!r}: expected letters, digits and '_', and no name of Python's own"
        in capsys.readouterr().err
    )


def test_files_that_are_there_already_are_kept(pytester, capsys):
    write(pytester.path / "my.csv")
    (pytester.path / "topics").mkdir()
    (pytester.path / "topics/task.py").write_text("mine")
    assert 1 == main(["init", "topics", "--data", "my.csv", "--label", "topic"])
    assert "task.py is there already; nothing was written" in capsys.readouterr().err
    assert "mine" == (pytester.path / "topics/task.py").read_text()
    assert not (pytester.path / ".github").exists()


@pytest.mark.parametrize("name", WORKFLOWS)
def test_the_workflows_are_those_that_the_project_uses_itself(name):
    here = (ROOT / ".github/workflows" / name).read_text(encoding="utf-8")
    assert here == fill(name, {"INSTALL": ". pytest-xdist", "NAME": "benchmarks/insincere"})
