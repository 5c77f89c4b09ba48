"""Message Batches against a synthetic server that has the documented faults, and counts what was paid."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pandas
import pytest

import promptlab as pl
from promptlab import cli
from promptlab.bulk import batches
from promptlab.errors import DataError
from promptlab.models import catalog, message_batches
from promptlab.models.messages_api import plain
from promptlab.models.spending import dollars
from promptlab.records import Model, Price, Reply

from .. import examples
from ..conftest import ROOT as ROOT_FOLDER
from ..server import serving
from .batch_server import ROOT, Sent, errored, serving_batches

PROFILE = """
[tool.promptlab]
live = "local"

[tool.promptlab.profiles.local]
base_url = "{url}"
classifier = {{ name = "claude-haiku-5-5", max_tokens = 100 }}
critic = {{ name = "large" }}
"""
ROWS = 20


COMMAND = ("classify", "test_topics.py:task", "rows.csv", "--prompt", "prompt", "-o", "labels.csv")


def write_rows(folder, rows=ROWS):
    """Write sentences."""
    (folder / "rows.csv").write_text("text\n" + "".join(f"Sentence {n}\n" for n in range(rows)))


@pytest.fixture
def server(folder, monkeypatch):
    """Serve batches, and name the server in the project's profile."""
    for name in ("POLLED", "SELDOM", "SETTLED"):
        monkeypatch.setattr(batches, name, 0.01)
    monkeypatch.setattr(message_batches, "LONGEST_WAIT", 0.01)
    with serving_batches() as served:
        (folder / "pyproject.toml").write_text(PROFILE.format(url=served.url))
        write_rows(folder)
        yield served


def label(*more, batch=True):
    return cli.main([*COMMAND, *(["--batch"] if batch else []), *more])


def labels():
    return Path("labels.csv").read_text(encoding="utf-8").splitlines()[1:]


def open_batches():
    with sqlite3.connect("labels.csv.journal") as db:
        (count,) = db.execute("SELECT count(*) FROM batches").fetchone()
    db.close()
    return count


RIGHT = [f"Sentence {n},{examples.LABELS[n % 2]}," for n in range(ROWS)]


def check(server):
    """All rows have the label that they should have, and nothing was paid twice."""
    assert RIGHT == labels()
    assert [] == server.twice
    assert ROWS == server.paid.total()
    assert 0 == open_batches()


def creations(server):
    return server.asked.count(f"POST {ROOT}")


def test_a_batch_is_sent_polled_and_collected(server):
    server.polls = 3
    assert 0 == label()
    check(server)
    assert 1 == len(server.sent)
    assert not [path for path in server.asked if path == "POST /v1/messages"]


def test_the_calls_are_those_of_the_live_path(server, tmp_path):
    label()
    in_batch = [one["params"] for one in server.sent[0].requests]
    (tmp_path / "labels.csv").unlink()
    (tmp_path / "labels.csv.journal").unlink()
    with serving(lambda body: examples.answer(plain(body))) as live:
        (tmp_path / "pyproject.toml").write_text(PROFILE.format(url=live.url))
        label(batch=False)
    each = (sorted(json.dumps(body, sort_keys=True) for body in bodies) for bodies in (live.bodies, in_batch))
    assert next(each) == next(each)
    assert RIGHT == labels()


def test_a_call_is_named_by_the_hash_that_the_journal_has(server):
    label()
    with sqlite3.connect("labels.csv.journal") as db:
        keys = {bytes(key).hex() for (key,) in db.execute("SELECT key FROM replies")}
    db.close()
    assert keys == {one["custom_id"] for one in server.sent[0].requests}


def test_the_plan_and_what_was_spent_are_at_half_the_price(server, capsys):
    def outcome(batch, params):
        done = good(batch, params)
        done["message"]["usage"] = {"input_tokens": 5_000, "output_tokens": 1_000}
        return done

    good, server.outcome = server.outcome, outcome
    label()
    said = capsys.readouterr()
    full = dollars(Model("claude-haiku-5-5"), Reply("", "end_turn", (), "", 5_000 * ROWS, 1_000 * ROWS))
    assert f"20 calls, 100,000 tokens in, 20,000 out, ${full / 2:.4f}\n" in said.out
    assert f"{ROWS} rows in Message Batches, at half the price: at most {ROWS} calls, $" in said.err


