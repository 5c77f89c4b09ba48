from __future__ import annotations

import json
import sys

import pandas
import pytest

import promptlab as pl
from promptlab import cli

from .. import examples
from ..server import serving

TASK = """
import promptlab as pl

task = pl.Task(
    name="topics", examples=pl.read_csv("topics.csv"), labels=("weather", "food"), brief="Weather or food?"
)
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with a task, a prompt and a server."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "test_topics", raising=False)
    rows = "".join(f"{e.text},{e.label}\n" for e in examples.examples())
    (tmp_path / "topics.csv").write_text("text,label\n" + rows)
    (tmp_path / "test_topics.py").write_text(TASK)
    pl.save_prompt(pl.Prompt("Better", "<", ">"), "prompt")
    with serving(examples.answer) as server:
        examples.connect(tmp_path, server.url)
        yield server


def classify(*arguments):
    return cli.main(["classify", "test_topics.py:task", "--prompt", "prompt", *arguments])


def test_rows_stay_as_they_came_with_label_and_reason(project, tmp_path):
    (tmp_path / "rows.csv").write_bytes(b'text,"a ""b"""\r\n"Sentence 1, of",x\r\n\'Sentence 2\',"y"\r\n')
    assert 0 == classify("rows.csv", "-o", "labels.csv")
    expected = b'text,"a ""b""",label,reason\r\n"Sentence 1, of",x,food,\r\n\'Sentence 2\',"y",weather,\r\n'
    assert expected == (tmp_path / "labels.csv").read_bytes()


def test_rows_with_the_same_text_are_asked_once(project, tmp_path):
    (tmp_path / "rows.jsonl").write_text("".join(f'{{"text": "Sentence {n % 5}"}}\n' for n in range(200)))
    classify("rows.jsonl", "-o", "labels.jsonl", "--replies")
    assert 5 == len(project.bodies)
    labels = [json.loads(line) for line in (tmp_path / "labels.jsonl").read_text().splitlines()]
    assert [examples.LABELS[n % 5 % 2] for n in range(200)] == [row["label"] for row in labels]
    assert "<label>food</label>" == labels[1]["reply"]


def test_a_frame_comes_back_with_its_index(project):
    frame = pandas.DataFrame({"text": ["Sentence 1", None, "Sentence 2"]}, index=["a", "b", "c"])
    model = examples.model(project.url)
    done = pl.classify(examples.task(), "prompt", frame, classifier=model)
    assert ["a", "b", "c"] == list(done.index)
    assert ["food", None, "weather"] == list(done["label"])
    assert [None, "no text", None] == list(done["reason"])
    assert ["text"] == list(frame.columns)


def test_what_was_answered_is_not_asked_again(project, tmp_path):
    (tmp_path / "rows.csv").write_text("text\n" + "".join(f"Sentence {n}\n" for n in range(20)))
    classify("rows.csv", "-o", "labels.csv")
    once = (tmp_path / "labels.csv").read_bytes()
    classify("rows.csv", "-o", "labels.csv")
    assert 20 == len(project.bodies)
    assert once == (tmp_path / "labels.csv").read_bytes()
