"""What a server may do wrong, and what the user sees of it."""

from __future__ import annotations

import asyncio
import json
import time

import httpx2
import pytest

from promptlab.cassettes import format as files
from promptlab.cassettes import recorder
from promptlab.errors import ModelError
from promptlab.models import client as models
from promptlab.models.client import Client
from promptlab.models.pacing import Limiter
from promptlab.records import Reply, Request

from ..examples import model
from ..server import message, serving


def whole(**fields):
    return {key: value for key, value in message("fine", **fields).items() if value != "left out"}


#: What is answered, and the end of the sentence that the user reads if it stays so.
UNREADABLE = {
    "cut JSON": (
        b'{"id": "msg_1", "content": [',
        r"""200, but with no message: expected JSON, found b'\{"id": .*""",
    ),
    "empty": (b"", "200, but with no message: expected JSON, found b''"),
    "a page": (
        (200, {"content-type": "text/html"}, b"<html>Sign in</html>"),
        "found b'<html>Sign in</html>'",
    ),
    "no JSON object": (b"[]", r"200, but with no message: expected a message, found \[\]"),
    "no content": (whole(content="left out"), "content is None, expected blocks"),
    "a block without a type": (whole(content=[{"text": "x"}]), "content is .*, expected blocks"),
    "null text": (
        whole(content=[{"type": "text", "text": None}]),
        "the text of a block is None, expected a string",
    ),
    "no usage": (whole(usage="left out"), "usage is None, expected input_tokens and output_tokens"),
    "half a usage": (
        whole(usage={"input_tokens": 1}),
        "usage is .*, expected input_tokens and output_tokens",
    ),
    "a cache that is counted in words": (
        whole(usage={"input_tokens": 1, "output_tokens": 1, "cache_read_input_tokens": "many"}),
        "usage is .*, expected input_tokens and output_tokens",
    ),
    "a pit of brackets": (b"[" * 100_000, "200, but with no message: expected JSON, found .*"),
    "no model": (whole(model=None), "model is None, expected a name"),
    "a number for a stop reason": (whole(stop_reason=7), "stop_reason is 7, expected a string"),
    "bad gzip": (
        (200, {"content-encoding": "gzip"}, b"no gzip"),
        "200, but with no message: .*header check.*",
    ),
    "a redirect": (
        (307, {"location": "http://127.0.0.1:9/"}, b""),
        "status 307: .*Set base_url to the server that answers",
    ),
}
PASSING = {
    "cut off": ((200, {"content-length": "99"}, b'{"id"'), "broke off its answer to a call to synthetic: .*"),
    "overloaded": ((529, {}, {"error": {"message": "Overloaded"}}), "with status 529: .*"),
    "an error of the server": ((500, {}, b"<html>oops</html>"), "with status 500: .*"),
}
FAULTS = {
    **{name: (*of, 3) for name, of in UNREADABLE.items()},
    **{name: (*of, 6) for name, of in PASSING.items()},
}


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(models, "_wait", lambda asked, attempt: 0.0)


def run(path, url, texts, mode="changed", **settings):
    async def go():
        async with Client(api_key="k", workers=4) as client:
            asked = [Request(model(url), "system", (("user", text),)) for text in texts]
            return await client.ask_all(
                ((one, f"example {one.messages[0][1]!r}") for one in asked), **settings
            )

    with recorder.use(path, mode=mode, record_with="pytest --live"):
        return asyncio.run(go())


def said(body):
    return body["messages"][-1]["content"]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_stays_ends_the_run_in_a_sentence_and_poisons_nothing(tmp_path, fault):
    answer, sentence, tries = FAULTS[fault]
    path, texts, broken = tmp_path / "run.jsonl", ["one", "two", "bad", "three"], [True]
    with serving(lambda body: answer if said(body) == "bad" and broken[0] else "fine") as server:
        with pytest.raises(ModelError, match=f"^example 'bad': {server.url} .*{sentence}$"):
            run(path, server.url, texts)
        assert tries == [said(body) for body in server.bodies].count("bad")
        broken[0] = False
        server.bodies.clear()
        assert ["fine"] * 4 == [reply.text for reply in run(path, server.url, texts)]
        assert [said(body) for body in server.bodies].count("bad") == 1
    assert 4 == len(run(path, "http://127.0.0.1:9", texts, mode="replay"))
    assert [] == list(files.problems(path))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_passes_is_not_seen(tmp_path, fault):
    answers = iter([FAULTS[fault][0], FAULTS[fault][0], "fine"])
    with serving(lambda body: next(answers)) as server:
        (reply,) = run(tmp_path / "run.jsonl", server.url, ["one"])
    assert "fine" == reply.text


