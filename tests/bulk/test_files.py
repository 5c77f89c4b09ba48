from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import promptlab as pl

from .. import examples
from ..conftest import ROOT
from ..examples import connect
from ..server import serving
from .conftest import TASK, asked, classify, sentences

KEY = f"sk-{'ant'}-api03-{'Zq9' * 20}"
EVALUATE = "\n\ndef test_it(lab):\n    assert lab.evaluate(task, 'prompt').macro_f1\n"


def labels(path):
    with Path(path).open(encoding="utf-8", newline="") as file:
        return [(row["label"], row["reason"]) for row in csv.DictReader(file)]


def told(capsys):
    """Return the lines that were written before and while calls were made."""
    return [line.removeprefix("promptlab: ") for line in capsys.readouterr().err.splitlines()]


def test_rows_stay_as_they_came_with_label_and_reason(server, folder, capsys):
    (folder / "rows.csv").write_bytes(b'text,"a ""b"""\r\n"Sentence 1, of",x\r\n\'Sentence 2\',"y"\r\n')
    assert 0 == classify("rows.csv", "-o", "labels.csv")
    expected = b'text,"a ""b""",label,reason\r\n"Sentence 1, of",x,food,\r\n\'Sentence 2\',"y",weather,\r\n'
    assert expected == (folder / "labels.csv").read_bytes()
    said = "labels.csv: 2 rows: food 1, weather 1\nclassifier small: 2 calls, 20 tokens in, 10 out, price unknown\n"
    assert said == capsys.readouterr().out


def test_it_says_first_what_it_will_take(server, folder, capsys, monkeypatch):
    """Calls, tokens and dollars."""
    with (folder / "pyproject.toml").open("a") as file:
        file.write("\n[tool.promptlab.prices.small]\ninput = 10\noutput = 100\n")
    sentences(folder / "rows.csv", *range(10), 3)

    async def ask(*_, **__):
        raise InterruptedError

    monkeypatch.setattr("promptlab.bulk.job.ask", ask)
    with pytest.raises(InterruptedError):
        classify("rows.csv", "-o", "labels.csv")
    assert [
        "not tested with this model: no recording has its answers to all of test",
        "11 rows: at most 10 calls, $0.1209 (estimated: no usage is recorded): classifier small 10 calls, "
        "about 87 tokens in and 1,200 out, $0.1209",
    ] == told(capsys)


def test_what_the_tests_have_recorded_is_said_with_its_interval(pytester, server, folder, capsys):
    (folder / "test_topics.py").write_text(TASK + EVALUATE)
    sentences(folder / "rows.csv", 1)
    pytester.runpytest("--live", f"--rootdir={folder}", str(folder)).assert_outcomes(passed=1)
    capsys.readouterr()
    os.chdir(folder)
    classify("rows.csv", "-o", "labels.csv")
    task = examples.task()
    result = pl.evaluate(task, "prompt", classifier=pl.Model("small", base_url=server.url))
    first = told(capsys)[0]
    assert first == f"on test: {', '.join(map(str, result.figures))}; n = 30"
    assert re.match(r"on test: macro F1 1\.000 \(0\.\d+ to 1\.000\), ", first)
    pl.save_prompt(pl.Prompt("Better!", "<", ">"), "other")
    classify("rows.csv", "-o", "other.csv", prompt="other")
    assert "not tested with this model: no recording has its answers to all of test" == told(capsys)[0]


def test_rows_with_the_same_text_are_asked_once(server, folder):
    (folder / "rows.jsonl").write_text("".join(f'{{"text": "Sentence {n % 5}"}}\n' for n in range(200)))
    classify("rows.jsonl", "-o", "labels.jsonl", "--replies")
    assert [0, 1, 2, 3, 4] == sorted(asked(server))
    found = [json.loads(line) for line in (folder / "labels.jsonl").read_text().splitlines()]
    assert [examples.LABELS[n % 5 % 2] for n in range(200)] == [row["label"] for row in found]
    assert "<label>food</label>" == found[1]["reply"]


def test_what_was_answered_is_not_asked_again(server, folder, capsys):
    """The same command, with the replies too, with more rows: only those are asked."""
    sentences(folder / "rows.csv", *range(20))
    classify("rows.csv", "-o", "labels.csv")
    once = (folder / "labels.csv").read_bytes()
    assert 0 == classify("rows.csv", "-o", "labels.csv")
    assert once == (folder / "labels.csv").read_bytes()
    assert "20 rows: no call is needed" == told(capsys)[-1]
    classify("rows.csv", "-o", "labels.csv", "--replies")
    assert 20 == len(server.bodies)
    sentences(folder / "rows.csv", *range(25))
    classify("rows.csv", "-o", "labels.csv")
    assert [*range(25)] == sorted(asked(server))


