from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import json
import re
from dataclasses import replace
from urllib.parse import quote

import pytest
import vcr
from hypothesis import given, settings
from hypothesis import strategies as st

from promptlab import cli, secrets
from promptlab.cassettes import format as files
from promptlab.cassettes import recorder
from promptlab.errors import CassetteMiss, ModelError, RecordingError
from promptlab.models.client import Client
from promptlab.records import Request

from ..examples import model
from ..server import message, serving


def ask(url, texts, system="system", **fields):
    async def go():
        async with Client(api_key="sk-not-a-key") as client:
            asked = [Request(replace(model(url), **fields), system, (("user", t),)) for t in texts]
            return await client.ask_all((one, f"example {one.messages[0][1]!r}") for one in asked)

    return asyncio.run(go())


def recorded(path, url, texts, **fields):
    with recorder.use(path, mode="live", record_with="pytest --live"):
        return ask(url, texts, **fields)


def replayed(path, url, texts, **fields):
    with recorder.use(path, mode="replay", record_with="pytest --live tests/test_x.py"):
        return ask(url, texts, **fields)


def echo(body):
    return f"you said: {body['messages'][-1]['content']}"


TEXTS = ["one", "zwei €", "three 🙂 \u2028 \u0085", "four"]


def test_a_replay_is_what_was_recorded_and_asks_nobody(tmp_path):
    path = tmp_path / "local" / "run.jsonl"
    with serving(echo) as server:
        live = recorded(path, server.url, TEXTS)
        asked = len(server.bodies)
        assert live == replayed(path, server.url, reversed(TEXTS))[::-1]
    assert asked == len(server.bodies) == 4
    assert live == replayed(path, "http://127.0.0.1:9", TEXTS)


@settings(max_examples=40)
@given(
    text=st.text(st.characters(exclude_categories=[])),
    stop=st.sampled_from(["end_turn", "max_tokens", "refusal", "stop_sequence"]),
)
def test_text_and_stop_reason_are_kept_exactly(text, stop, tmp_path_factory):
    path = tmp_path_factory.mktemp("exact") / "run.jsonl"
    with serving(lambda body: message(text, stop_reason=stop)) as server:
        live = recorded(path, server.url, ["x"])
    assert (text, stop) == (live[0].text, live[0].stop_reason)
    assert live == replayed(path, server.url, ["x"])


def test_a_request_that_is_repeated_is_a_call_of_its_own(tmp_path):
    path, count = tmp_path / "run.jsonl", iter(range(9))

    def again(url, mode, repeats):
        asked = [Request(model(url), "system", (("user", "one"),), repeat) for repeat in repeats]

        async def go():
            async with Client(api_key="k") as client:
                return await client.ask_all((one, "example 'one'") for one in asked)

        with recorder.use(path, mode=mode, record_with="pytest --live") as cassette:
            return [reply.text for reply in asyncio.run(go())], len(cassette.missing(asked))

    with serving(lambda body: f"answer {next(count)}") as server:
        live, _ = again(server.url, "live", [0, 1, 2])
        assert {"answer 0", "answer 1", "answer 2"} == set(live)
        assert 3 == len({json.dumps(header) for header in server.headers})
        assert 1 == len({json.dumps(body) for body in server.bodies})
        assert (live[::-1], 0) == again("http://127.0.0.1:9", "replay", [2, 1, 0])
        more, _ = again(server.url, "changed", [0, 3])
    assert [live[0], "answer 3"] == more
    lines = path.read_text(encoding="utf-8").splitlines()[1:-1]
    assert [None, 1, 2, 3] == [json.loads(line).get("repeat") for line in lines]
    assert "promptlab-repeat" not in "".join(lines)
    assert [] == list(files.problems(path))


def test_a_miss_says_what_was_asked_for_and_how_to_record_it(tmp_path):
    path = tmp_path / "run.jsonl"
    with serving(echo) as server:
        recorded(path, server.url, TEXTS)
        with pytest.raises(CassetteMiss) as miss:
            replayed(path, server.url, ["one", "five"])
        assert 4 == len(server.bodies)
    assert "no recording of example 'five'" in str(miss.value)
    assert str(path) in str(miss.value)
    assert str(miss.value).endswith("To record it: pytest --live tests/test_x.py")


