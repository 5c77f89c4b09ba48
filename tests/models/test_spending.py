"""Dollars: what calls cost, and a budget that is never exceeded, whatever the server does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import promptlab as pl
from promptlab.errors import BudgetExceeded, DataError, ModelError
from promptlab.models import client as models
from promptlab.models import profiles
from promptlab.models.client import Client
from promptlab.models.spending import Budget, dollars, spent, worst
from promptlab.records import Model, Price, Reply, Request, Usage

from ..examples import model, task
from ..server import message, serving

PRICE = Price(10, 100)  # dollars per million: a token in is a thousandth of a cent


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(models, "_wait", lambda asked, attempt: 0.0)


def reply(read, written, write=0, hit=0, seconds=None):
    return Reply("x", "end_turn", ("text",), "m", read, written, write, hit, seconds)


def test_what_calls_cost_is_counted_by_kind_of_token():
    haiku = Model("claude-haiku-5-5")
    assert 0.07 * 0.5 + 0.5 * 0.075 == pytest.approx(dollars(haiku, *[reply(600, 150)] * 500), rel=0.1)
    cached = reply(10_000, 100, write=2000, hit=7000)  # and 1,000 plain
    assert pytest.approx((1000 * 0.1 + 100 * 0.5 + 2000 * 0.125 + 7000 * 0.01) / 1e6) == dollars(
        haiku, cached
    )
    assert pytest.approx((200_000 * 0.5 + 100 * 2.5) / 1e6) == dollars(haiku, reply(200_000, 100))
    assert dollars(Model("qwen"), reply(1, 1)) is None
    assert pytest.approx(0.00011) == dollars(Model("qwen", price=PRICE), reply(1, 1))


def test_without_prices_for_the_cache_its_tokens_cost_what_others_do():
    assert (10, 100, 10, 10) == PRICE.of(5)


def test_the_worst_case_is_a_token_a_byte_and_the_longest_reply():
    body = {"messages": "é" * 10}
    most = len(json.dumps(body).encode())
    assert pytest.approx((most * 10 + 50 * 100) / 1e6) == worst(Model("m", max_tokens=50, price=PRICE), body)
    held = Model("m", max_tokens=50, price=PRICE, structured={"type": "object"})  # by hidden instructions
    assert worst(held, body) > worst(Model("m", max_tokens=50, price=PRICE), body) + 0.01
    with pytest.raises(
        DataError, match=r'\[tool.promptlab.prices."m"\] \(input and output, dollars per million'
    ):
        worst(Model("m"), body)


def test_what_a_role_took_is_said_in_a_line():
    some = [reply(100, 10, hit=60, seconds=n / 10) for n in range(1, 21)]
    found = spent("classifier", Model("m", price=PRICE), some)
    assert Usage(20, 2000, 200, 0, 1200) == found.usage
    line = "classifier m: 20 calls, 2,000 tokens in (1,200 of them cached), 200 out, $0.0400; 1.05 s a call, 95% under 2.00 s"
    assert line == str(found)
    assert "critic m: 1 calls, 1 tokens in, 1 out, price unknown" == str(
        spent("critic", Model("m"), [reply(1, 1)])
    )


# -- a budget ------------------------------------------------------------------------------------


def ask(url, budget, count=20, workers=4, **fields):
    async def go():
        async with Client(api_key="k", workers=workers, budget=budget) as client:
            asked = [
                Request(replace(model(url), price=PRICE, **fields), "", (("user", f"text {n}"),))
                for n in range(count)
            ]
            return await client.ask_all((one, "a call") for one in asked)

    return asyncio.run(go())


@settings(max_examples=30, deadline=None)
@given(
    limit=st.floats(0.001, 0.2),
    workers=st.sampled_from([1, 3, 16]),
    faults=st.lists(st.sampled_from(["fine", 529, 429, "broken", 400]), min_size=30, max_size=30),
)
def test_a_budget_is_never_exceeded_whatever_the_server_does(limit, workers, faults):
    """Each answer that is fine, or broken off, is paid at the server's own count."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "_wait", lambda asked, attempt: 0.0)
        paid, told = [], iter(faults)

        def answer(body):
            fault = next(told, "fine")
            if isinstance(fault, int):
                return fault, {}, {}
            usage = {"input_tokens": len(json.dumps(body)) // 3, "output_tokens": 7 * len(paid) % 90}
            paid.append((usage["input_tokens"] * 10 + usage["output_tokens"] * 100) / 1e6)
            return b"{" if fault == "broken" else message("fine", usage=usage)

        budget = Budget(limit)
        with serving(answer) as server:
            with contextlib.suppress(BudgetExceeded, ModelError):
                ask(server.url, budget, workers=workers, max_tokens=100)
        assert sum(paid) <= budget.spent + 1e-12 <= limit + 2e-12
        assert 0 == pytest.approx(budget._reserved)


def test_calls_wait_for_room_and_as_many_are_made_as_fit():
    """A call may cost 0.0021 and costs 0.0006: all twenty fit into 0.0145, although seven at once do not."""
    with serving(lambda body: "fine") as server:
        budget = Budget(0.0145)
        assert 20 == len(ask(server.url, budget, workers=16, max_tokens=10))
    assert pytest.approx(20 * 0.0006) == budget.spent


def test_the_error_says_what_is_left_and_what_the_next_call_may_cost():
    with serving(lambda body: "fine") as server:
        with pytest.raises(
            BudgetExceeded,
            match=r"^of the budget of \$0\.01, \$0\.00\d\d is left, and the next call to synthetic may cost \$0\.00\d\d$",
        ):
            ask(server.url, Budget(0.01), workers=1, max_tokens=10)
        assert 10 < len(server.bodies) < 20


def test_without_a_known_price_no_call_is_made_while_there_is_a_cap():
    with serving(lambda body: "fine") as server:
        for work in (
            lambda: pl.evaluate(task(), pl.Prompt("x"), classifier=model(server.url), max_cost=1),
            lambda: pl.optimize(
                task(),
                classifier=replace(model(server.url), price=PRICE),
                critic=model(server.url),
                max_cost=1,
            ),
        ):
            with pytest.raises(DataError, match="the price of synthetic is not known, so no cap can be kept"):
                work()
    assert [] == server.bodies


@pytest.mark.parametrize("limit", [0, -1, float("nan")])
def test_a_budget_is_more_than_nothing(limit):
    with pytest.raises(DataError, match=r"max_cost is .*, expected dollars, more than 0"):
        pl.evaluate(task(), pl.Prompt("x"), classifier=Model("m", price=PRICE), max_cost=limit)


def test_runs_share_a_budget():
    budget = pl.Budget(0.2)
    with serving(lambda body: "<label>food</label>") as server:
        priced = replace(model(server.url), price=PRICE, max_tokens=10)
        result = pl.evaluate(task(), pl.Prompt("x"), classifier=priced, max_cost=budget)
        assert pytest.approx(sum(one.dollars for one in result.spent)) == budget.spent
        budget.limit = budget.spent * 1.5
        with pytest.raises(BudgetExceeded):
            pl.evaluate(task(), pl.Prompt("x"), classifier=priced, max_cost=budget)
    assert budget.spent <= budget.limit


def test_a_part_of_a_budget_is_limited_by_both():
    whole = Budget(10)
    part = Budget(4, whole)
    assert (part.reserve(3), part.reserve(3), whole.reserve(8)) == (True, False, False)
    part.settle(3, 2)
    assert (2.0, 2.0, 8.0) == (part.spent, whole.spent, whole.left)
    whole.settle(0, 7.5)
    assert not part.reserve(1)
    assert "of the budget of $10.00, $0.5000 is left" in str(part.exceeded(Model("m"), 1))
    assert 0.0 == part._reserved


# -- prices in pyproject.toml ----------------------------------------------------------------------

PYPROJECT = """
[tool.promptlab.prices."claude-haiku-5-5"]
input = 3
output = 4.5
"""


def test_prices_of_the_project_come_before_the_table(tmp_path):
    file = tmp_path / "pyproject.toml"
    file.write_text(PYPROJECT)
    profile = profiles.read(file, live=True)
    assert Price(3, 4.5) == profile.classifier.price
    assert profile.critic.price is None
    assert profile.classifier == profiles.CLAUDE.classifier  # a price is no part of what is asked


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("input = -1", "input is -1, expected dollars per million tokens"),
        ("input = '3'", "input is '3', expected dollars"),
        ("input = true", "input is True, expected dollars"),
        ("input = nan", "input is nan, expected dollars"),
        ("inputs = 3", "'inputs' is not known"),
        ("", "input is None, expected dollars"),
    ],
)
def test_a_price_that_is_none_is_named(tmp_path, line, why):
    file = tmp_path / "pyproject.toml"
    file.write_text(f'[tool.promptlab.prices."m"]\noutput = 1\n{line}\n')
    with pytest.raises(DataError, match=why):
        profiles.read(file, live=True)


