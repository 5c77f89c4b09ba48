"""The race: who leaves, who is kept, who is chosen, and what it costs."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

import promptlab as pl
from promptlab.data.sampling import rank
from promptlab.optimizer.forward import Forward
from promptlab.optimizer.history import Candidate
from promptlab.optimizer.race import Plan, chosen, hand_on, order, price, race, stages, staying
from promptlab.records import Reply
from promptlab.scoring.evaluation import evaluation_of, predict

from ..examples import examples, task
from ..server import serving

VALIDATION = task(400).splits["validation"]


def scored(name: str, right: Sequence[bool]) -> Candidate:
    """Make a candidate that is right where it says so."""
    prompt = pl.Prompt(name)
    rows = [
        predict(task(), e, Reply(f"<label>{e.label}</label>" if ok else "", "end_turn", (), "m", 1, 1))
        for e, ok in zip(VALIDATION, right, strict=False)
    ]
    return Candidate(prompt, validation=evaluation_of(task(), "validation", prompt, rows))


def answers(right: int, of: int, start: int = 0) -> list[bool]:
    return [(n - start) % of < right for n in range(of)]


def test_prompts_are_compared_after_12_24_48_examples_and_all():
    assert [12, 24, 48, 104] == stages(104)
    assert [12, 24, 60] == stages(60)
    assert [17] == stages(17)
    assert [5] == stages(5)


def test_new_prompts_cost_less_and_less_as_a_third_leaves_down_to_two():
    assert [6, 4, 2, 2, 2, 1] == [staying(new) for new in (9, 6, 4, 3, 2, 1)]
    assert 9 * 12 + 6 * 12 + 4 * 24 == price(9, [0, 12, 24, 48])


def test_labels_take_turns_so_that_the_first_examples_tell_of_each():
    placed = order(task(400), 0, 12)
    assert 6 == sum(one.label == "food" for one in placed)
    assert placed == order(task(400), 0, 100)[:12]
    assert placed != order(task(400), 1, 12)


def test_of_those_that_validation_cannot_tell_apart_the_much_shorter_wins():
    long, short = scored("long " * 30, answers(31, 40)), scored("short", answers(30, 40))
    assert short is chosen([long, short])


@pytest.mark.parametrize(
    ("name", "right"), [("short", 20), ("long " * 28, 30)], ids=["clearly behind", "hardly shorter"]
)
def test_else_the_better_wins(name, right):
    best = scored("long " * 30, answers(31, 40))
    assert best is chosen([scored(name, answers(right, 40)), best])


def test_of_equals_the_shorter_wins():
    assert "a" == chosen([scored("ab", answers(9, 20)), scored("a", answers(9, 20))]).prompt.system


def test_beside_the_best_the_one_is_kept_that_is_right_where_the_best_is_wrong():
    best = scored("best", answers(30, 40))
    close = scored("close", answers(29, 40))
    other = scored("other", answers(15, 40, start=25))
    assert (best, other) == hand_on([best, close, other])
    assert (best,) == hand_on([best, close])


def raced(right: dict[str, Any], parents: Sequence[str] = (), calls: int = 10_000, examples: int = 40):
    """Race prompts; `right` says of each which examples it has right, by their place."""
    places = {e.text: n for n, e in enumerate(VALIDATION)}
    labels = {e.text: e.label for e in VALIDATION}

    def answer(body):
        text = body["messages"][-1]["content"]
        ok = right[body["system"]](places[text])
        return f"<label>{labels[text]}</label>" if ok else "<label>neither</label>"

    async def run(url):
        async with pl.models.client.Client(workers=4, api_key="x") as client:
            forward = Forward(client, pl.Model("m", base_url=url), task(400), {})
            old = [Candidate(pl.Prompt(one)) for one in right if one in parents]
            new = [Candidate(pl.Prompt(one)) for one in right if one not in parents]
            found = await race(forward, "race", old, new, VALIDATION, stages(examples), calls)
            return *found, forward.calls

    with serving(answer) as server:
        return asyncio.run(run(server.url))


def left(gone: Sequence[Candidate]) -> dict[str, str]:
    return {one.prompt.system: one.left for one in gone}


def test_a_third_of_the_new_ones_leaves_at_each_stage():
    right = {f"p{n}": lambda place, n=n: place % 9 >= n for n in range(9)}
    alive, gone, _ = raced(right)
    assert "p0" == alive[0].prompt.system
    assert [12] * 3 == [one.answered for one in gone if one.left.startswith("among the weakest")][:3]
    assert 3 == sum(one.answered == 12 for one in [*alive, *gone])


def test_after_the_last_stage_nobody_leaves_for_being_weaker():
    alive, gone, _ = raced({f"p{n}": lambda place, n=n: place != n for n in range(5)}, examples=12)
    assert (5, []) == (len(alive), gone)


def test_who_is_shown_to_be_worse_leaves_parents_too():
    _, gone, _ = raced({"good": lambda place: True, "bad": lambda place: place % 8 > 5}, parents=["bad"])
    assert "worse than" in left(gone)["bad"]


def test_a_parent_leaves_only_when_it_is_shown_to_be_worse():
    right = {"good": lambda place: place < 8 or place % 2, "parent": lambda place: place != 0 and place % 2}
    alive, gone, _ = raced(right | {"new": lambda place: place not in (1, 2)}, ["parent"], examples=12)
    assert "parent" in [one.prompt.system for one in [*alive, *gone] if one.answered == 12]


def test_a_race_ends_when_one_prompt_is_left():
    alive, _, calls = raced({"good": lambda place: True, "bad": lambda place: False}, examples=40)
    assert (1, 24, 48) == (len(alive), alive[0].answered, calls)


def test_a_stage_that_costs_more_than_is_left_is_not_begun():
    right = {f"p{n}": lambda place: True for n in range(4)}
    for calls in (47, 48, 71, 72):
        alive, gone, spent = raced(right, calls=calls, examples=24)
        assert spent <= calls
        assert {47: 0, 48: 48, 71: 48, 72: 72}[calls] == spent
        assert 4 == len(alive) + len(gone)


def test_a_plan_asks_about_all_of_validation_or_as_many_as_a_third_of_the_calls():
    assert len(VALIDATION) == len(Plan(task(400), 400, 2, 0).examples)
    assert 100 // 3 == len(Plan(task(400), 100, 2, 0).examples)


def test_finals_are_for_two_and_for_more_where_30_percent_of_the_calls_pay_for_them():
    def plan(validation):
        homes = ["train"] * 20 + ["test"] * 20 + ["validation"] * validation
        split = [replace(one, split=home) for one, home in zip(examples(200), homes, strict=False)]
        return Plan(task(examples=split), 400, 2, 0)

    small, large = plan(60), plan(104)
    assert ([12, 24], [42, 60]) == (small.rounds, small.finals)
    assert [1, 1, 2, 3, 4] == [small.finalists(calls) for calls in (0, 71, 72, 90, 108)]
    assert (400 - 4 * 18 - 2 * 18) // 2 == small.limit(1, 0)
    assert (400 - 2 * 80) // 2 == large.limit(1, 0)


def test_there_are_fewer_rounds_where_the_calls_do_not_suffice():
    assert [1, 2, 4] == [Plan(task(400), calls, 5, 0).iterations for calls in (100, 200, 400)]


def test_calls_that_are_too_few_for_a_round_are_refused():
    with pytest.raises(ValueError, match="calls is 30: too few for a single round, with 0 canonical"):
        Plan(task(400), 30, 2, 0)


@pytest.mark.parametrize("calls", [100, *(pytest.param(n, marks=pytest.mark.thorough) for n in (150, 400))])
def test_the_calls_of_a_search_are_never_exceeded(calls):
    """Replies are random but for each request the same."""
    for salt, seed in itertools.product(range(3), range(2)):
        asked: list[str] = []

        async def reply(client, model, body, headers, salt=salt, asked=asked, *, live):
            asked.append(str(body))
            if "improve the prompt" in body.get("system", ""):
                text = f'{{"rule": "Look at {rank(salt, body) % 9}", "instead_of": ""}}'
                return Reply(text, "end_turn", ("text",), "m", 1, 1)
            label = task().labels[rank(salt, body) % 2]
            return Reply(f"<label>{label}</label>", "end_turn", ("text",), "m", 1, 1)

        marked = {e.id for e in task(200).splits["train"][: (calls // 25) * seed]}
        of = task(examples=[replace(e, canonical=e.id in marked) for e in examples(200)])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("promptlab.models.client.Client._try", reply)
            models = {"classifier": pl.Model("m", base_url="http://127.0.0.1:9"), "critic": "m"}
            pl.optimize(of, **models, calls=calls, per_label=3, seed=seed, api_key="x")
        test = {e.text for e in of.splits["test"]}
        search = [one for one in asked if "improve the prompt" not in one and not any(t in one for t in test)]
        assert calls * 0.5 < len(search) <= calls