@pytest.mark.parametrize("name", ["claude-haiku-5-5", "claude-sonnet-5-5"])
def test_cached_tokens_and_long_requests_are_at_half_their_price(name):
    model = Model(name)
    for size in (10, 200_000):
        one = Reply(
            "", "end_turn", (), "", size, 7, cache_write_tokens=size // 4, cache_read_tokens=size // 2
        )
        assert dollars(catalog.batched(model), one) == pytest.approx(dollars(model, one) / 2)


def test_a_price_of_one_s_own_is_halved_and_none_stays_unknown():
    assert Price(1, 2) == catalog.batched(Model("m", price=Price(2, 4))).price
    assert catalog.batched(Model("m")).price is None


def test_batches_have_so_many_calls_at_most_and_several_are_under_way(server, monkeypatch):
    monkeypatch.setattr(batches, "MOST", 6)
    server.polls = 4
    label()
    check(server)
    assert [6, 6, 6, 2] == [len(one.requests) for one in server.sent]
    first_poll = next(n for n, path in enumerate(server.asked) if path.startswith(f"GET {ROOT}/"))
    assert 4 == server.asked[:first_poll].count(f"POST {ROOT}")


def test_no_more_are_under_way_than_that(server, monkeypatch):
    monkeypatch.setattr(batches, "MOST", 3)
    monkeypatch.setattr(batches, "UNDER_WAY", 2)
    open_ones = []
    server.before_create = lambda _: open_ones.append(sum(one.polls > 0 for one in server.sent))
    label()
    check(server)
    assert 2 > max(open_ones)


def test_bytes_are_counted_as_they_are_sent(server, monkeypatch, tmp_path):
    monkeypatch.setattr(batches, "LARGEST", 1_500)
    rows = [f"Sentence {n} \u20ac \u2028 {'x' * (n * 7 % 50)}" for n in range(ROWS)]
    (tmp_path / "rows.csv").write_text("text\n" + "".join(f"{row}\n" for row in rows), encoding="utf-8")
    label()
    assert ROWS == server.paid.total()
    assert 1 < len(server.sent)
    assert 1_500 >= max(one.bytes for one in server.sent)
    for one, following in zip(server.sent, server.sent[1:], strict=False):
        next_piece = json.dumps(following.requests[0], ensure_ascii=False, separators=(",", ":")).encode()
        assert one.bytes <= 1_500 < one.bytes + 1 + len(next_piece)


def test_results_in_any_order_and_of_any_kind_lead_to_all_labels(server):
    kinds = ["expired", errored("overloaded_error"), errored("api_error"), errored("rate_limit_error")]

    def outcome(batch, params):
        number = int(params["messages"][-1]["content"].split()[1].strip(">"))
        return kinds[number % 5] if batch == 0 and number % 5 < 4 else good(batch, params)

    good, server.outcome = server.outcome, outcome
    label()
    check(server)
    assert [20, 16] == [len(one.requests) for one in server.sent]


def test_what_fails_again_and_again_is_an_error_in_the_end(server, capsys):
    good = server.outcome

    def outcome(batch, params):
        return errored("overloaded_error", "busy") if "Sentence 7>" in str(params) else good(batch, params)

    server.outcome = outcome
    assert 1 == label()
    said = capsys.readouterr().err
    assert (
        "no answer in 5 batches to 1 calls (1 overloaded_error): rows.csv, row 9: overloaded_error: 'busy'"
        in said
    )
    assert "19 replies are kept in labels.csv.journal: the same command goes on" in said
    server.outcome = good
    assert 0 == label()
    check(server)


def test_a_canceled_batch_stops_the_command_and_the_next_one_goes_on(server, capsys):
    """Somebody cancels it in the Console, while it is in progress."""

    def cancel(batch):
        server.before_poll = lambda _: None
        url = f"{server.url}{ROOT}/{batch.id}/cancel"
        with urllib.request.urlopen(urllib.request.Request(url, b"", method="POST")) as answer:
            assert "canceling" == json.load(answer)["processing_status"]

    server.before_poll, server.polls = cancel, 3
    assert 1 == label()
    said = capsys.readouterr().err
    assert "batch 1: 10 answered, 10 canceled; 10 of 20 calls are done" in said
    assert "batch 1 (msgbatch_0000): it was canceled; the same command sends these calls again" in said
    assert 1 == creations(server)
    assert 0 == label()
    check(server)


