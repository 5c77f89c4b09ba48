"""How far a run is: a line that moves on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from dataclasses import replace

import pytest

import promptlab as pl
from promptlab.models import progress
from promptlab.models.progress import Output, Progress
from promptlab.records import Model, Price, Reply

from .. import examples
from ..conftest import ROOT
from ..examples import connect, model, task
from ..plugin.test_hooks import DATA, TASK
from ..server import serving


def on_a_terminal(command, folder):
    """Run a command on a terminal, and return what it wrote there."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", "TERM": "xterm"}
    environment.pop("CI", None)
    with subprocess.Popen(
        command, cwd=folder, stdout=theirs, stderr=theirs, stdin=theirs, env=environment
    ) as process:
        os.close(theirs)
        said = b""
        while True:
            try:
                some = os.read(ours, 4096)
            except OSError:  # its end
                break
            said += some
        process.wait()
    os.close(ours)
    return said.decode()


MOVES = (
    r"\rtopics, evaluation: +\d+%\|[^\r]*\| (\d+)/30 \[\d\d:\d\d<\d\d:\d\d, +[\d.]+call/s, "
    r"classifier \$0\.\d{4}, 0\.\d\d s a call, 95% under 0\.\d\d s\]"
)


def slow(body):
    time.sleep(0.05)
    return examples.answer(body)


PRICED = "\n[tool.promptlab.prices.small]\ninput = 10\noutput = 100\n"


@pytest.mark.parametrize(
    "more", [[], *(pytest.param([one], marks=pytest.mark.thorough) for one in ("-s", "-v"))]
)
def test_a_line_moves_in_a_session_on_a_terminal(tmp_path, more):
    files = {"data.csv": DATA, "topics.py": TASK}
    files["test_it.py"] = (
        "import promptlab as pl\nfrom topics import task\n\ndef test_it(lab):\n    assert lab.evaluate(task, pl.Prompt('x')).rows\n"
    )
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with serving(slow) as server:
        connect(tmp_path, server.url)
        with (tmp_path / "pyproject.toml").open("a") as file:
            file.write(PRICED)
        said = on_a_terminal([sys.executable, "-m", "pytest", "--live", *more], tmp_path)
    counts = [int(count) for count in re.findall(MOVES, said)]
    assert counts == sorted(counts)
    assert counts[-1] > 20  # it is written ten times a second
    assert len(set(counts)) > 3
    assert "1 passed" in said


@pytest.mark.thorough
def test_another_line_does_not_end_up_in_the_one_that_moves(tmp_path):
    files = {"data.csv": DATA, "topics.py": TASK}
    files["test_it.py"] = (
        "from topics import task\n\ndef test_it(lab):\n    lab.optimize(task, iterations=1, calls=100)\n"
    )
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with serving(slow) as server:
        connect(tmp_path, server.url)
        said = on_a_terminal([sys.executable, "-m", "pytest", "--live", "-v"], tmp_path)
    before = said.partition("topics: iteration 1/1  ")[0]
    assert before != said
    assert "call/s" in before
    assert "" == re.split(r"[\r\n]", before)[-1].strip()


SCRIPT = """
import sys
import promptlab as pl
sys.path.insert(0, {root!r})
from tests.examples import model, task
from dataclasses import replace
pl.evaluate(task(), pl.Prompt("x"), classifier=replace(model({url!r}), price=pl.Price(10, 100)))
print("done")
"""


def test_a_line_moves_in_a_script_on_a_terminal(tmp_path):
    with serving(slow) as server:
        said = on_a_terminal([sys.executable, "-c", SCRIPT.format(root=str(ROOT), url=server.url)], tmp_path)
    assert 20 < int(re.findall(MOVES, said)[-1])
    assert said.endswith("done\r\n")


def test_in_ci_no_line_moves_even_on_a_terminal(tmp_path, monkeypatch):
    code = f"import os; os.environ['CI'] = 'true'{SCRIPT}"
    with serving(slow) as server:
        said = on_a_terminal([sys.executable, "-c", code.format(root=str(ROOT), url=server.url)], tmp_path)
    assert "done\r\n" == said


