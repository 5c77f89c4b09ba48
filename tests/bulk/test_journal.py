from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
from dataclasses import replace

import pytest

from promptlab.bulk.journal import Journal
from promptlab.bulk.work import Work
from promptlab.errors import RecordingError
from promptlab.records import Model, Prompt, Reply

from .. import examples

KEY, OTHER = "0a" * 32, "0b" * 32
REPLY = Reply("é\ud800\0", "end_turn", ("thinking", "text"), "m", 10, 5, 1, 2, 0.5)
WORK = Work(
    examples.task(),
    Prompt("be brief", "<", ">", demonstrations=[("Hail?", "weather")]),
    Model("m", max_tokens=99, effort="low", extra_body={"seed": 1}),
)


def test_a_reply_comes_back_as_it_was_kept(tmp_path):
    with_read = (["food", None], (None, "absent"))
    for number, read in enumerate((None, *with_read)):
        path = tmp_path / f"{number}.journal"
        journal = Journal(path, {})
        journal.add(KEY, REPLY, read and tuple(read))
        journal.close()
        again = Journal(path, {})
        assert (REPLY, read and tuple(read)) == again.get(KEY)
        assert 0.5 == again.get(KEY)[0].seconds
        assert KEY in again
        assert OTHER not in again
        assert again.get(OTHER) is None
        assert 1 == len(again)
        again.close()


@pytest.fixture
def journal():
    """A journal in memory."""
    with contextlib.closing(Journal(None, {})) as journal:
        yield journal


def test_the_first_reply_to_a_call_stays(journal):
    journal.add(KEY, REPLY)
    journal.add(KEY, replace(REPLY, text="other"))
    assert REPLY == journal.get(KEY)[0]


def test_a_call_is_first_once_whatever_is_known_of_it(journal):
    journal.add(KEY, REPLY)
    assert [True, True, False] == [journal.first(one) for one in (KEY, OTHER, KEY)]


OTHERS = [
    (replace(WORK, prompt=Prompt("be brief", "<", ">")), "demonstrations.jsonl of the prompt"),
    (
        replace(WORK, prompt=replace(WORK.prompt, system="be long", suffix="")),
        "system.md, suffix.md of the prompt",
    ),
    (replace(WORK, model=replace(WORK.model, name="n")), "model 'm' -> 'n'"),
    (replace(WORK, model=replace(WORK.model, max_tokens=98)), "max_tokens 99 -> 98"),
    (replace(WORK, model=replace(WORK.model, effort="high")), "effort 'low' -> 'high'"),
    (replace(WORK, model=replace(WORK.model, effort=None)), "output_config {'effort': 'low'} -> None"),
    (
        replace(WORK, model=replace(WORK.model, thinking={"type": "disabled"})),
        "thinking None -> {'type': 'disabled'}",
    ),
    (replace(WORK, model=replace(WORK.model, extra_body={"seed": 2})), "seed 1 -> 2"),
]


def answered(path, header):
    """Make a journal with a reply."""
    with contextlib.closing(Journal(path, header)) as journal:
        journal.add(KEY, REPLY)


def test_a_journal_without_replies_serves_other_calls_too(tmp_path):
    Journal(tmp_path / "j", WORK.header).close()
    answered(tmp_path / "j", {"prompt": {}})
    with pytest.raises(RecordingError, match="holds the replies to other calls: "):
        Journal(tmp_path / "j", WORK.header)


@pytest.mark.parametrize(("work", "said"), OTHERS, ids=[said for _, said in OTHERS])
def test_the_journal_of_other_calls_is_refused_by_what_differs(tmp_path, work, said):
    path = tmp_path / "labels.csv.journal"
    answered(path, WORK.header)
    before = path.read_bytes()
    with pytest.raises(RecordingError) as error:
        Journal(path, work.header)
    why = f"{path}: holds the replies to other calls: {said}. Name another output, or delete the file"
    assert str(error.value).startswith(why)
    assert before == path.read_bytes()
    Journal(path, WORK.header).close()


def test_another_server_and_price_make_no_other_calls(tmp_path):
    answered(tmp_path / "j", WORK.header)
    other = replace(WORK, model=replace(WORK.model, base_url="http://127.0.0.1:1"))
    journal = Journal(tmp_path / "j", other.header)
    assert 0 < len(journal)
    journal.close()


def test_a_prompt_with_a_key_is_kept_masked(tmp_path):
    key = f"sk-{'ant'}-api03-{'Zq9' * 20}"
    work = replace(WORK, prompt=Prompt(f"Never say {key}", demonstrations=[(f"\n{key}", "x")]))
    Journal(tmp_path / "j", work.header).close()
    assert key.encode() not in (tmp_path / "j").read_bytes()
    assert b"[masked " in (tmp_path / "j").read_bytes()


def test_a_journal_that_another_process_holds_is_refused(tmp_path):
    path = tmp_path / "labels.csv.journal"
    code = f"""
import sys
from pathlib import Path
from promptlab.bulk.journal import Journal
held = Journal(Path({str(path)!r}), {{}})
print("held", flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert b"held\n" == process.stdout.readline()
        for _ in range(2):
            with pytest.raises(
                RecordingError, match=r"journal: another process labels into it\. Wait for it"
            ):
                Journal(path, {})
        process.kill()
    Journal(path, {}).close()  # what was killed holds nothing


def test_another_file_is_not_taken_for_a_journal(tmp_path):
    (tmp_path / "j").write_text("text,label\n" * 100)
    with pytest.raises(RecordingError, match=r"j: is no journal: name another output, or move the file away"):
        Journal(tmp_path / "j", {})
    assert (tmp_path / "j").read_text().startswith("text,label\n")


def test_a_journal_in_no_folder_is_an_error(tmp_path):
    with pytest.raises(RecordingError, match=r"none/j: cannot be used: unable to open database file"):
        Journal(tmp_path / "none/j", {})


def test_a_full_disk_stops_and_loses_nothing(tmp_path):
    journal = Journal(tmp_path / "j", {})
    journal.add(KEY, REPLY)
    (pages,) = journal.db.execute("PRAGMA page_count").fetchone()
    journal.db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(RecordingError, match=r"j: a reply could not be written \(database or disk is full\)"):
        journal.add(OTHER, replace(REPLY, text="x" * 100_000))
    assert KEY in journal
    assert OTHER not in journal
    journal.close()
    with contextlib.closing(Journal(tmp_path / "j", {})) as again:
        assert REPLY == again.get(KEY)[0]


def test_a_closed_journal_is_one_file(tmp_path):
    journal = Journal(tmp_path / "j", {})
    journal.add(KEY, REPLY)
    journal.close()
    assert ["j"] == [path.name for path in tmp_path.iterdir()]
    with contextlib.closing(sqlite3.connect(tmp_path / "j")) as db:
        assert (1,) == db.execute("SELECT count(*) FROM replies").fetchone()


def test_the_database_of_another_program_is_left_alone(tmp_path):
    path = tmp_path / "other.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE header (name, value)")
        db.execute("INSERT INTO header VALUES ('a', 'no JSON')")
        db.commit()
    with pytest.raises(RecordingError, match=r"other\.sqlite: is another program's database"):
        Journal(path, WORK.header)
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert [("header",)] == db.execute("SELECT name FROM sqlite_master").fetchall()