def test_a_call_that_is_refused_for_good_is_rejected(server):
    good = server.outcome

    def outcome(batch, params):
        refused = errored("invalid_request_error", "prompt is too long")
        return refused if "Sentence 7>" in str(params) else good(batch, params)

    server.outcome = outcome
    assert 0 == label("--replies")
    assert "Sentence 6,weather,,<label>weather</label>" == labels()[6]
    assert "Sentence 7,,rejected,prompt is too long" == labels()[7]
    assert 1 == creations(server)


def test_where_all_are_refused_the_prompt_is_to_blame_and_nothing_is_kept(server, capsys):
    good = server.outcome
    server.outcome = lambda batch, params: errored("invalid_request_error", "max_tokens: too large")
    assert 1 == label()
    said = capsys.readouterr().err
    assert (
        "invalid_request_error: 'max_tokens: too large'. No call was answered: the prompt, or the model"
        in said
    )
    server.outcome = good
    assert 0 == label()
    check(server)


@pytest.mark.parametrize(
    "result",
    [errored("billing_error"), errored("invalid_request_error", "Your credit balance is too low")],
)
def test_an_account_without_money_stops_the_command(server, result):
    good = server.outcome
    server.outcome = lambda batch, params: result if "Sentence 7>" in str(params) else good(batch, params)
    assert 1 == label()
    assert 1 == creations(server)
    server.outcome = good
    assert 0 == label()
    check(server)


def test_what_is_no_message_is_not_kept(server):
    good = server.outcome

    def outcome(batch, params):
        done = good(batch, params)
        return done | {"message": {"content": "hello"}} if batch == 0 and "7>" in str(params) else done

    server.outcome = outcome
    assert 0 == label()
    assert RIGHT == labels()


def test_a_key_in_a_reply_is_masked(server):
    planted = f"sk-{'ant'}-api03-{'Zq9' * 20}"
    good = server.outcome

    def outcome(batch, params):
        done = good(batch, params)
        done["message"]["content"][0]["text"] += planted
        return done

    server.outcome = outcome
    assert 0 == label()
    assert RIGHT == labels()
    for path in ("labels.csv", "labels.csv.journal"):
        assert b"Zq9" * 5 not in Path(path).read_bytes()


# -- creating ---------------------------------------------------------------------------------


def test_a_batch_that_is_too_large_for_the_server_is_sent_in_parts(server):
    server.largest = 1_400
    assert 0 == label()
    check(server)
    assert 1_400 >= max(one.bytes for one in server.sent)


def test_a_batch_that_is_too_large_leaves_those_under_way_alone(server, monkeypatch):
    monkeypatch.setattr(batches, "MOST", 5)
    long = {7: " x" * 200}
    Path("rows.csv").write_text("text\n" + "".join(f"Sentence {n}{long.get(n, '')}\n" for n in range(ROWS)))
    server.polls, server.largest = 3, 1_500
    assert 0 == label()
    assert [] == server.twice
    assert ROWS == server.paid.total()


def test_a_budget_is_settled_once_where_a_batch_is_interrupted(server, monkeypatch):
    async def interrupted(self, pieces):
        raise asyncio.CancelledError

    monkeypatch.setattr(message_batches.Batches, "create", interrupted)
    budget = pl.Budget(1.0)
    model = Model("claude-haiku-5-5", max_tokens=100, base_url=server.url)
    frame, settings = pandas.DataFrame({"text": ["Sentence 1"]}), {"api_key": "k", "max_cost": budget}
    with pytest.raises(asyncio.CancelledError):
        pl.classify(examples.task(), "prompt", frame, classifier=model, journal="j", batch=True, **settings)
    assert budget.spent > 0
    assert pytest.approx(1.0) == budget.left + budget.spent


def test_one_call_that_is_too_large_for_the_server_is_rejected(server, tmp_path):
    server.largest = 1_400
    (tmp_path / "rows.csv").write_text("text\nSentence 0\n" + "Sentence 1" + "x" * 2_000 + "\nSentence 2\n")
    assert 0 == label()
    assert ["weather,", ",rejected", "weather,"] == [row.partition(",")[2] for row in labels()]
    assert [] == server.twice


def test_a_batch_is_on_the_disk_before_it_is_sent(server, monkeypatch):
    """A power failure costs the last commits of a journal, unless SQLite waits for the disk: level 2."""
    levels = []

    def begun(intents, now, calls):
        levels.append(intents._db.execute("PRAGMA synchronous").fetchone()[0])
        return begin(intents, now, calls)

    begin = batches.Intents.begin
    monkeypatch.setattr(batches.Intents, "begin", begun)
    assert 0 == label()
    assert [2] == levels