def test_a_server_that_is_not_there_is_said_at_once(tmp_path, monkeypatch):
    """One try: what refuses the first connection of all is not waited for."""
    tries, once = [], Client._once

    async def counted(self, model, body, headers):
        tries.append(body)
        return await once(self, model, body, headers)

    monkeypatch.setattr(Client, "_once", counted)
    with serving(lambda body: "fine") as server:
        pass
    with pytest.raises(ModelError, match=f"^example 'one': {server.url} cannot be reached: start the server"):
        run(tmp_path / "run.jsonl", server.url, ["one"])
    assert 1 == len(tries)


def test_a_server_that_goes_away_for_a_while_is_waited_for(monkeypatch):
    """Once it has answered, a connection that is refused is tried again, like any that breaks."""
    refused, send = [1, 1], httpx2.AsyncHTTPTransport.handle_async_request

    async def handle(self, request):
        if b"two" in request.content and refused:
            refused.pop()
            raise httpx2.ConnectError("refused")
        return await send(self, request)

    async def go(url):
        async with Client(api_key="k") as client:
            asked = (Request(model(url), "system", (("user", text),)) for text in ("one", "two"))
            return [await client.ask(one, "a test") for one in asked]

    monkeypatch.setattr(httpx2.AsyncHTTPTransport, "handle_async_request", handle)
    with serving(lambda body: "fine") as server:
        replies = asyncio.run(go(server.url))
    assert (["fine", "fine"], []) == ([reply.text for reply in replies], refused)


def test_a_server_that_hangs_costs_the_deadline_once(tmp_path, monkeypatch):
    monkeypatch.setattr(models, "DEADLINE", 0.3)
    with serving(lambda body: time.sleep(0.6) or "late") as server:
        with pytest.raises(
            ModelError, match=r"^example 'one': http://.* gave no answer to a call to synthetic within 0.3 s$"
        ):
            run(tmp_path / "run.jsonl", server.url, ["one"])
    assert 1 == len(server.bodies)


def test_the_wait_for_a_turn_does_not_count(tmp_path, monkeypatch):
    """The server is not to blame for it: with many workers and a low limit it may be long."""
    turn = Limiter.turn

    async def late(self):
        await asyncio.sleep(0.4)
        return await turn(self)

    monkeypatch.setattr(Limiter, "turn", late)
    monkeypatch.setattr(models, "DEADLINE", 0.3)
    with serving(lambda body: "fine") as server:
        assert 3 == len(run(tmp_path / "run.jsonl", server.url, ["one", "two", "three"]))


def test_a_rate_limit_is_waited_for_as_long_as_the_deadline_allows(tmp_path, monkeypatch):
    answers = iter([(429, {"retry-after-ms": "1"}, {})] * 20 + ["fine"])
    with serving(lambda body: next(answers)) as server:
        (reply,) = run(tmp_path / "run.jsonl", server.url, ["one"])
        assert ("fine", 21) == (reply.text, len(server.bodies))
    monkeypatch.setattr(models, "DEADLINE", 2.0)
    with serving(lambda body: (429, {}, {"error": {"message": "Number of requests exceeded"}})) as server:
        with pytest.raises(ModelError, match=r"with status 429: .*Number of requests exceeded"):
            run(tmp_path / "other.jsonl", server.url, ["one"])


def test_tokens_from_the_cache_do_not_count_for_the_limit(tmp_path, monkeypatch):
    """The API does not count them either."""
    seen = []
    monkeypatch.setattr(
        "promptlab.models.pacing.Limiter.accepted", lambda self, headers, tokens: seen.append(tokens)
    )
    usage = {
        "input_tokens": 3,
        "output_tokens": 5,
        "cache_read_input_tokens": 700,
        "cache_creation_input_tokens": 20,
    }
    with serving(lambda body: whole(usage=usage)) as server:
        run(tmp_path / "run.jsonl", server.url, ["one"])
    assert [(23, 5)] == seen


