from __future__ import annotations

import asyncio
import gzip
import json
import re
from dataclasses import replace

import pytest
import vcr
from hypothesis import given, settings
from hypothesis import strategies as st

from promptlab import cassette_file, cassettes
from promptlab.errors import CassetteMiss, DataError, ModelError
from promptlab.models import Client
from promptlab.records import Request

from .examples import model
from .server import message, serving


def ask(url, texts, **fields):
    async def go():
        async with Client(api_key="sk-not-a-key") as client:
            asked = [Request(replace(model(url), **fields), "system", (("user", t),)) for t in texts]
            return await client.ask_all((one, f"example {one.messages[0][1]!r}") for one in asked)

    return asyncio.run(go())


def recorded(path, url, texts, **fields):
    with cassettes.use(path, live=True, record_with="pytest --live"):
        return ask(url, texts, **fields)


def replayed(path, url, texts, **fields):
    with cassettes.use(path, live=False, record_with="pytest --live tests/test_x.py"):
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
    assert cassette_file.canonical(plain) == cassette_file.canonical(marked)
    del_mark = {k: v for k, v in block.items() if k != "cache_control"}
    assert cassette_file.canonical([block]) == cassette_file.canonical([del_mark])


@pytest.mark.parametrize("status", [400, 401, 429, 500, 529])
def test_an_error_is_never_recorded(tmp_path, status, monkeypatch):
    monkeypatch.setattr("promptlab.models._wait", lambda error, attempt: 0.0)
    path = tmp_path / "run.jsonl"
    with serving(lambda body: (status, {}, {"error": {}})) as server:
        with pytest.raises(ModelError):
            recorded(path, server.url, ["one"])
    assert [] == list(tmp_path.iterdir())


def test_a_page_with_status_200_is_no_answer(tmp_path):
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
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()


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
    header, entry = map(json.loads, text.splitlines())
    assert list(cassette_file.DROPPED) == header["dropped"]
    assert {"anthropic-version", "content-type"} == set(entry["request"]["headers"])
    assert {"content-type"} == set(entry["response"]["headers"])
    assert ["thinking", "text"] == [block["type"] for block in entry["response"]["body"]["content"]]


def test_the_header_says_who_answered_and_where(tmp_path):
    with serving(echo) as server:
        recorded(tmp_path / "run.jsonl", server.url, ["one"])
    header = cassettes.provenance(tmp_path / "run.jsonl")
    assert (["synthetic"], ["loopback"]) == (header["answered_by"], header["server"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", header["recorded"])
    assert {"anthropic", "pytest-promptlab", "vcrpy"} == set(header["versions"])


BROKEN = {
    "cut at the end": ('{"promptlab": 1}\n{"request": {"bo', "line 2: not a recorded call"),
    "cut in the middle": ('{"promptlab": 1}\n{"request": {"bo\n', "line 2: not a recorded call"),
    "two branches merged": ("<<<<<<< HEAD\n", "line 1: not a recorded call"),
    "another format": ('{"promptlab": 2}\n', "line 1: not a recorded call"),
    "something else": ('{"a": 1}\n', "line 1"),
    "no text": (b"\xff\xfe\x00", "codec can't decode"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_named_with_its_line(tmp_path, case):
    content, said = BROKEN[case]
    path = tmp_path / "run.jsonl"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=f"{path}: not a cassette that can be read: .*{said}"):
        replayed(path, "http://127.0.0.1:9", ["one"])


def test_a_compressed_answer_is_recorded_readably(tmp_path):
    path = tmp_path / "run.jsonl"
    raw = gzip.compress(json.dumps(message("plain")).encode())
    response = {
        "status": {"code": 200, "message": "OK"},
        "headers": {"Content-Type": ["application/json"], "Content-Encoding": ["gzip"]},
        "body": {"string": raw},
    }
    cleaned = cassettes._only_answers(response)
    assert "plain" == json.loads(cleaned["body"]["string"])["content"][0]["text"]
    assert {"content-type": ["application/json"]} == cleaned["headers"]
    assert not path.exists()


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
    canonical = cassette_file.canonical
    monkeypatch.setattr(cassette_file, "canonical", lambda body: made.append(1) or canonical(body))
    replayed(path, server.url, texts)
    assert 2 * len(texts) == len(made)


def test_calls_to_other_addresses_are_not_recorded():
    token = vcr.request.Request("POST", "https://api.anthropic.com/v1/oauth/token", b"secret", {})
    assert cassettes._only_messages(token) is None