@pytest.mark.parametrize("status", [429, 500, 529])
def test_a_server_that_takes_no_batch_for_now_is_asked_again(server, status):
    server.on_create = [status, status]
    assert 0 == label()
    check(server)
    assert 3 == creations(server)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_credential_stops_the_command_and_nothing_is_under_way(server, status):
    server.on_create = [status]
    assert 1 == label()
    assert 0 == open_batches()
    assert 0 == label()
    check(server)


def test_a_server_that_refuses_the_batch_is_quoted(server, monkeypatch, capsys):
    monkeypatch.setattr(message_batches, "piece", lambda key, request: b'{"custom_id":"a","params":{}}')
    assert 1 == label()
    said = capsys.readouterr().err
    assert "answered a call to claude-haiku-5-5 with status 400: " in said
    assert "requests: custom_id must be unique" in said
    assert 0 == open_batches()


@pytest.mark.parametrize("fault", ["accept, cut", "accept, 504"])
def test_a_batch_whose_answer_is_lost_is_found_and_not_sent_again(server, fault):
    server.on_create, server.polls = [fault], 3
    assert 0 == label()
    check(server)
    assert 1 == creations(server)


def test_a_batch_that_was_not_created_is_sent_again(server):
    server.on_create = ["cut"]
    assert 0 == label()
    check(server)
    assert 2 == creations(server)


def test_a_server_that_never_answers_is_an_error_in_the_end(server, capsys):
    server.on_create = ["cut"] * 5
    assert 1 == label()
    assert "no answer in 5 batches to 20 calls (20 not sent): http://127.0.0.1:" in capsys.readouterr().err
    assert 0 == label()
    check(server)


def test_a_lost_batch_is_found_among_those_of_other_people(server, monkeypatch):
    """Some have as many calls, are in progress for longer, or are older, and a page does not hold all."""
    monkeypatch.setattr(message_batches, "PAGE", 2)

    def others(body):
        server.before_create = lambda _: None
        for polls in (0, 9, 0):
            server.foreign(ROWS, polls)
            server.foreign(ROWS + 1, polls)

    server.foreign(ROWS, created=1.0)
    server.before_create = others
    server.on_create, server.polls = ["accept, cut"], 4
    assert 0 == label()
    check(server)
    assert 1 == creations(server)
    looked_at = [path[-1] for path in server.asked if path.startswith(f"GET {ROOT}/msgbatch_other")]
    assert {"1", "3", "5"} >= {*looked_at} - {
        "s"
    }  # not the older one, nor those with another number of calls


def test_a_batch_of_others_with_some_of_the_calls_is_not_taken_for_ours(server):
    def accept(requests, size):
        batch = accepted(requests, size)
        results = [{"custom_id": one["custom_id"], "result": {"type": "expired"}} for one in requests]
        results[-1] = results[-1] | {"custom_id": "f" * 64}
        server.add(Sent("msgbatch_other", 0.0, [], results))  # the newest, which is looked at first
        return batch

    accepted, server.accept = server.accept, accept
    server.on_create = ["accept, cut"]
    assert 0 == label()
    check(server)
    assert 1 == creations(server)


def test_while_a_batch_of_others_may_be_ours_nothing_is_sent(server, monkeypatch):
    monkeypatch.setattr(batches, "MOST", 8)

    def others(body):
        server.before_create = lambda _: None
        server.foreign(8, 6)

    server.before_create = others
    server.on_create = ["cut"]
    assert 0 == label()
    check(server)
    first, second, *_ = (n for n, path in enumerate(server.asked) if path == f"POST {ROOT}")
    assert 6 == len([path for path in server.asked[first:second] if path == f"GET {ROOT}/msgbatch_other0"])


def test_a_batch_that_is_created_late_is_found(server, monkeypatch):
    """The server had all of it when the connection broke, and creates it while the command waits."""
    late = []

    async def sleep(seconds):
        if seconds == batches.SETTLED:
            server.accept(late.pop())

    monkeypatch.setattr(batches, "SETTLED", 60.0)
    send = batches.send
    monkeypatch.setattr(batches, "send", lambda *args, **settings: send(*args, sleep=sleep, **settings))
    server.before_create = lambda body: late.append(body["requests"])
    server.on_create = ["cut"]
    assert 0 == label()
    check(server)
    assert 1 == creations(server)


