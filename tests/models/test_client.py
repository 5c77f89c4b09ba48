from __future__ import annotations

import asyncio
import socket
from dataclasses import replace

import httpx2
import pytest

from promptlab.errors import ModelError
from promptlab.models import client as models
from promptlab.models.client import Client, reachable
from promptlab.models.messages_api import arguments, refuse
from promptlab.records import Model, Request, Usage

from ..examples import model
from ..server import message, serving


def ask(url, *texts, workers=16, **fields):
    """Ask a test server about texts at once; return the replies and the usage."""

    async def go():
        async with Client(workers=workers) as client:
            asked = [Request(replace(model(url), **fields), "", (("user", text),)) for text in texts]
            replies = await client.ask_all((one, f"call {one.messages}") for one in asked)
            return replies, client.usage

    return asyncio.run(go())


def echo(body):
    return body["messages"][-1]["content"]


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(models, "_wait", lambda asked, attempt: 0.0)


def test_certificates_are_read_once_a_process(monkeypatch):
    read, once = [], httpx2.create_ssl_context
    monkeypatch.setattr(httpx2, "create_ssl_context", lambda: read.append("now") or once())
    models._tls.cache_clear()
    with serving(echo) as server:
        ask(server.url, "a")
        ask(server.url, "b")
    assert ["now"] == read


@pytest.mark.parametrize("workers", [1, 3, 16])
def test_replies_come_in_the_order_of_the_requests(workers):
    with serving(echo) as server:
        texts = [f"text {n}" for n in range(20)]
        replies, usage = ask(server.url, *texts, workers=workers)
    assert texts == [reply.text for reply in replies]
    assert Usage(20, 200, 100) == usage


def test_identical_requests_are_asked_once():
    with serving(echo) as server:
        replies, usage = ask(server.url, "same", "same", "other", "same")
    assert (2, 2) == (len(server.bodies), usage.calls)
    assert ["same", "same", "other", "same"] == [reply.text for reply in replies]


def test_blocks_are_told_apart_by_type():
    content = [
        {"type": "thinking", "thinking": "<label>no</label>", "signature": "s"},
        {"type": "text", "text": "yes"},
        {"type": "text", "text": ", indeed"},
    ]
    usage = {"input_tokens": 3, "output_tokens": 5, "cache_read_input_tokens": 7}
    with serving(lambda body: message("", content=content, usage=usage)) as server:
        (reply,), _ = ask(server.url, "text")
    assert ("yes, indeed", ("thinking", "text", "text")) == (reply.text, reply.blocks)
    assert (10, 5) == (reply.input_tokens, reply.output_tokens)


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503, 529])
def test_a_failure_that_may_pass_is_tried_again(status):
    answers = iter([(status, {}, {}), (status, {}, {}), "fine"])
    with serving(lambda body: next(answers)) as server:
        (reply,), usage = ask(server.url, "text")
    assert ("fine", 1) == (reply.text, usage.calls)


def test_a_failure_that_stays_is_an_error_that_names_it():
    with serving(lambda body: (529, {}, {"error": {"message": "Overloaded"}})) as server:
        with pytest.raises(ModelError, match=r"answered a call to synthetic with status 529"):
            ask(server.url, "text")
    assert models.ATTEMPTS == len(server.bodies)


SPENT = {"type": "rate_limit_error", "message": "x", "details": {"error_code": "enforced_spend_limit_reached"}}  # fmt: skip


@pytest.mark.parametrize(
    ("status", "error", "said"),
    [
        (400, {"message": "temperature: Extra inputs are not permitted"}, "status 400.*Extra inputs"),
        (401, {"message": "invalid"}, "refused the credential.*set ANTHROPIC_API_KEY"),
        (404, {"message": "model: nope"}, "status 404"),
        (429, SPENT, "status 429"),
    ],
)
def test_a_failure_that_cannot_pass_is_not_tried_again(status, error, said):
    with serving(lambda body: (status, {}, {"type": "error", "error": error})) as server:
        with pytest.raises(ModelError, match=said):
            ask(server.url, "text")
    assert 1 == len(server.bodies)


def test_after_a_failure_nothing_new_is_asked():
    with serving(lambda body: (400, {}, {})) as server:
        with pytest.raises(ModelError, match="status 400"):
            ask(server.url, *(f"text {n}" for n in range(50)), workers=2)
    assert len(server.bodies) <= 3


def test_after_a_failure_what_waits_for_its_turn_is_not_asked(monkeypatch):
    """With a slow pace, many calls have a slot and wait."""
    monkeypatch.setattr("promptlab.models.pacing.START", 10.0)
    monkeypatch.setattr("promptlab.models.pacing.DOUBLED", 1e9)
    with serving(lambda body: (401, {}, {}) if echo(body) == "text 3" else "fine") as server:
        with pytest.raises(ModelError, match="refused the credential"):
            ask(server.url, *(f"text {n}" for n in range(50)), workers=16)
    assert 4 == len(server.bodies)


