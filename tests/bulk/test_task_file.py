from __future__ import annotations

import sys

import pytest

from promptlab.bulk.task_file import load
from promptlab.errors import DataError

from .conftest import TASK


@pytest.fixture
def files(folder, monkeypatch):
    """Put files into the project; what they import is forgotten."""
    known = set(sys.modules)

    def write(**contents):
        for name, content in contents.items():
            path = folder / name.replace("__", "/").replace("/init", "/__init__")
            path = path.with_suffix(".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)

    yield write
    for name in set(sys.modules) - known:
        del sys.modules[name]


def test_a_task_is_found_by_file_and_name(files, folder):
    assert "topics" == load("test_topics.py:task").name
    assert "topics" == load(f"{folder}/test_topics.py:task").name


def test_a_file_in_a_package_may_import_from_it(files):
    files(mine__init="", mine__deep__init="", mine__words="BRIEF = 'Weather?'")
    files(mine__deep__test_it=f"from ..words import BRIEF\n{TASK}\nassert BRIEF\nother = task")
    assert "topics" == load("mine/deep/test_it.py:other").name


def test_a_file_may_import_its_neighbours(files):
    files(sub__helper_of_it="from pathlib import Path", sub__test_that=f"import helper_of_it\n{TASK}")
    assert "topics" == load("sub/test_that.py:task").name


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("test_topics.py", r"'test_topics\.py': expected FILE\.py:NAME, such as test_topics\.py:task"),
        ("test_topics:task", r"'test_topics:task': expected FILE\.py:NAME"),
        ("test_topics.py:a.b", r"'test_topics\.py:a\.b': expected FILE\.py:NAME"),
        ("test_none.py:task", r"test_none\.py: no such file \(looked in /.*\)"),
        ("test_topics.py:tusk", r"test_topics\.py: no 'tusk'; it has task"),
        ("test_topics.py:pl", r"test_topics\.py: 'pl' is module, no Task; it has task"),
        ("empty_one.py:task", r"empty_one\.py: no 'task'; it has no task at its top level"),
        ("broken_one.py:task", r"broken_one\.py: cannot be imported: ZeroDivisionError: division by zero"),
        ("json.py:task", r"json\.py: another module is named 'json': rename the file"),
    ],
)
def test_what_is_no_task_is_said_by_name(files, given, said):
    files(empty_one="", broken_one="1 / 0", json="")
    with pytest.raises(DataError, match=said):
        load(given)