@pytest.mark.parametrize("ahead", [-86_400.0, 86_400.0])
def test_a_lost_batch_is_found_by_the_server_s_clock(server, ahead):
    server.ahead = ahead
    server.on_create = ["accept, cut"]
    assert 0 == label()
    check(server)
    assert 1 == creations(server)


# -- collecting -------------------------------------------------------------------------------


def test_results_that_break_off_are_read_again(server):
    server.cut_results = 3
    good = server.outcome
    server.outcome = lambda batch, params: (
        "expired" if batch == 0 and "1>" in str(params) else good(batch, params)
    )
    assert 0 == label()
    check(server)


def test_results_that_are_not_all_are_read_again(server):
    server.short_results = 2
    assert 0 == label()
    check(server)
    assert 1 == creations(server)


def test_results_that_always_break_off_are_an_error_and_nothing_is_lost(server, capsys):
    server.cut_results = 6
    assert 1 == label()
    said = capsys.readouterr().err
    assert "the results of batch 'msgbatch_0000' broke off" in said
    assert "20 calls are under way in 1 Message Batch: the same command collects them" in said
    assert 0 == label()
    check(server)


@pytest.mark.parametrize("gone", [{"archived": True}, {"created": 1.0}])
def test_results_that_are_no_longer_kept_are_asked_for_again(server, capsys, gone):
    server.cut_results = 6
    label()
    vars(server.sent[0]).update(gone)
    assert 0 == label()
    assert f"batch 1: {ROWS} no longer kept; 0 of {ROWS} calls are done" in capsys.readouterr().err
    assert RIGHT == labels()


def test_results_of_calls_that_are_not_ours_are_ignored(server):
    add = server.add

    def added(batch):
        batch.results[3:3] = [
            {"custom_id": name, "result": batch.results[0]["result"]} for name in ("x", "00", "f" * 64)
        ]
        return add(batch)

    server.add = added
    assert 0 == label()
    check(server)


def test_a_batch_that_the_server_does_not_know_stops_the_command(server, capsys):
    server.cut_results = 6
    label()
    lost = server.sent.pop()
    assert 1 == label()
    said = capsys.readouterr().err
    assert "batch 1 (msgbatch_0000) was sent with a key of another workspace, or it was deleted" in said
    assert 1 == creations(server)
    server.sent.append(lost)
    assert 0 == label()
    check(server)


def test_a_deleted_batch_is_forgotten_as_the_error_says(server):
    server.cut_results = 6
    label()
    del server.sent[:]
    with sqlite3.connect("labels.csv.journal") as db:
        db.execute("DELETE FROM batches WHERE id = 'msgbatch_0000'")
    db.close()
    assert 0 == label()
    assert RIGHT == labels()


def test_a_journal_of_calls_under_way_is_not_taken_for_others(server, capsys):
    server.cut_results = 6
    label()
    Path("prompt/system.md").write_text("Better still")
    assert 1 == label()
    assert "holds the replies to other calls: system.md of the prompt." in capsys.readouterr().err
    assert 1 == open_batches()


def test_calls_under_way_are_not_made_one_by_one(server, capsys):
    server.cut_results = 6
    label()
    assert 1 == label(batch=False)
    said = capsys.readouterr().err
    assert "labels.csv.journal: 20 calls are under way in 1 Message Batch, which are paid" in said
    assert 0 == label()
    check(server)
    assert 0 == label(batch=False)


# -- money ------------------------------------------------------------------------------------


def test_the_worst_case_of_what_is_under_way_never_exceeds_the_cap(server, capsys):
    """At half the price: with max_tokens = 100, and a token a byte at the rate of writing to the cache."""
    cap, under_way = 0.0002, []

    def worst(params):
        return (len(json.dumps(params).encode()) * 0.125 + 100 * 0.50) / 2 / 1e6

    def before_create(body):
        reserved = sum(worst(one["params"]) for one in body["requests"])
        paid = server.paid.total() * (10 * 0.10 + 5 * 0.50) / 2 / 1e6
        under_way.append(reserved + paid)

    server.before_create = before_create
    assert 0 == label("--max-cost", str(cap))
    check(server)
    assert 1 < len(server.sent) < ROWS
    assert cap >= max(under_way)
    assert 0.6 * cap < max(under_way)


def test_where_no_call_has_room_the_command_stops(server, capsys):
    assert 1 == label("--max-cost", "0.0000001")
    assert "and the next call to claude-haiku-5-5 may cost $" in capsys.readouterr().err
    assert 0 == creations(server)


# -- around it --------------------------------------------------------------------------------


