"""Nothing that was paid for is lost: processes are killed, race, and run out of disk."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from promptlab.cassettes import format as files
from promptlab.cassettes.journal import Journal
from promptlab.errors import RecordingError

from ..conftest import ROOT
from ..server import serving

CALLS = 500


def start(url: str, path: Path, calls: int = CALLS, run: int = 0, **options) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.durable", url, str(path), str(calls), "16"]
    options = {"env": os.environ | {"ANTHROPIC_CUSTOM_HEADERS": f"x-run: {run}"}} | options
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=ROOT, **pipes, **options)


def texts(entries) -> set[str]:
    return {entry["request"]["body"]["messages"][0]["content"] for entry in entries}


def journaled(path: Path) -> set[str]:
    """Return what a journal holds, a torn last line aside."""
    journal = Path(f"{path}.journal")
    lines = journal.read_bytes().split(b"\n")[:-1] if journal.exists() else []
    return texts(map(json.loads, lines))


def made_by(server, run: int) -> list[str]:
    """Return the texts that a run has asked about; those of a killed one may arrive when it is gone."""
    sent = zip(server.headers, server.bodies, strict=False)
    return [body["messages"][0]["content"] for headers, body in sent if headers["x-run"] == str(run)]


def killed_until_done(path: Path, kills: int, seed: int) -> int:
    """Kill a run of 500 calls at random moments, check each next run; return the kills that hit one."""
    moments, hit = random.Random(seed), 0
    with serving(lambda body: "fine") as server:
        for run in range(kills):
            known = journaled(path)
            process = start(server.url, path, run=run)
            assert "asking\n" == process.stdout.readline()
            time.sleep(moments.uniform(0, 0.6))
            process.kill()
            process.communicate()
            hit += process.returncode == -signal.SIGKILL
            asked = made_by(server, run)
            assert not known & set(asked), "what was in the journal was asked again"
            assert len(asked) == len(set(asked))
            if path.exists():
                break
        else:
            known = journaled(path)
            assert ("asking\n", "") == start(server.url, path, run=kills).communicate()
            assert CALLS - len(known) == len(made_by(server, kills))
    recording = files.read(path)
    assert {f"text {n}" for n in range(CALLS)} == texts(recording.calls.values())
    assert not Path(f"{path}.journal").exists()
    return hit


def test_a_killed_run_makes_only_the_missing_calls(tmp_path):
    assert 1 == killed_until_done(tmp_path / "run.jsonl", kills=1, seed=1)


@pytest.mark.thorough
def test_two_dozen_kills_lose_nothing(tmp_path):
    hit = 0
    for seed in range(50):
        hit += killed_until_done(tmp_path / f"{seed}.jsonl", kills=5, seed=seed)
        if hit >= 24:
            break
    assert 24 <= hit


def interrupted(tmp_path, seconds, signals):
    """Interrupt a process whose calls take so long, so often; return how long it went on, and calls kept and made."""
    path = tmp_path / "run.jsonl"
    with serving(lambda body: time.sleep(seconds) or "fine") as server:
        process = start(server.url, path, 40)
        assert "asking\n" == process.stdout.readline()
        while len(server.bodies) < 16 + 1:  # the first goes alone
            time.sleep(0.01)
        began = time.monotonic()
        for _ in range(signals):
            process.send_signal(signal.SIGINT)
            time.sleep(0.2)
        assert "KeyboardInterrupt" in process.communicate()[1]
        return time.monotonic() - began, len(journaled(path)), len(server.bodies)


def test_an_interrupted_run_keeps_what_was_in_flight(tmp_path):
    seconds, kept, made = interrupted(tmp_path, 1.0, 1)
    assert 17 <= kept == made < 40
    assert seconds < 5


@pytest.mark.thorough
def test_an_interrupted_run_does_not_wait_for_ever(tmp_path):
    seconds, kept, _ = interrupted(tmp_path, 9.0, 1)
    assert 1 == kept
    assert 5 <= seconds < 8


@pytest.mark.thorough
def test_a_run_that_is_interrupted_twice_stops_at_once(tmp_path):
    seconds, kept, _ = interrupted(tmp_path, 4.0, 2)
    assert 1 == kept
    assert seconds < 3


@pytest.mark.parametrize("again", [1, pytest.param(10, marks=pytest.mark.thorough)])
def test_of_two_runs_that_race_for_a_file_one_is_refused(tmp_path, again):
    with serving(lambda body: time.sleep(0.005) or "fine") as server:
        for number in range(again):
            path = tmp_path / f"{number}.jsonl"
            server.bodies.clear()
            processes = [start(server.url, path, 300) for _ in range(2)]
            said = [process.communicate()[1].strip() for process in processes]
            assert 300 == len(server.bodies)
            assert 300 == len(files.read(path).calls)
            refused = [one for one in said if one]
            assert 1 == len(refused)
            assert "another process is recording into it" in refused[0]


@pytest.mark.thorough
def test_a_full_disk_stops_the_run_and_keeps_what_was_written(tmp_path):
    path = tmp_path / "run.jsonl"

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    with serving(lambda body: "fine") as server:
        process = start(server.url, path, 100, preexec_fn=limit)
        said = process.communicate()[1]
        assert 1 == process.returncode
        assert "a reply could not be written (File too large) and the run was stopped" in said
        known = journaled(path)
        assert 10 < len(known) < 100
        assert Path(f"{path}.journal").read_bytes().endswith(b"\n")
        server.bodies.clear()
        assert "" == start(server.url, path, 100).communicate()[1]
        assert 100 - len(known) == len(server.bodies)
    assert 100 == len(files.read(path).calls)


def test_a_folder_that_cannot_be_written_costs_no_call():
    """Root may write everywhere, so the test steps down where it is root."""
    with tempfile.TemporaryDirectory() as name:
        folder, user = Path(name), os.geteuid()
        folder.chmod(0o555)
        try:
            if user == 0:
                os.seteuid(65534)
            with pytest.raises(
                RecordingError, match="cannot be written, so no call was made: Permission denied"
            ):
                Journal(folder / "run.jsonl.journal")
        finally:
            os.seteuid(user)
            folder.chmod(0o755)


def test_a_line_that_cannot_be_written_whole_leaves_those_before_it(tmp_path, monkeypatch):
    path = tmp_path / "new" / "folder" / "run.jsonl.journal"
    journal = Journal(path)
    journal.append("one")
    journal.append("two")
    write = os.write

    def full(file, data):
        write(file, bytes(data[:3]))
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(RecordingError, match=r"a reply could not be written \(No space left on device\)"):
            journal.append("three")
    assert b"one\ntwo\n" == path.read_bytes()
    journal.append("four")
    journal.close(done=False)
    assert b"one\ntwo\nfour\n" == path.read_bytes()


def test_a_journal_that_is_no_text_is_read_and_left_to_be_named(tmp_path):
    path = tmp_path / "run.jsonl.journal"
    path.write_bytes(b"\xff\n")
    journal = Journal(path)
    journal.close(done=False)
    assert ["\ufffd"] == journal.lines
    assert path.exists()


def test_a_journal_that_somebody_has_deleted_can_be_closed(tmp_path):
    journal = Journal(tmp_path / "journal")
    (tmp_path / "journal").unlink()
    (tmp_path / "journal.lock").unlink()
    journal.close(done=True)
    assert [] == list(tmp_path.iterdir())


def test_a_torn_last_line_is_cut_off(tmp_path):
    path = tmp_path / "run.jsonl.journal"
    path.write_bytes(b"one\ntwo\nthr")
    journal = Journal(path)
    assert (["one", "two"], True) == (journal.lines, journal.torn)
    journal.append("three \u2028 €")
    journal.close(done=False)
    assert "one\ntwo\nthree \u2028 €\n" == path.read_text(encoding="utf-8")
    again = Journal(path)
    assert (["one", "two", "three \u2028 €"], False) == (again.lines, again.torn)
    again.close(done=True)
    assert not path.exists()


def test_a_journal_is_held_by_one_at_a_time(tmp_path):
    held = Journal(tmp_path / "journal")
    with pytest.raises(RecordingError, match="another process is recording into it"):
        Journal(tmp_path / "journal")
    held.close(done=False)
    Journal(tmp_path / "journal").close(done=False)
    assert [] == list(tmp_path.iterdir())  # an empty journal is not left behind