def test_a_server_that_says_it_is_of_no_use_is_not_asked_again(tmp_path):
    with serving(lambda body: (500, {"x-should-retry": "false"}, {})) as server:
        with pytest.raises(ModelError, match="with status 500"):
            run(tmp_path / "run.jsonl", server.url, ["one"])
    assert 1 == len(server.bodies)


LIMITS = "You have reached your specified API usage limits. You will regain access on 2026-12-01."
STOPS = [
    (401, {"message": "invalid key"}, r"refused the credential \(status 401\)"),
    (402, {"message": "pay"}, "status 402"),
    (403, {"message": "no"}, r"refused the credential \(status 403\)"),
    (404, {"message": "model: nope"}, "status 404"),
    (400, {"message": LIMITS}, "usage limits"),
    (400, {"message": "Your credit balance is too low"}, "credit balance"),
    (429, {"message": "x", "details": {"error_code": "enforced_spend_limit_reached"}}, "status 429"),
]


@pytest.mark.parametrize(("status", "error", "sentence"), STOPS)
def test_what_no_example_is_to_blame_for_stops_the_run_at_once(tmp_path, status, error, sentence):
    """Even in the middle, where others have been answered, and although some may be rejected."""
    refusal = (status, {}, {"type": "error", "error": {"type": "some_error"} | error})
    with serving(lambda body: refusal if said(body) == "bad" else "fine") as server:
        with pytest.raises(ModelError, match=f"^example 'bad': .*{sentence}"):
            run(tmp_path / "run.jsonl", server.url, ["one", "two", "bad", "three"], rejectable=2)
        assert 1 == [said(body) for body in server.bodies].count("bad")


# -- examples that the API refuses for good ---------------------------------------------------------

TOO_LONG = {
    "type": "error",
    "error": {"type": "invalid_request_error", "message": "prompt is too long"},
    "request_id": "req_1",
}


@pytest.mark.parametrize(
    ("status", "body", "kept"),
    [
        (400, TOO_LONG, {"type": "invalid_request_error", "message": "prompt is too long"}),
        (413, TOO_LONG, {"type": "invalid_request_error", "message": "prompt is too long"}),
        (413, b"<html>Too large</html>", {"type": "status 413", "message": "<html>Too large</html>"}),
    ],
)
@pytest.mark.parametrize("place", [0, 2])
def test_an_example_that_is_refused_for_good_is_an_answer_of_its_own_kind(
    tmp_path, status, body, kept, place
):
    """The others are asked, and the refusal is replayed."""
    texts = ["one", "two", "three", "four"]
    texts.insert(place, "bad")
    path = tmp_path / "run.jsonl"
    with serving(lambda asked: (status, {}, body) if said(asked) == "bad" else "fine") as server:
        live = run(path, server.url, texts, rejectable=1)
        assert ("rejected", ()) == (live[place].stop_reason, live[place].blocks)
        assert ["fine"] * 4 == [reply.text for reply in live if reply.stop_reason != "rejected"]
        server.bodies.clear()
        assert live == run(path, server.url, texts, rejectable=1)
        assert [] == server.bodies
    assert live == run(path, "http://127.0.0.1:9", texts, mode="replay")
    known = {
        entry["request"]["body"]["messages"][0]["content"]: entry for entry in files.read(path).calls.values()
    }
    assert list(live) == [files.reply_of(known[text]) for text in texts]  # as the gate reads them
    (entry,) = (one for one in files.read(path).calls.values() if one.get("kind"))
    assert {"status": status, "body": {"type": "error", "error": kept}} == {
        k: entry["response"][k] for k in ("status", "body")
    }
    assert "req_1" not in path.read_text()
    assert [] == list(files.problems(path))