def test_a_changed_extractor_reads_the_kept_replies_again(server, folder):
    sentences(folder / "rows.csv", 1, 2)
    classify("rows.csv", "-o", "labels.csv")
    assert [("food", ""), ("weather", "")] == labels("labels.csv")
    changed = TASK.replace("brief=", "extract=lambda reply: 'food' if 'weather' in reply else None, brief=")
    (folder / "test_topics.py").write_text(changed)
    classify("rows.csv", "-o", "labels.csv")
    assert [("", "absent"), ("food", "")] == labels("labels.csv")
    assert 2 == len(server.bodies)


def test_bad_rows_are_named_and_collected_and_stop_nothing(server, folder, capsys):
    (folder / "rows.csv").write_bytes(b"id,text\n1,Sentence 1\n2,\n3,Sentence \xff3\n4,a,b\n5,Sentence 5\n")
    assert 0 == classify("rows.csv", "-o", "labels.csv")
    assert (
        b"id,text,label,reason\n1,Sentence 1,food,\n2,,,no text\n3,Sentence \xff3,,not UTF-8\n5,Sentence 5,food,\n"
        == (folder / "labels.csv").read_bytes()
    )
    bad = [json.loads(line) for line in (folder / "labels.csv.bad.jsonl").read_text().splitlines()]
    why = [
        "rows.csv, row 3: text is '', expected some text. Fill it in or drop the row.",
        "rows.csv, row 4: holds bytes that are not UTF-8",
        "rows.csv, row 5: 3 cells where the header has 2",
    ]
    assert list(zip([3, 4, 5], why, strict=True)) == [(row["row"], row["why"]) for row in bad]
    assert [None, None, "4,a,b"] == [row.get("raw") for row in bad]
    said = capsys.readouterr()
    assert (
        "promptlab: 3 of 5 rows are not asked (no text: 1, not UTF-8: 1, not a row: 1)"
        in said.err.splitlines()
    )
    assert all(f"promptlab:   {one}" in said.err.splitlines() for one in why)
    assert said.out.startswith(
        "labels.csv: 5 rows: food 2, without a label 3 (no text 1, not UTF-8 1, not a row 1)\n"
        "3 rows were not asked (1 without a place in the output): labels.csv.bad.jsonl says why\n"
    )
    (folder / "rows.csv").write_text("id,text\n1,Sentence 1\n")
    classify("rows.csv", "-o", "labels.csv")
    assert not (folder / "labels.csv.bad.jsonl").exists()


@pytest.mark.parametrize(
    ("columns", "more", "said"),
    [
        (
            "id,t",
            (),
            r"rows\.csv: no column 'text', which task 'topics' reads; it has 'id', 't'\. Rename the column",
        ),
        (
            "text,label",
            (),
            r"rows\.csv: has a column 'label' already, where the answers would go\. Rename it",
        ),
        ("text,reply", ("--replies",), r"rows\.csv: has a column 'reply' already"),
        ("text,id", ("-o", "labels.xls"), r"labels\.xls: expected a name that ends in \.csv"),
        ("text,id", ("-o", "none/labels.csv"), r"none/labels\.csv: there is no folder 'none'"),
        ("text,id", ("-o", "rows.csv"), r"rows\.csv: exists and was not written by this command"),
        ("text,id", ("-o", "topics.csv"), r"topics\.csv: exists and was not written by this command"),
        ("text,id", ("--profile", "x"), r"no profile 'x'"),
        ("text,id", ("--max-cost", "1"), r"the price of small is not known, so no cap can be kept"),
    ],
)
def test_what_cannot_be_done_is_refused_before_the_first_call(server, folder, capsys, columns, more, said):
    (folder / "rows.csv").write_text(f"{columns}\nSentence 1,x\n")
    before = sorted(folder.iterdir())
    assert 1 == classify("rows.csv", "-o", "labels.csv", *more)
    assert re.search(said, capsys.readouterr().err)
    assert [] == server.bodies
    assert before == sorted(path for path in folder.iterdir() if path.name not in ("__pycache__",))


def test_a_column_that_is_not_added_may_be_there(server, folder):
    (folder / "rows.csv").write_text("text,reply\nSentence 1,x\n")
    assert 0 == classify("rows.csv", "-o", "labels.csv")


def test_the_journal_of_another_prompt_is_refused(server, folder, capsys):
    sentences(folder / "rows.csv", 1)
    classify("rows.csv", "-o", "labels.csv")
    pl.save_prompt(pl.Prompt("Better", "<", "?"), "prompt")
    assert 1 == classify("rows.csv", "-o", "labels.csv")
    assert (
        "labels.csv.journal: holds the replies to other calls: suffix.md of the prompt."
        in capsys.readouterr().err
    )
    assert 1 == len(server.bodies)