def test_a_server_without_batches_is_named_with_the_way_out(tmp_path, server, capsys):
    with serving(examples.answer) as plain:
        (tmp_path / "pyproject.toml").write_text(PROFILE.format(url=plain.url))
        assert 1 == label()
    assert (
        f"promptlab: {plain.url} has no Message Batches: leave --batch (batch=True) out, and the calls are "
        "made one by one\n"
    ) in capsys.readouterr().err
    assert [] == plain.bodies


def test_a_frame_is_labelled_in_batches_with_a_journal(server):
    frame = pandas.DataFrame({"text": ["Sentence 1", "Sentence 2"]})
    model = examples.model(server.url)
    with pytest.raises(DataError, match=r"batch=True needs a journal.*journal='FILE'"):
        pl.classify(examples.task(), "prompt", frame, classifier=model, batch=True)
    done = pl.classify(examples.task(), "prompt", frame, classifier=model, batch=True, journal="a.journal")
    assert ["food", "weather"] == list(done["label"])
    assert 1 == creations(server)


def test_polls_become_rarer_until_something_ends(server, monkeypatch):
    monkeypatch.setattr(batches, "POLLED", 5.0)
    monkeypatch.setattr(batches, "SELDOM", 60.0)
    waited = []

    async def sleep(seconds):
        waited.append(seconds)

    send = batches.send
    monkeypatch.setattr(batches, "send", lambda *args, **settings: send(*args, sleep=sleep, **settings))
    server.polls = 9
    assert 0 == label()
    check(server)
    assert [5.0, 7.5, 11.25] == waited[:3]
    assert 60.0 == waited[-1]
    assert sorted(waited) == waited


# -- killed -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def commands():
    """Run commands in processes of their own, which are forked where everything is loaded already."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.bulk.killable"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT_FOLDER,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
    ) as process:
        yield process
        process.stdin.close()
        process.wait(30)


def start(commands, folder, *more):
    """Start the command; return the id of its process."""
    commands.stdin.write(json.dumps([str(folder), [*COMMAND, "--batch", *more]]) + "\n")
    commands.stdin.flush()
    return int(commands.stdout.readline())


def ended(commands):
    """Wait until the process that was started has ended; return its exit status, or minus the signal."""
    return int(commands.stdout.readline())


@pytest.mark.parametrize(
    ("stage", "under_way", "paid"),
    [("arrival", 1, 0), ("create", 1, 8), ("poll", 3, ROWS), ("results", 3, ROWS)],
)
def test_killed_at_any_stage_it_pays_nothing_twice(server, commands, tmp_path, stage, under_way, paid):
    reached = server.hold(stage)
    process = start(commands, tmp_path)
    assert reached.wait(30)
    os.kill(process, signal.SIGKILL)
    assert -signal.SIGKILL == ended(commands)
    assert (under_way, paid) == (open_batches(), server.paid.total())
    server.release()
    assert 0 == label()
    check(server)


def test_interrupted_it_says_what_is_under_way(server, commands, tmp_path):
    server.polls = 10_000
    reached = server.hold("poll")
    process = start(commands, tmp_path)
    assert reached.wait(30)
    os.kill(process, signal.SIGINT)
    assert 0 != ended(commands)
    said = (tmp_path / "said.txt").read_text()
    assert "promptlab: 20 calls are under way in 3 Message Batches: the same command collects them\n" in said
    server.release()
    for one in server.sent:
        one.polls = 0
    assert 0 == label()
    check(server)


@pytest.mark.thorough
def test_killed_a_dozen_times_it_pays_nothing_twice(server, commands, tmp_path, monkeypatch):
    draw = random.Random(7)
    rows = 400
    write_rows(tmp_path, rows)
    good = server.outcome
    server.outcome = lambda batch, params: "expired" if draw.random() < 0.1 else good(batch, params)
    kills = 0
    while kills < 12:
        server.polls = draw.randrange(50, 300)  # so that it is killed on a fast machine too
        server.on_create = draw.choices([None, "accept, cut", "cut", 429], k=3)
        process = start(commands, tmp_path, "--max-cost", "0.004")
        time.sleep(draw.uniform(0.1, 0.8))
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
        if ended(commands) == 0:
            break
        kills += 1
    server.on_create, server.polls = [], 1
    assert 0 == label()
    assert [f"Sentence {n},{examples.LABELS[n % 2]}," for n in range(rows)] == labels()
    assert [] == server.twice
    assert 12 == kills