def test_without_a_file_everything_is_a_miss(tmp_path):
    with pytest.raises(CassetteMiss, match="no recording of example 'one'"):
        replayed(tmp_path / "run.jsonl", "http://127.0.0.1:9", ["one"])


CHANGES = {
    "name": "other",
    "max_tokens": 7,
    "effort": "low",
    "thinking": {"type": "disabled"},
    "extra_body": {"temperature": 1},
}


@pytest.mark.parametrize("changed", CHANGES)
def test_another_parameter_is_another_call(tmp_path, changed):
    with serving(echo) as server:
        recorded(tmp_path / "run.jsonl", server.url, ["one"])
        with pytest.raises(CassetteMiss):
            replayed(tmp_path / "run.jsonl", server.url, ["one"], **{changed: CHANGES[changed]})


def test_how_an_answer_is_cached_or_sent_is_not_part_of_the_question():
    plain = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
    block = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}
    marked = {"stream": False, "model": "m", "messages": [{"content": "x", "role": "user"}]}
    assert files.canonical(plain) == files.canonical(marked)
    del_mark = {k: v for k, v in block.items() if k != "cache_control"}
    assert files.canonical([block]) == files.canonical([del_mark])


@pytest.mark.parametrize("status", [400, 401, 500, 529])
def test_an_error_is_never_recorded(tmp_path, status, monkeypatch):
    monkeypatch.setattr("promptlab.models.client._wait", lambda asked, attempt: 0.0)
    path = tmp_path / "run.jsonl"
    with serving(lambda body: (status, {}, {"error": {}})) as server:
        with pytest.raises(ModelError):
            recorded(path, server.url, ["one"])
    assert [] == list(tmp_path.iterdir())


def test_a_page_with_status_200_is_no_answer(tmp_path, monkeypatch):
    monkeypatch.setattr("promptlab.models.client._wait", lambda asked, attempt: 0.0)
    with serving(lambda body: (200, {}, {"hello": "proxy"})) as server:
        with pytest.raises(ModelError, match="status 200, but with no message"):
            recorded(tmp_path / "run.jsonl", server.url, ["one"])
    assert [] == list(tmp_path.iterdir())


def test_what_was_paid_before_a_failure_is_kept_and_not_paid_again(tmp_path):
    path = tmp_path / "run.jsonl"
    failing = [True]

    def sometimes(body):
        if failing[0] and body["messages"][0]["content"] == "four":
            return 400, {}, {}
        return echo(body)

    with serving(sometimes) as server:
        with pytest.raises(ModelError):
            recorded(path, server.url, TEXTS)
        assert not path.exists()
        failing[0] = False
        recorded(path, server.url, TEXTS)
        assert 5 == len(server.bodies)
        assert 4 == len(replayed(path, server.url, TEXTS))
    assert ["run.jsonl"] == [found.name for found in tmp_path.iterdir()]


def test_a_journal_that_was_cut_off_is_taken_up(tmp_path):
    path, journal = tmp_path / "run.jsonl", tmp_path / "run.jsonl.journal"
    with serving(echo) as server:
        recorded(path, server.url, TEXTS)
        lines = path.read_text(encoding="utf-8").split("\n")
        journal.write_text("\n".join([lines[1], lines[2], lines[3][:50]]), encoding="utf-8")
        recorded(path, server.url, TEXTS)
        assert 4 + 2 == len(server.bodies)


def test_the_file_does_not_depend_on_the_order_of_the_calls(tmp_path):
    with serving(echo) as server:
        recorded(tmp_path / "a.jsonl", server.url, TEXTS)
        recorded(tmp_path / "b.jsonl", server.url, TEXTS[::-1])
    one, other = ((tmp_path / name).read_text(encoding="utf-8") for name in ("a.jsonl", "b.jsonl"))
    assert re.sub(r', "seconds": [0-9.]+', "", one) == re.sub(r', "seconds": [0-9.]+', "", other)