def refusing(body):
    """Refuse some texts, and one prompt; say a key."""
    turn = body["messages"][-1]["content"]
    if "bad" in turn or "refuse" in body["system"]:
        said = {"type": "invalid_request_error", "message": f"too long {KEY}"}
        return 400, {}, {"type": "error", "error": said}
    return f"{examples.answer(body)} {KEY}"


REFUSING = pytest.mark.parametrize("answer", [refusing])


@REFUSING
def test_what_the_api_refuses_is_rejected_and_stops_nothing(server, folder):
    """Each refused text is asked twice and then answered for good, wherever it stands."""
    (folder / "rows.csv").write_text("text\nSentence 1 bad\n" + "".join(f"Sentence {n}\n" for n in range(9)))
    assert 0 == classify("rows.csv", "-o", "labels.csv")
    assert [("", "rejected"), *((examples.LABELS[n % 2], "") for n in range(9))] == labels("labels.csv")
    assert 11 == len(server.bodies)
    classify("rows.csv", "-o", "labels.csv")
    assert 11 == len(server.bodies)


@REFUSING
def test_a_prompt_that_is_refused_stops_at_once(server, folder, capsys):
    pl.save_prompt(pl.Prompt("refuse"), "other")
    sentences(folder / "rows.csv", *range(100))
    assert 1 == classify("rows.csv", "-o", "labels.csv", prompt="other")
    assert 20 > len(server.bodies)
    error = capsys.readouterr().err.splitlines()[-1]
    assert re.match(
        r"promptlab: task 'topics', rows\.csv, row \d+: http://.* with status 400: .*too long \[mas", error
    )
    assert not (folder / "labels.csv").exists()