@pytest.mark.parametrize("texts", [["bad 1", "bad 2", "bad 3"], ["bad 1"]])
def test_a_400_before_any_answer_stops_the_run(tmp_path, texts):
    """It is the request that is wrong: a setting that the model does not take."""
    path = tmp_path / "run.jsonl"
    with serving(lambda asked: (400, {}, TOO_LONG)) as server:
        with pytest.raises(ModelError, match=r"^example 'bad .': .* with status 400: .*prompt is too long"):
            run(path, server.url, texts, rejectable=3)
    assert [] == list(tmp_path.iterdir())


def test_a_bad_first_example_does_not_stop_a_race_of_prompts(tmp_path):
    """It goes first with each of them, so each is refused before any success."""

    async def go(url):
        async with Client(api_key="k", workers=4) as client:
            asked = [
                Request(model(url), prompt, (("user", text),))
                for prompt in "abc"
                for text in ("bad", "one", "two")
            ]
            return await client.ask_all(((one, "a call") for one in asked), rejectable=3)

    with serving(lambda asked: (400, {}, TOO_LONG) if said(asked) == "bad" else "fine") as server:
        replies = asyncio.run(go(server.url))
    assert ["rejected", "end_turn", "end_turn"] * 3 == [reply.stop_reason for reply in replies]


def test_an_account_that_runs_out_in_between_is_no_refusal_of_the_example(tmp_path):
    """It is asked a second time when the others are answered, and no money may be left by then."""
    path, broke = tmp_path / "run.jsonl", []

    def answer(asked):
        if said(asked) != "bad":
            return "fine"
        broke.append(True)
        spent = {"type": "error", "error": {"type": "invalid_request_error", "message": LIMITS}}
        return 400, {}, spent if len(broke) > 1 else TOO_LONG

    with serving(answer) as server:
        with pytest.raises(ModelError, match="usage limits"):
            run(path, server.url, ["one", "bad", "two"], rejectable=1)
    assert 2 == len((tmp_path / "run.jsonl.journal").read_text().splitlines())


def test_more_refusals_than_may_be_stop_the_run_and_none_is_kept(tmp_path):
    path, texts = tmp_path / "run.jsonl", [f"{'bad' if n % 4 == 3 else 'good'} {n}" for n in range(40)]
    with serving(lambda asked: (400, {}, TOO_LONG) if said(asked).startswith("bad") else "fine") as server:
        with pytest.raises(ModelError, match=r"with status 400.*; 3 calls were refused, more than the 5%"):
            run(path, server.url, texts, rejectable=2)
        assert len(server.bodies) < 20
    lines = (tmp_path / "run.jsonl.journal").read_text().splitlines()
    assert [] == [line for line in lines if json.loads(line).get("kind")]


def test_a_refusal_that_does_not_hold_is_no_answer(tmp_path):
    refusals = iter([True])
    with serving(
        lambda asked: (400, {}, TOO_LONG) if said(asked) == "bad" and next(refusals, False) else "fine"
    ) as server:
        live = run(tmp_path / "run.jsonl", server.url, ["one", "bad"], rejectable=1)
    assert ["fine", "fine"] == [reply.text for reply in live]


def test_what_one_asks_alone_is_never_rejected(tmp_path):
    """The critic has no examples."""

    async def go(url):
        async with Client(api_key="k") as client:
            for text in ("one", "bad"):
                await client.ask(Request(model(url), "system", (("user", text),)), "critic")

    with serving(lambda asked: (400, {}, TOO_LONG) if said(asked) == "bad" else "fine") as server:
        with pytest.raises(ModelError, match=r"^critic: .* with status 400"):
            asyncio.run(go(server.url))


def test_what_is_rejected_has_no_label():
    from ..examples import task

    reply = Reply("<label>food</label>", "rejected", (), "m", 0, 0)
    assert (None, "rejected") == task().read(reply)


# -- a path that is none, an interrupted run --------------------------------------------------------


@pytest.mark.parametrize("mode", ["live", "changed", "replay"])
def test_a_recording_that_is_a_folder_costs_no_call(tmp_path, mode):
    from promptlab.errors import RecordingError

    (tmp_path / "run.jsonl").mkdir()
    with serving(lambda asked: "fine") as server:
        with pytest.raises(RecordingError, match=r"run\.jsonl: is a folder, expected a recording: rename it"):
            run(tmp_path / "run.jsonl", server.url, ["one"], mode=mode)
    assert [] == server.bodies