def test_unchanged_answers_leave_the_file_unchanged(tmp_path):
    path = tmp_path / "run.jsonl"
    usage = iter(range(100))

    def costly(body):
        return message(echo(body), usage={"input_tokens": next(usage), "output_tokens": 1})

    with serving(costly) as server:
        recorded(path, server.url, TEXTS)
        before = path.read_bytes()
        recorded(path, server.url, TEXTS)
        assert before == path.read_bytes()
        recorded(path, server.url, [*TEXTS, "five"])
    old, new = before.splitlines()[1:], path.read_bytes().splitlines()[1:]
    assert [line for line in new if b"five" not in line] == old


SECRETS = {
    "authorization": "Bearer sk-not-a-key",
    "x-api-key": "key in a header",
    "cookie": "session=abc",
    "x-custom": "custom secret",
}
RESPONSE_SECRETS = {
    "set-cookie": "__cf_bm=cookie",
    "anthropic-organization-id": "org-id",
    "request-id": "req_id",
    "x-anything": "something",
}


def test_headers_ids_and_signatures_are_dropped_and_listed(tmp_path, monkeypatch):
    custom = "\n".join(f"{name}: {value}" for name, value in SECRETS.items())
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", custom)
    path = tmp_path / "run.jsonl"
    thinking = {"type": "thinking", "thinking": "hm", "signature": "signed"}
    body = message("", id="msg_id", content=[thinking, {"type": "text", "text": "fine"}])
    with serving(lambda _: (200, RESPONSE_SECRETS, body)) as server:
        recorded(path, server.url, ["one"])
    text = path.read_text()
    for secret in [*SECRETS.values(), *RESPONSE_SECRETS.values(), "msg_id", "signed", "sk-not", "127.0.0.1"]:
        assert secret not in text
    header, entry, end = map(json.loads, text.splitlines())
    assert {"promptlab": "end"} == end
    assert list(files.DROPPED) == header["dropped"]
    assert {"anthropic-version", "content-type"} == set(entry["request"]["headers"])
    assert {"content-type"} == set(entry["response"]["headers"])
    assert ["thinking", "text"] == [block["type"] for block in entry["response"]["body"]["content"]]


