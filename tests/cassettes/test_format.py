"""Files of recorded calls: both formats, what they share, and what later kinds of entries look like."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from dataclasses import replace

import pytest

from promptlab import cli
from promptlab.cassettes import format as files
from promptlab.cassettes import recorder
from promptlab.cassettes.format import Origin
from promptlab.errors import RecordingError
from promptlab.models.client import Client
from promptlab.records import Request

from ..conftest import ROOT
from ..examples import model
from ..server import serving

COMMITTED = files.recordings(ROOT / "cassettes")
OLD = [path for path in COMMITTED if files.read_header(path)["promptlab"] == 1]


def ask(url, requests):
    async def go():
        async with Client(api_key="none-needed") as client:
            asked = [replace(one, model=model(url)) for one in requests]
            return await client.ask_all((one, "a call") for one in asked)

    return asyncio.run(go())


def request(text, system="system", demonstrations=()):
    return Request(model(""), system, (*demonstrations, ("user", text)))


def echo(body):
    return body["messages"][-1]["content"]


def recorded(path, requests, origin=files.UNKNOWN, mode="live", answer=echo):
    with serving(answer) as server:
        with recorder.use(path, mode=mode, record_with="", origin=origin):
            return ask(server.url, requests)


def replayed(path, requests):
    with recorder.use(path, mode="replay", record_with=""):
        return ask("http://127.0.0.1:9", requests)


def test_the_committed_recordings_are_read_and_sound():
    assert len(COMMITTED) >= 9
    assert [] == [problem for path in COMMITTED for problem in files.problems(path)]


@pytest.mark.parametrize("path", OLD, ids=lambda path: path.stem)
def test_upgrading_keeps_every_call_and_says_so_once(path, tmp_path, capsys):
    copy = tmp_path / path.name
    shutil.copy(path, copy)
    before = files.read(copy)
    assert 0 == cli.main(["cassettes", "upgrade", str(tmp_path)])
    assert "1 of 1 rewritten in format 2" in capsys.readouterr().out
    after = files.read(copy)
    assert before.calls == after.calls
    kept = ("answered_by", "server", "recorded", "versions", "dropped")
    assert {name: before.header[name] for name in kept} == {name: after.header[name] for name in kept}
    assert [] == list(files.problems(copy))
    upgraded = copy.read_bytes()
    assert 0 == cli.main(["cassettes", "upgrade", str(copy)])
    assert "0 of 1 rewritten in format 2" in capsys.readouterr().out
    assert upgraded == copy.read_bytes()
    assert len(upgraded) < path.stat().st_size


def test_a_prompt_is_kept_once_however_many_calls_there_are(tmp_path):
    turns = (("user", "shown " * 100), ("assistant", "answered " * 100))
    sizes = {}
    for length in (1_000, 9_000):
        path = tmp_path / f"{length}.jsonl"
        asked = [request(f"text {n}", "s" * length, turns) for n in range(20)]
        live = recorded(path, asked)
        assert live == replayed(path, asked)
        sizes[length] = path.stat().st_size
    assert abs(sizes[9_000] - sizes[1_000] - 8_000) < 200  # seconds have more or fewer digits
    header = json.loads((tmp_path / "1000.jsonl").read_text().split("\n")[0])
    assert sorted(["s" * 1_000, *(text for _, text in turns)]) == sorted(header["strings"].values())
    assert [] == list(files.problems(tmp_path / "1000.jsonl"))


def test_texts_and_short_strings_are_written_where_they_are(tmp_path):
    path = tmp_path / "run.jsonl"
    recorded(path, [request("a text that is longer than forty characters, all in all")])
    header, line, _ = path.read_text().split("\n")[:3]
    assert {} == json.loads(header)["strings"]
    assert "a text that is longer than forty characters" in line


def test_a_reference_to_a_string_that_is_not_there_is_named(tmp_path):
    path = tmp_path / "run.jsonl"
    recorded(path, [request("text", "s" * 100)])
    text = path.read_text()
    path.write_text(text.replace("s" * 100, "t").replace('"strings": {"', '"strings": {"0'))
    with pytest.raises(RecordingError, match="line 2: not a call"):
        files.read(path)


def test_the_header_says_for_whom_the_calls_were_recorded(tmp_path):
    path = tmp_path / "run.jsonl"
    origin = Origin("someone", "test_x.py::test_it", "prompt", ("data.csv",))
    recorded(path, [request("one")], origin)
    expected = {"by": "someone", "test": "test_x.py::test_it", "prompt": "prompt", "data": ["data.csv"]}
    assert expected == files.read_header(path)["origin"]


def test_what_looks_like_a_key_is_masked_in_the_header_too(tmp_path):
    path, key = tmp_path / "run.jsonl", "sk-" + "a1B2" * 9
    recorded(path, [request("one", f"A system prompt long enough to be kept once, with {key}.")],
             Origin(f"by {key}", f"test_x.py::test_it[{key}]", key, (key,)))  # fmt: skip
    assert key not in path.read_text(encoding="utf-8")
    assert files.read_header(path)["origin"]["test"].startswith("test_x.py::test_it[[masked ")
    assert [] == list(files.problems(path))


def test_seconds_are_kept_and_never_matched(tmp_path):
    path = tmp_path / "run.jsonl"
    recorded(path, [request("one")])
    (entry,) = files.read(path).calls.values()
    assert 0 < entry["seconds"] < 60
    recording = files.read(path)
    next(iter(recording.calls.values()))["seconds"] = 99
    files.write(path, recording)
    assert "one" == replayed(path, [request("one")])[0].text


def test_a_repeated_request_has_a_key_of_its_own(tmp_path):
    path = tmp_path / "run.jsonl"
    recorded(path, [request("one")])
    recording = files.read(path)
    ((key, entry),) = recording.calls.items()
    again = entry | {"repeat": 1}
    files.write(path, files.Recording(recording.header, {key: entry, f"{key} repeat 1": again}))
    assert [key, f"{key} repeat 1"] == list(files.read(path).calls)
    assert [] == list(files.problems(path))
    asked = entry["request"]
    assert key == files.request_key(asked["method"], asked["path"], asked["body"])


REFUSED = {"type": "error", "error": {"type": "request_too_large", "message": "too large"}}


def test_an_example_that_was_rejected_for_good_is_an_entry_that_replays_as_an_answer(tmp_path):
    path = tmp_path / "run.jsonl"
    recorded(path, [request("one")])
    recording = files.read(path)
    (entry,) = recording.calls.values()
    entry["kind"] = "rejected"
    entry["response"] = {"status": 413, "headers": {}, "body": REFUSED}
    recording.header["answered_by"] = []
    files.write(path, recording)
    assert [] == list(files.problems(path))
    (reply,) = replayed(path, [request("one")])
    assert ("rejected", REFUSED["error"]["message"]) == (reply.stop_reason, reply.text)
    del entry["kind"]
    files.write(path, recording)
    with pytest.raises(RecordingError, match="line 2: not a call"):
        files.read(path)


def test_adding_to_a_file_of_the_older_format_rewrites_it_and_keeps_its_answers(tmp_path):
    path = tmp_path / "run.jsonl"
    recorded(path, [request("one")])
    header, line, end = path.read_text().splitlines()
    old = {name: value for name, value in json.loads(header).items() if name not in ("origin", "strings")}
    path.write_text("\n".join([json.dumps(old | {"promptlab": 1}), line, end, ""]))
    assert [] == list(files.problems(path))
    recorded(path, [request("one"), request("two")], mode="changed")
    assert 2 == files.read(path).header["promptlab"]
    assert ["one", "two"] == [reply.text for reply in replayed(path, [request("one"), request("two")])]


def test_a_profile_is_described_by_its_first_and_its_last_day(tmp_path):
    assert "nothing is recorded" == files.describe(tmp_path)
    for day, who in (("2026-11-03", "b"), ("2026-10-01", "a"), ("2026-11-01", "b")):
        header = {"promptlab": 1, "answered_by": [who], "server": ["loopback"], "recorded": day}
        (tmp_path / f"{day}.jsonl").write_text(json.dumps(header) + "\n")
    assert "replays a, b at loopback, recorded 2026-10-01 to 2026-11-03" == files.describe(tmp_path)
    (tmp_path / "2026-10-01.jsonl").unlink()
    (tmp_path / "2026-11-01.jsonl").unlink()
    assert "replays b at loopback, recorded 2026-11-03" == files.describe(tmp_path)


def test_an_entry_is_read_as_the_reply_that_the_client_returned(tmp_path):
    path = tmp_path / "run.jsonl"
    (reply,) = recorded(path, [request("one")])
    (entry,) = files.read(path).calls.values()
    assert reply == files.reply_of(entry)
    assert reply.seconds == pytest.approx(files.reply_of(entry).seconds, abs=0.5)


def test_why_a_model_refused_is_part_of_its_answer(tmp_path):
    """Two branches that differ in that alone have other answers."""
    path = tmp_path / "run.jsonl"
    recorded(path, [request("one")])
    ours, theirs = files.read(path), files.read(path)
    assert 0 == files.merged(ours, theirs)[1]
    (entry,) = theirs.calls.values()
    entry["response"]["body"]["stop_details"] = {"category": "cyber"}
    assert 1 == files.merged(ours, theirs)[1]


# -- two branches ---------------------------------------------------------------------------------


def git(folder, *arguments):
    return subprocess.run(
        ["git", "-c", "user.name=x", "-c", "user.email=x@y", *arguments],
        cwd=folder, capture_output=True, text=True,
    )  # fmt: skip


def test_what_two_branches_have_recorded_is_joined(tmp_path, capsys, monkeypatch):
    """The advice of the error is followed, in a real repository with a real conflict."""
    path = tmp_path / "cassettes" / "run.jsonl"
    git(tmp_path, "init", "-q", "-b", "main")
    recorded(path, [request("one"), request("two")])
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "main")
    for branch, text in (("a", "three"), ("b", "four")):
        git(tmp_path, "checkout", "-qb", branch, "main")
        recorded(
            path, [request("one"), request("two"), request(text)], answer=lambda body, b=branch: f"by {b}"
        )
        git(tmp_path, "commit", "-qam", branch)
    assert "CONFLICT" in git(tmp_path, "merge", "a").stdout
    with pytest.raises(RecordingError, match=r"unresolved merge conflict\. Join both sides: (.*)$") as error:
        files.read(path)
    command = str(error.value).partition("both sides: promptlab ")[2].split()
    assert 0 == cli.main(command)
    assert f"{path}: 4 calls: 3 and 3, 2 in both, 2 of them with another answer\n" == capsys.readouterr().out
    assert [] == list(files.problems(path))
    texts = [
        reply.text for reply in replayed(path, [request(text) for text in ("one", "two", "three", "four")])
    ]
    assert ["by b", "by b", "by a", "by b"] == texts
    assert 1 == cli.main([*command[:2], str(tmp_path / "none.jsonl")])
    assert "none.jsonl: git has no two sides of it: name the other recording" in capsys.readouterr().err


def test_two_files_are_joined_and_a_missing_one_is_named(tmp_path, capsys):
    ours, theirs = tmp_path / "ours.jsonl", tmp_path / "theirs.jsonl"
    recorded(ours, [request("one")], answer=lambda body: "ours")
    recorded(theirs, [request("one"), request("two")], answer=lambda body: "theirs")
    assert 1 == cli.main(["cassettes", "merge", str(ours), str(tmp_path / "none.jsonl")])
    assert "none.jsonl: there is no such file" in capsys.readouterr().err
    assert 0 == cli.main(["cassettes", "merge", str(ours), str(theirs)])
    assert ["ours", "theirs"] == [reply.text for reply in replayed(ours, [request("one"), request("two")])]
    assert 2 == len(files.read(theirs).calls)