def test_a_server_that_does_not_listen_is_named():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(ModelError, match=f"{url} cannot be reached: start the server"):
            ask(url, "text")
        with pytest.raises(ModelError, match=f"{url} cannot be reached: start the server"):
            reachable(model(url))


def test_a_missing_credential_is_named_before_anything_is_sent():
    with pytest.raises(
        ModelError, match=r"no credential for https://api\.anthropic\.com: set ANTHROPIC_API_KEY"
    ):
        reachable(Model("claude-haiku-5-5"))


def test_a_credential_with_a_line_end_is_named(monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "key\n")
    with pytest.raises(ModelError, match="ANTHROPIC_API_KEY begins or ends with white space"):
        reachable(Model("claude-haiku-5-5"))


def test_an_empty_credential_is_none_on_loopback(monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "")
    with serving(echo) as server:
        assert [] == reachable(model(server.url))


def test_a_server_without_a_list_of_models_is_reachable():
    with serving(echo) as server:
        assert [] == reachable(model(server.url))


def described(name, lifecycle="active", structured=True, **thinking):
    types = {
        one: {"supported": thinking.get(one, False)}
        for one in ("adaptive", "disabled", "enabled", "between_tools")
    }
    capabilities = {
        "structured_outputs": {"supported": structured},
        "thinking": {"supported": True, "types": types},
    }
    return {
        "id": name,
        "lifecycle": lifecycle,
        "retires_at": "2027-01-02T00:00:00Z",
        "capabilities": capabilities,
    }


HAIKU = "claude-haiku-5-5"
NOTES = [
    (described(HAIKU, adaptive=True, disabled=True), []),
    ({"id": HAIKU}, []),
    (
        described(HAIKU, "deprecated", adaptive=True, disabled=True),
        [f"{HAIKU} is deprecated and retires on 2027-01-02: lab.migrate compares it with its successor"],
    ),
    (
        described(HAIKU, structured=False, adaptive=True),
        [
            f"what {HAIKU} takes has changed since November 2026 (thinking: adaptive; structured outputs: no): "
            f"pip install -U pytest-promptlab"
        ],
    ),
]


@pytest.mark.parametrize(("info", "notes"), NOTES)
def test_what_the_api_says_of_a_model_is_compared_with_the_table(info, notes):
    """It only warns: what is asked is built from the table, on replay too."""
    with serving(echo) as server:
        server.models = {HAIKU: info}
        assert notes == reachable(model(server.url, HAIKU), model(server.url, "other"))


def test_a_key_is_not_sent_unless_it_was_given(monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "from the environment")
    with serving(echo) as server:
        ask(server.url, "text")
    assert "Bearer from the environment" == server.headers[0]["authorization"]


def test_a_request_is_spelled_out_for_the_sdk():
    asked = Model("m", 9, effort="low", thinking={"type": "disabled"}, extra_body={"temperature": 0})
    expected = {
        "model": "m",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "hi"}],
        "system": "be brief",
        "output_config": {"effort": "low"},
        "thinking": {"type": "disabled"},
        "extra_body": {"temperature": 0},
    }
    assert expected == arguments(Request(asked, "be brief", (("user", "hi"),)))


@pytest.mark.parametrize("name", ["claude-haiku-5-5", "claude-opus-5-5", "claude-sonnet-4-6"])
def test_a_reply_prefix_is_refused_before_a_call_where_the_model_would(name):
    with pytest.raises(ModelError, match=f"{name} does not support prefill, but the prompt has 'Reasoning:'"):
        refuse(Request(Model(name), "", (("user", "hi"), ("assistant", "Reasoning:"))))


@pytest.mark.parametrize("name", ["claude-haiku-4-5-20251001", "qwen2.5"])
def test_a_reply_prefix_is_sent_where_the_model_takes_it(name):
    asked = Request(Model(name), "", (("user", "hi"), ("assistant", "R:")))
    refuse(asked)
    assert 2 == len(arguments(asked)["messages"])


def test_workers_is_at_least_one():
    with pytest.raises(ValueError, match="workers is 0, expected 1 or more"):
        Client(workers=0)


def test_a_failure_that_stays_is_waited_for_longer_each_time():
    assert 0.75 <= WAIT(None, 1) <= 1
    assert 12 <= WAIT(None, 5) <= 16
    assert models.LONGEST_WAIT == WAIT(None, 20)
    assert 7.0 == WAIT(7.0, 1)


WAIT = models._wait