@REFUSING
def test_nothing_that_is_written_holds_a_key(server, folder, capsys):
    texts = [f"Sentence 1 \t{KEY}", f"Sentence 2 bad {KEY}", "Sentence 3"]
    (folder / "rows.jsonl").write_text(
        "".join(json.dumps({"text": text}) + "\n" for text in texts) + f"[{KEY}"
    )
    given = {path for path in folder.rglob("*") if path.is_file()}
    pl.save_prompt(pl.Prompt(f"Better {KEY}"), "other")
    given |= {folder / "other/system.md"}
    assert 0 == classify("rows.jsonl", "-o", "labels.jsonl", "--replies", prompt="other")
    written = {path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"} - given
    assert {"labels.jsonl", "labels.jsonl.journal", "labels.jsonl.bad.jsonl"} == {
        path.name for path in written
    }
    said = capsys.readouterr()
    for text in (said.out, said.err, *(path.read_bytes().decode(errors="replace") for path in written)):
        without_rows = text.replace(json.dumps(texts[0]), "").replace(json.dumps(texts[1]), "")
        assert KEY not in without_rows
    rows = [json.loads(line) for line in (folder / "labels.jsonl").read_text().splitlines()]
    assert texts == [row["text"] for row in rows]  # the user's own, as they came
    assert ["food", None, "food"] == [row["label"] for row in rows]


def test_a_cap_is_kept_and_the_same_command_goes_on(server, folder, capsys):
    with (folder / "pyproject.toml").open("a") as file:
        file.write("\n[tool.promptlab.prices.small]\ninput = 0\noutput = 1000\n")  # at most $1.024 a call
    sentences(folder / "rows.csv", *range(30))
    assert 1 == classify("rows.csv", "-o", "labels.csv", "--max-cost", "1.06")
    assert 1 <= len(server.bodies) < 30
    error = capsys.readouterr().err.splitlines()
    assert (
        f"promptlab: {len(server.bodies)} replies are kept in labels.csv.journal: the same command goes on"
        == error[-2]
    )
    assert error[-1].startswith("promptlab: of the budget of $1.06, $")
    assert 0 == classify("rows.csv", "-o", "labels.csv", "--max-cost", "2")
    assert [*range(30)] == sorted(asked(server))


@pytest.mark.parametrize("output", ["labels.tsv", "labels.jsonl", "labels.parquet"])
def test_two_columns_of_one_name_stay_in_lines_alone(server, folder, capsys, output):
    (folder / "rows.csv").write_text("text,x,x\nSentence 1,1,2\n")
    assert 1 == classify("rows.csv", "-o", output)
    assert f"rows.csv: has two columns 'x', which {output} cannot have: rename one" in capsys.readouterr().err
    assert [] == server.bodies
    assert 0 == classify("rows.csv", "-o", "labels.csv")
    assert (folder / "labels.csv").read_text().endswith("\nSentence 1,1,2,food,\n")


# -- stopped ---------------------------------------------------------------------------------------


def command(*arguments):
    """Start the command in a process of its own, at full pace from the first call; a busy machine has time."""
    code = "import sys; from promptlab import cli; from promptlab.models import client, pacing; "
    code += "pacing.START, client.GRACE = 1e6, 60.0; sys.exit(cli.main(sys.argv[1:]))"
    asking = ["classify", "test_topics.py:task", "--prompt", "prompt", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", code, *asking],
        env=environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def begun(server, calls, process):
    """Wait until so many calls more have been made, or the process has ended."""
    wanted = len(server.bodies) + calls
    while len(server.bodies) < wanted and process.poll() is None:
        time.sleep(0.001)


def killed(server, rows, calls):
    """Kill the command again and again, each time after so many calls; return how often it was killed."""
    for number, count in enumerate(calls):
        with command(rows, "-o", "labels.csv") as process:
            begun(server, count, process)
            process.send_signal(signal.SIGKILL)
        if process.returncode != -signal.SIGKILL:
            return number
    return len(calls)


def check_nothing_is_lost(server, rows, count, kills):
    """What was in flight at a kill is asked again, at most; the output is that of a run that nobody stopped."""
    with command(rows, "-o", "labels.csv") as process:
        error = process.communicate()[1]
    assert 0 == process.returncode, error
    times = [asked(server).count(number) for number in range(count)]
    assert min(times) == 1
    assert sum(times) - count <= 16 * kills
    assert [(examples.LABELS[n % 2], "") for n in range(count)] == labels("labels.csv")
    assert [] == [
        path.name
        for path in Path().glob("labels.csv*")
        if path.name not in ("labels.csv", "labels.csv.journal")
    ]


def test_a_killed_command_goes_on(server, folder):
    sentences(folder / "rows.csv", *range(400))
    assert 1 == killed(server, "rows.csv", [100])
    check_nothing_is_lost(server, "rows.csv", 400, 1)


@pytest.mark.thorough
def test_a_command_that_is_killed_twenty_times_goes_on(server, folder):
    """At the first call, in the middle, and while the output is written."""
    sentences(folder / "rows.csv", *range(3000))
    kills = killed(server, "rows.csv", [1, 2, 17, *(40 + 13 * n for n in range(17))])
    assert 20 == kills
    check_nothing_is_lost(server, "rows.csv", 3000, kills)


@pytest.mark.thorough
def test_a_command_that_is_killed_while_it_writes_leaves_the_old_output(server, folder):
    sentences(folder / "rows.csv", *range(200))
    assert 0 == classify("rows.csv", "-o", "labels.csv")
    whole = (folder / "labels.csv").read_bytes()
    began = time.monotonic()
    with command("rows.csv", "-o", "labels.csv") as process:
        process.wait()
    took = time.monotonic() - began
    for share in range(20):
        with command("rows.csv", "-o", "labels.csv") as process:
            time.sleep(took * (0.6 + 0.02 * share))
            process.kill()
        assert whole == (folder / "labels.csv").read_bytes()
    assert 200 == len(server.bodies)


def test_ctrl_c_keeps_what_is_in_flight(folder):
    """No new call is begun, and the replies to those under way are kept."""
    inside, go = threading.Semaphore(0), threading.Event()

    def answer(body):
        if examples.answer(body) and "Sentence 0 " not in body["messages"][-1]["content"]:
            inside.release()
            go.wait(10)
        return examples.answer(body)

    sentences(folder / "rows.csv", *range(100))
    with serving(answer) as server:
        connect(folder, server.url)
        with command("rows.csv", "-o", "labels.csv") as process:
            for _ in range(16):
                assert inside.acquire(timeout=60)
            process.send_signal(signal.SIGINT)
            time.sleep(0.2)
            go.set()
            error = process.communicate()[1]
    assert 130 == process.returncode
    assert (
        "promptlab: 17 replies are kept in labels.csv.journal: the same command goes on"
        == error.splitlines()[-1]
    )
    assert 17 == len(server.bodies)


def test_a_second_process_on_one_journal_is_refused(folder):
    go = threading.Event()

    def answer(body):
        go.wait(60)
        return examples.answer(body)

    sentences(folder / "rows.csv", *range(3))
    with serving(answer) as server:
        connect(folder, server.url)
        with command("rows.csv", "-o", "labels.csv") as process:
            begun(server, 1, process)
            with command("rows.csv", "-o", "labels.csv") as second:
                error = second.communicate()[1]
            go.set()
            process.communicate()
    assert 1 == second.returncode
    assert (
        "labels.csv.journal: another process labels into it. Wait for it or stop it; no call was made"
        in error
    )
    assert 0 == process.returncode
    assert 3 == len(server.bodies)