def test_elsewhere_a_line_is_written_now_and_then(monkeypatch, capsys):
    monkeypatch.setattr(progress, "EVERY", 0.0)
    with serving(slow) as server:
        pl.evaluate(task(), pl.Prompt("x"), classifier=replace(model(server.url), price=Price(10, 100)))
    lines = capsys.readouterr().err.splitlines()
    assert 30 == len(lines)
    last = r"topics, evaluation: 30 of 30 calls, [\d.]+ a second, classifier \$0\.0180, 0\.\d\d s a call, 95% under 0\.\d\d s, 0 s left"
    assert re.fullmatch(last, lines[-1])


def test_a_short_run_says_nothing_where_no_line_can_move(capsys):
    with serving(examples.answer) as server:
        pl.evaluate(task(), pl.Prompt("x"), classifier=model(server.url))
    assert ("", "") == capsys.readouterr()


class Told(Output):
    """Keeps what it is to show."""

    moves = False

    def __init__(self):
        self.lines = []

    def line(self, text):
        self.lines.append(text)


def test_an_optimization_is_at_most_so_many_calls_and_names_its_round(monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0.0)
    told = Told()
    token = progress.output.set(told)
    try:
        with serving(examples.answer) as server:
            models = {"classifier": model(server.url), "critic": model(server.url, "critic")}
            pl.optimize(task(), **models, iterations=1, calls=100)
    finally:
        progress.output.reset(token)
    stages = list(dict.fromkeys(line.partition(":")[0] for line in told.lines))
    assert ["topics, iteration 1", "topics, finals", "topics, test"] == stages
    assert " of at most 172 calls, " in told.lines[0]
    assert "$" not in told.lines[0]  # the price is unknown


def test_what_is_replayed_moves_nothing(tmp_path, capsys):
    from promptlab.cassettes import recorder

    with serving(examples.answer) as server:
        with recorder.use(tmp_path / "a.jsonl", mode="live", record_with=""):
            pl.evaluate(task(), pl.Prompt("x"), classifier=model(server.url))
    told = Told()
    token = progress.output.set(told)
    try:
        with (
            pytest.MonkeyPatch.context() as patch,
            recorder.use(tmp_path / "a.jsonl", mode="replay", record_with=""),
        ):
            patch.setattr(progress, "EVERY", 0.0)
            pl.evaluate(task(), pl.Prompt("x"), classifier=model("http://127.0.0.1:9"))
    finally:
        progress.output.reset(token)
    assert [] == told.lines


def test_the_cost_is_given_by_role_as_far_as_it_is_known():
    shown = Progress("t", 10)
    for role, priced in (
        ("critic", Price(1, 1)),
        ("classifier", Price(2, 2)),
        ("critic", Price(1, 1)),
        ("other", None),
    ):
        shown.made(role, Model("m", price=priced), Reply("", "", (), "m", 500_000, 500_000, seconds=2.0))
    assert "classifier $2.0000, critic $2.0000, 2.00 s a call, 95% under 2.00 s" == shown._tail


def test_calls_of_batches_are_shown_by_their_stage_and_have_no_seconds():
    shown = io.StringIO()

    class Terminal(Output):
        moves = True
        stream = shown

    before = progress.output.set(Terminal())
    try:
        line = Progress("topics", 3)
        line.begin()
        line.stage = "2 batches under way"
        line.refresh()
        line.line("batch 1: 3 answered")
        line.made("classifier", Model("claude-haiku-5-5"), Reply("", "", (), "", 1, 1))
        line.close()
    finally:
        progress.output.reset(before)
    assert "\rtopics, 2 batches under way:   0%" in shown.getvalue()
    assert "\rbatch 1: 3 answered\n" in shown.getvalue()
    assert "s a call" not in shown.getvalue()