def test_the_header_says_who_answered_and_where(tmp_path):
    with serving(echo) as server:
        recorded(tmp_path / "run.jsonl", server.url, ["one"])
    header = files.read_header(tmp_path / "run.jsonl")
    assert (["synthetic"], ["loopback"]) == (header["answered_by"], header["server"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", header["recorded"])
    assert {"anthropic", "pytest-promptlab", "vcrpy"} == set(header["versions"])


HEADER = '{"promptlab": 1}\n'
CALL = json.dumps(
    {
        "request": {"method": "POST", "path": "/v1/messages", "headers": {}, "body": {"messages": []}},
        "response": {"headers": {}, "body": {"content": []}},
    }
)
WITHOUT_HEADERS = CALL.replace('"headers": {}, ', "", 1)
BROKEN = {
    "cut at the end": (HEADER + '{"request": {"bo', "line 2: the file ends within a line: '{"),
    "cut in the middle": (HEADER + '{"request": {"bo\n', "line 2: Unterminated string"),
    "cut within the header": ('{"prom', "line 1: expected a header"),
    "an empty line": (HEADER + f"{CALL}\n\n", "line 3: Expecting value"),
    "two branches merged": (HEADER + f"<<<<<<< HEAD\n{CALL}\n", "line 2: unresolved merge conflict"),
    "two headers merged": ("<<<<<<< HEAD\n" + HEADER, "line 1: unresolved merge conflict"),
    "a call twice": (HEADER + f"{CALL}\n{CALL}\n", "line 3: holds the same call as line 2"),
    "cut at the end of a line": (HEADER + f"{CALL}\n", "line 3: the file was cut off"),
    "a call without an answer": (HEADER + '{"request": {"body": {"a": 1}}}\n', "line 2: not a call"),
    "a call without its headers": (HEADER + f"{WITHOUT_HEADERS}\n", "line 2: no request, or no answer"),
    "a call of no method": (HEADER + CALL.replace("POST", "") + "\n", "line 2: no request, or no answer"),
    "a newer format": (
        '{"promptlab": 3}\n',
        "line 1: format 3, this version of promptlab reads format 1 and 2",
    ),
    "something else": ('{"a": 1}\n', "line 1: expected a header"),
    "a list": ("[1]\n", "line 1: expected a header"),
    "empty": ("", "line 1: the file is empty"),
    "no text": (HEADER.encode() + b"\xff\xfe\x00\n\n", "line 2: not text in UTF-8"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_named_with_its_line(tmp_path, case):
    content, said = BROKEN[case]
    path = tmp_path / "run.jsonl"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(RecordingError, match=re.escape(f"{path}, {said}")):
        replayed(path, "http://127.0.0.1:9", ["one"])


@given(content=st.binary() | st.text().map(str.encode))
def test_no_file_is_read_as_something_it_is_not(content, tmp_path_factory):
    path = tmp_path_factory.mktemp("any") / "run.jsonl"
    path.write_bytes(content)
    with pytest.raises(RecordingError, match=f"{path}, line "):
        files.read(path)


def test_a_compressed_answer_is_recorded_readably():
    raw = gzip.compress(json.dumps(message("plain")).encode())
    response = {
        "status": {"code": 200, "message": "OK"},
        "headers": {"Content-Type": ["application/json"], "Content-Encoding": ["gzip"]},
        "body": {"string": raw},
    }
    request = vcr.request.Request("POST", "http://127.0.0.1/v1/messages", b"{}", {})
    answered = recorder.entry_of(request, response)["response"]
    assert "plain" == answered["body"]["content"][0]["text"]
    assert {"content-type": "application/json"} == answered["headers"]


def test_vcrpy_asks_its_cassette_as_the_recorder_expects(tmp_path, monkeypatch):
    """What recorder.py relies on; a new version of vcrpy that works otherwise fails here first."""
    asked = []

    def watched(name):
        method = getattr(recorder.IndexedCassette, name)

        def watch(self, request, *rest):
            asked.append((name, id(request)))
            return method(self, request, *rest)

        monkeypatch.setattr(recorder.IndexedCassette, name, watch)

    for name in ("can_play_response_for", "append", "play_response"):
        watched(name)
    path = tmp_path / "run.jsonl"
    with serving(echo) as server:
        recorded(path, server.url, ["one"])
    assert ["can_play_response_for", "append"] == [name for name, _ in asked], (
        f"vcrpy {vcr.__version__} no longer asks can_play_response_for and then append"
    )
    assert 1 == len({request for _, request in asked}), (
        f"vcrpy {vcr.__version__} no longer gives append the request that can_play_response_for was given"
    )
    asked.clear()
    replayed(path, server.url, ["one"])
    assert ["can_play_response_for", "play_response"] == [name for name, _ in asked], (
        f"vcrpy {vcr.__version__} no longer asks can_play_response_for and then play_response"
    )
    assert ["run.jsonl"] == [file.name for file in tmp_path.iterdir()], (
        f"vcrpy {vcr.__version__} saves a cassette that is not dirty, or does not ask its persister"
    )


def test_stock_vcrpy_agrees_on_every_answer(tmp_path):
    """The reference: vcrpy as it comes, with its own matching and file format."""
    with serving(echo) as server:
        stock = vcr.VCR(match_on=["method", "path", "body"], record_mode="once")
        with stock.use_cassette(str(tmp_path / "stock.yaml")):
            expected = ask(server.url, TEXTS)
        with stock.use_cassette(str(tmp_path / "stock.yaml")):
            assert expected == ask(server.url, TEXTS)
        recorded(tmp_path / "run.jsonl", server.url, TEXTS)
        assert expected == replayed(tmp_path / "run.jsonl", server.url, TEXTS)


def test_replay_compares_no_request_with_another(tmp_path, monkeypatch):
    """Linear by construction: a key is made once for each request, stored or asked."""
    path = tmp_path / "run.jsonl"
    texts = [f"text {n}" for n in range(30)]
    with serving(echo) as server:
        recorded(path, server.url, texts)
    made = []
    canonical = files.canonical
    monkeypatch.setattr(files, "canonical", lambda body: made.append(1) or canonical(body))
    replayed(path, server.url, texts)
    assert 2 * len(texts) == len(made)


def test_calls_to_other_addresses_are_not_recorded():
    token = vcr.request.Request("POST", "https://api.anthropic.com/v1/oauth/token", b"secret", {})
    assert recorder.only_messages(token) is None


def test_changed_makes_only_the_calls_that_are_not_recorded(tmp_path):
    path = tmp_path / "run.jsonl"
    with serving(echo) as server:
        recorded(path, server.url, ["one", "two"])
        before = path.read_text(encoding="utf-8").splitlines()
        server.bodies.clear()
        with recorder.use(path, mode="changed", record_with=""):
            ask(server.url, ["two", "three"])
        assert ["three"] == [body["messages"][0]["content"] for body in server.bodies]
    after = path.read_text(encoding="utf-8").splitlines()
    assert set(before[1:]) < set(after[1:])
    assert 3 == len(replayed(path, "http://127.0.0.1:9", ["one", "two", "three"]))


def test_live_makes_every_call_and_drops_what_is_no_longer_asked_for(tmp_path):
    path = tmp_path / "run.jsonl"
    with serving(echo) as server:
        recorded(path, server.url, ["one", "two"])
        recorded(path, server.url, ["two", "three"])
        assert 4 == len(server.bodies)
    assert 2 == len(files.read(path).calls)


def test_an_interrupted_recording_leaves_the_old_one_whole(tmp_path):
    path = tmp_path / "run.jsonl"
    with serving(echo) as server:
        recorded(path, server.url, ["one", "two"])
        before = path.read_bytes()
        with contextlib.suppress(KeyboardInterrupt):
            with recorder.use(path, mode="live", record_with=""):
                ask(server.url, ["one"])
                raise KeyboardInterrupt
        assert before == path.read_bytes()
        assert 2 == len(replayed(path, server.url, ["one", "two"]))
        server.bodies.clear()
        recorded(path, server.url, ["one", "two"])
        assert ["two"] == [body["messages"][0]["content"] for body in server.bodies]


def test_a_recording_that_cannot_be_written_stays_in_its_journal(tmp_path):
    path, in_the_way = tmp_path / "run.jsonl", tmp_path / "run.jsonl.tmp"
    in_the_way.mkdir()
    with serving(echo) as server:
        with pytest.raises(RecordingError, match=r"cannot be written: Is a directory. Its replies are kept"):
            recorded(path, server.url, TEXTS)
        in_the_way.rmdir()
        recorded(path, server.url, TEXTS)
        assert 4 == len(server.bodies)


def test_calls_can_be_removed_and_the_others_keep_their_lines(tmp_path):
    path = tmp_path / "run.jsonl"
    with serving(echo) as server:
        recorded(path, server.url, TEXTS)
    lines = path.read_text(encoding="utf-8").split("\n")
    before = files.read(path)
    files.write(path, files.without(before, [next(iter(before.calls))]))
    assert list(before.calls)[1:] == list(files.read(path).calls)
    assert [*lines[:1], *lines[2:]] == path.read_text(encoding="utf-8").split("\n")


def test_two_cassettes_cannot_be_open_at_once(tmp_path):
    with recorder.use(tmp_path / "one.jsonl", mode="replay", record_with=""):
        with pytest.raises(RecordingError, match=r"two.jsonl: another cassette is in use in this process"):
            with recorder.use(tmp_path / "two.jsonl", mode="replay", record_with=""):
                pass
    with recorder.use(tmp_path / "two.jsonl", mode="replay", record_with=""):
        pass


CREDENTIAL = "sk-live/credential+0123456789"
ENCODED = {
    "plain": str,
    "percent": lambda text: quote(text, safe=""),
    "hexadecimal": lambda text: text.encode().hex(),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 in the middle": lambda text: base64.b64encode(b"user:" + text.encode() + b":x").decode(),
}


@pytest.mark.parametrize("encoding", ENCODED)
@pytest.mark.parametrize("place", ["prompt", "answer"])
def test_a_credential_in_use_is_never_written(tmp_path, monkeypatch, encoding, place):
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", CREDENTIAL)
    path, text = tmp_path / "run.jsonl", ENCODED[encoding](CREDENTIAL)
    with serving(lambda body: text if body["messages"][0]["content"] == "tell" else "fine") as server:
        with pytest.raises(
            RecordingError, match="a credential that is in use, from ANTHROPIC_AUTH_TOKEN"
        ) as error:
            recorded(path, server.url, ["one", text if place == "prompt" else "tell"])
    assert CREDENTIAL not in str(error.value)
    for file in tmp_path.iterdir():
        assert text not in file.read_text()
        assert "one" in file.read_text()  # what else was paid is kept


def test_the_key_that_a_request_is_sent_with_is_never_written(tmp_path):
    with serving(lambda body: "your key is sk-not-a-key") as server:
        with pytest.raises(
            RecordingError, match=r"call.response.body.content\[0\].text holds .*'[Aa]uthorization'"
        ):
            recorded(tmp_path / "run.jsonl", server.url, ["one"])


KEY_SHAPES = [
    "sk-" + "ant-api03-" + "a1B2" * 10,
    "ghp_" + "a1B2" * 9,
    "AKIA" + "ABCD" * 4,
    "xoxb-1234567890-abcdef",
    "AIza" + "b" * 35,
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcdefghijkl",
    "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg==\n-----END PRIVATE KEY-----",
]


@pytest.mark.parametrize("key", KEY_SHAPES)
def test_what_looks_like_a_key_is_stored_masked_and_still_replays(tmp_path, key):
    path = tmp_path / "run.jsonl"
    with serving(lambda body: f"is {key} a key?") as server:
        with recorder.use(path, mode="live", record_with="") as cassette:
            ask(server.url, [f"what is {key}?"])
    assert key not in path.read_text().replace("\\n", "\n")
    (note,) = cassette.notes
    asked, answered = "call.request.body.messages[0].content", "call.response.body.content[0].text"
    assert f"stored masked, in {asked} of 1 calls, {answered} of 1 calls" in note
    assert key not in note
    (again,) = replayed(path, server.url, [f"what is {key}?"])
    assert re.fullmatch(r"is \[masked [0-9a-f]{8}\] a key\?", again.text)
    assert [] == list(files.problems(path))


def test_texts_that_differ_in_a_key_alone_are_two_calls(tmp_path):
    path, keys = tmp_path / "run.jsonl", [f"sk-{'a1B2' * 8}{n}" for n in range(3)]
    with serving(echo) as server:
        live = recorded(path, server.url, [f"what is {key}?" for key in keys])
        assert 3 == len(server.bodies)
    again = replayed(path, server.url, [f"what is {key}?" for key in keys])
    assert 3 == len({reply.text for reply in again}) == len({reply.text for reply in live})


@pytest.mark.parametrize(("value", "refused"), [
    ("postgres", False), ("changeme", False), ("postgres1", True), ("correcthorsebatterystaple", True),
])  # fmt: skip
def test_a_password_that_is_a_word_forbids_no_text(tmp_path, monkeypatch, value, refused):
    monkeypatch.setenv("POSTGRES_PASSWORD", value)
    with serving(echo) as server:
        with pytest.raises(RecordingError) if refused else contextlib.nullcontext():
            recorded(tmp_path / "run.jsonl", server.url, [f"How do I install {value}?"])


@pytest.mark.parametrize("word", [
    "risk-management-framework-for-small-firms", "task-oriented-dialogue-systems-2024", "desk-to-bed-in-ten-minutes",
])  # fmt: skip
def test_a_word_is_no_key(word):
    assert word == secrets.masked(word)


def test_a_credential_is_refused_before_it_is_sent(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", CREDENTIAL)
    with serving(echo) as server:
        with pytest.raises(RecordingError, match=r"call\.request\.body.* from HF_TOKEN"):
            recorded(tmp_path / "run.jsonl", server.url, [CREDENTIAL])
        assert not server.bodies


def test_live_replaces_a_recording_that_cannot_be_read(tmp_path):
    path = tmp_path / "run.jsonl"
    path.write_text("")
    with serving(echo) as server:
        with recorder.use(path, mode="live", record_with="") as cassette:
            ask(server.url, ["one"])
    assert "could not be read is replaced" in cassette.notes[0]
    assert 1 == len(replayed(path, server.url, ["one"]))


def test_a_recording_that_did_not_end_is_told_of(tmp_path):
    path = tmp_path / "run.jsonl"
    with serving(echo) as server:
        recorded(path, server.url, ["one"])
        with contextlib.suppress(RuntimeError):
            with recorder.use(path, mode="live", record_with=""):
                ask(server.url, ["two"])
                raise RuntimeError
        with recorder.use(path, mode="replay", record_with="") as cassette:
            ask(server.url, ["one"])
        assert "run.jsonl.journal holds an unfinished recording, which is not replayed" in cassette.notes[0]
        with recorder.use(path, mode="live", record_with="") as cassette:
            assert 1 == cassette.resumed


ASKED = ("model", "system", "messages", "metadata", "a name", "a list", "query", "path")
ANSWERED = ("text", "thinking", "signature", "id", "model", "stop_sequence", "a name", "status", "error")
HEADERS = ("authorization", "x-api-key", "cookie", "x-gateway", "proxy-authorization")
IN_EVERY_FILE = files.line_of(files.header_of([], files.UNKNOWN)) + json.dumps(message("x"))
headers = st.sampled_from(HEADERS) | st.from_regex(r"x-[a-z]{2,12}", fullmatch=True)
hidden = st.fixed_dictionaries(
    {
        "secret": st.text(st.characters(codec="ascii", min_codepoint=33), min_size=12, max_size=40).filter(
            lambda secret: secret not in IN_EVERY_FILE
        ),
        "sent_in": headers,
        "encoding": st.sampled_from(sorted(ENCODED)),
        "place": st.sampled_from([("asked", place) for place in ASKED])
        | st.sampled_from([("answered", place) for place in ANSWERED])
        | st.tuples(st.just("request header"), headers)
        | st.tuples(st.just("response header"), headers | st.sampled_from(["content-type", "retry-after"])),
    }
)


def call_with(text, secret, sent_in, place):
    """Make a call with a text in one place, sent with a secret: vcrpy's request and response."""
    side, where = place
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
    answer = message("x") | {"id": "i"}
    url, status = "http://127.0.0.1:9/v1/messages", {"code": 200, "message": "OK"}
    if where in ("query", "path"):
        url = (
            url + f"?key={quote(text)}"
            if where == "query"
            else f"http://127.0.0.1:9/{quote(text)}/v1/messages"
        )
    elif where in ("text", "thinking", "signature"):
        answer["content"].append(
            {"type": "thinking" if where != "text" else where, "thinking": "", where: text}
        )
    elif where in ("status", "error"):
        status, answer = {"code": 400, "message": text}, {"error": text}
    elif side in ("asked", "answered"):
        (body if side == "asked" else answer).update(
            {text: "x"} if where == "a name" else {where: [{"of": [text]}] if where == "a list" else text}
        )
    request = vcr.request.Request("POST", url, json.dumps(body).encode(), {sent_in: f"Bearer {secret}"})
    answered = {"status": 200, "headers": {"content-type": "application/json"}, "body": answer}
    response = files.as_response({"response": answered}) | {"status": status}
    if side == "request header":
        request.headers.setdefault(where, text)
    if side == "response header":
        response["headers"][where] = [text]
    return request, response


def assert_no_secret_is_kept(folder, secret, sent_in, encoding, place):
    """What is sent as a credential is found in no file, wherever it turns up and however it is encoded."""
    text = ENCODED[encoding](secret)
    with contextlib.suppress(RecordingError):
        with recorder.use(folder / "run.jsonl", mode="live", record_with="") as cassette:
            cassette.append(*call_with(text, secret, sent_in, place))
    for file in folder.iterdir():
        content = json.dumps([json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()])
        assert json.dumps(text)[1:-1] not in content
        assert json.dumps(secret)[1:-1] not in content
        file.unlink()


@settings(max_examples=60)
@given(hidden)
def test_no_secret_reaches_a_file(tmp_path_factory, hidden):
    assert_no_secret_is_kept(tmp_path_factory.mktemp("secrets"), **hidden)


@pytest.mark.thorough
@settings(max_examples=10_000)
@given(hidden)
def test_no_secret_of_ten_thousand_reaches_a_file(tmp_path_factory, hidden):
    assert_no_secret_is_kept(tmp_path_factory.mktemp("secrets"), **hidden)


def test_a_recording_that_was_just_made_has_no_problems(tmp_path):
    with serving(echo) as server:
        recorded(tmp_path / "run.jsonl", server.url, TEXTS)
    assert [] == list(files.problems(tmp_path / "run.jsonl"))


DAMAGE = {
    "out of order": (lambda lines: [lines[0], *lines[-2:0:-1], lines[-1]], "line 3: out of order"),
    "no provenance": (lambda lines: ['{"promptlab": 1}', *lines[1:]], "line 1: answered_by is None"),
    "another model": (
        lambda lines: [lines[0].replace("synthetic", "claude"), *lines[1:]],
        "answered_by is ['claude'], expected ['synthetic']",
    ),
    "an id": (
        lambda lines: [lines[0], lines[1].replace('"role": "assistant"', '"id": "msg_1"'), *lines[2:]],
        "the answer's 'id' should have been dropped",
    ),
    "a header": (
        lambda lines: [lines[0], lines[1].replace('"content-type"', '"set-cookie"'), *lines[2:]],
        "header 'set-cookie' should have been dropped",
    ),
    "a key": (
        lambda lines: [lines[0], lines[1].replace("you said", "sk-" + "a1" * 15), *lines[2:]],
        "call.response.body.content[0].text holds what looks like a key",
    ),
    "a line less": (lambda lines: [*lines[:2], lines[2][:40]], "the file ends within a line"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_verify_finds_what_is_wrong(tmp_path, damage, capsys):
    path = tmp_path / "run.jsonl"
    with serving(echo) as server:
        recorded(path, server.url, TEXTS)
    change, said = DAMAGE[damage]
    path.write_text(
        "\n".join(change(path.read_text(encoding="utf-8").split("\n")[:-1]))
        + ("" if damage == "a line less" else "\n"),
        encoding="utf-8",
    )
    assert 1 == cli.main(["cassettes", "verify", str(path)])
    assert said in capsys.readouterr().out


def test_stock_vcrpy_replays_an_export(tmp_path, capsys):
    path, exported = tmp_path / "run.jsonl", tmp_path / "run.yaml"
    with serving(echo) as server:
        live = recorded(path, server.url, TEXTS)
    arguments = ["cassettes", "export", str(path), str(exported), "--base-url", "http://127.0.0.1:9"]
    assert 0 == cli.main(arguments)
    assert "4 calls" in capsys.readouterr().out
    with vcr.VCR(match_on=["method", "uri", "body"], record_mode="none").use_cassette(str(exported)):
        assert live == ask("http://127.0.0.1:9", TEXTS)


def test_an_unknown_argument_of_the_command_is_refused(capsys):
    with pytest.raises(SystemExit):
        cli.main(["cassettes", "verify", "x", "--fast"])
    assert "unknown arguments: --fast" in capsys.readouterr().err
    assert 1 == cli.main(["cassettes", "verify", "no/such/file"])
    assert "no/such/file: there is no such file" in capsys.readouterr().out


@settings(max_examples=25)
@given(
    texts=st.lists(st.sampled_from(["a", "b", "c", "d"]), unique=True, min_size=1),
    what=st.sampled_from(["name", "max_tokens", "extra_body", "system", "text", None]),
)
def test_only_model_parameters_prompt_and_text_make_a_miss(texts, what, tmp_path_factory):
    path = tmp_path_factory.mktemp("miss") / "run.jsonl"
    changes = {"name": "other", "max_tokens": 7, "extra_body": {"temperature": 1}}
    fields = {what: changes[what]} if what in changes else {}
    asked = [*texts, "e"] if what == "text" else texts
    with serving(echo) as server:
        recorded(path, server.url, texts)
    with contextlib.ExitStack() as stack:
        if what:
            stack.enter_context(pytest.raises(CassetteMiss))
        replayed(
            path, "http://127.0.0.1:9", asked, system="other" if what == "system" else "system", **fields
        )