def test_the_cached_tokens_and_the_seconds_of_a_call_are_part_of_its_reply(tmp_path):
    from promptlab.cassettes import recorder

    usage = {
        "input_tokens": 3,
        "output_tokens": 5,
        "cache_read_input_tokens": 7,
        "cache_creation_input_tokens": 2,
    }
    asked = [(Request(Model("m"), "s", (("user", "hi"),)), "a call")]

    async def go(url):
        async with Client(api_key="k") as client:
            return await client.ask_all(
                (replace(one, model=model(url)), who) for one, who in asked
            ), client.spent

    with (
        serving(lambda body: time.sleep(0.05) or message("fine", usage=usage)) as server,
        recorder.use(tmp_path / "a.jsonl", mode="live", record_with=""),
    ):
        (live,), _ = asyncio.run(go(server.url))
    with recorder.use(tmp_path / "a.jsonl", mode="replay", record_with=""):
        (again,), (of,) = asyncio.run(go("http://127.0.0.1:9"))
    assert (12, 5, 2, 7) == (
        live.input_tokens,
        live.output_tokens,
        live.cache_write_tokens,
        live.cache_read_tokens,
    )
    assert live == again
    assert 0.05 <= again.seconds <= live.seconds + 0.001  # it is rounded; the client's takes in more
    assert ("classifier", Usage(1, 12, 5, 2, 7)) == (of.role, of.usage)
