from __future__ import annotations

import asyncio
import inspect
import json
import random
import re
import signal
import threading
import typing
from dataclasses import replace

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import promptlab as pl
from promptlab.data.sampling import rank
from promptlab.models.blocking import synchronous
from promptlab.models.prompts import first
from promptlab.optimizer import loop
from promptlab.optimizer.history import Iteration
from promptlab.records import Reply

from .. import examples
from ..examples import LABELS, model, task
from ..server import answering, serving

SETTINGS = {"calls": 250, "iterations": 2, "per_label": 6}


def optimized(url, of=None, **fields):
    models = {"classifier": model(url), "critic": model(url, "critic")}
    return pl.optimize(of or task(), **models | SETTINGS | fields)


@pytest.fixture(scope="module")
def run():
    with serving(examples.answer) as server:
        found = optimized(server.url)
        found.__dict__["asked"] = server.bodies
        return found


def test_a_better_prompt_is_found_and_kept(run):
    assert run.history[0].accepted
    assert run.best == run.history[0].best.prompt != run.first == first(task())
    assert "rewritten" == run.finalists[0].proposer
    assert 1.0 == run.test.macro_f1 > run.test_first.macro_f1


def test_once_nothing_is_wrong_the_search_ends(run):
    assert 1 == len(run.history)
    assert run.history[0].best.perfect


def test_every_distinct_request_is_asked_once(run):
    bodies = [str(body) for body in run.asked]
    assert len(set(bodies)) == len(bodies) == run.usage.calls


def test_test_texts_are_asked_about_only_at_the_end(run):
    test = {e.text for e in task().split("test")}
    about_test = [any(text in str(body) for text in test) for body in run.asked]
    assert about_test == sorted(about_test)
    assert 2 * len(test) == sum(about_test)


def test_the_critic_sees_no_text_of_validation_or_test(run):
    held_out = [e.text for name in ("validation", "test") for e in task().split(name)]
    for body in run.asked:
        if body["model"] == "critic":
            assert not any(text in str(body) for text in held_out)


def test_a_run_does_not_depend_on_the_number_of_workers():
    runs = []
    with answering(examples.answer) as server:
        for workers in (1, 3, 16):
            runs.append(optimized(server.url, workers=workers))
    assert runs[0] == runs[1] == runs[2]
    assert repr(runs[0].history) == repr(runs[2].history)


@settings(max_examples=6, phases=[Phase.explicit, Phase.generate])
@given(salt=st.integers(), seed=st.integers(0, 3), per_label=st.integers(1, 12))
def test_a_run_is_a_function_of_examples_settings_and_replies(salt, seed, per_label):
    """Replies are random but for each request the same; they arrive in any order."""

    async def reply(client, model, body, headers, *, live):
        noise = rank(salt, body)
        await asyncio.sleep(random.choice([0, 0, 0.001]))
        critic = "improve the prompt" in body.get("system", "")
        answers = [f"<label>{label}</label>" for label in LABELS] + ["hm"]
        text = examples.answer(body) if critic else answers[noise % 3]
        return Reply(text, "end_turn", ("text",), "synthetic", noise % 50, 1)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("promptlab.models.client.Client._try", reply)
        one = optimized("http://127.0.0.1:9", seed=seed, per_label=per_label, workers=1)
        two = optimized("http://127.0.0.1:9", seed=seed, per_label=per_label, workers=7)
    assert one == two


def test_a_critic_that_says_nothing_useful_leaves_the_first_prompt():
    def useless(body):
        return "I cannot." if "improve the prompt" in body.get("system", "") else examples.answer(body)

    with answering(useless) as server:
        run = optimized(server.url, proposers=pl.PREDECESSOR)
    assert run.best == run.first
    assert "no new prompt is better: macro F1 1.000 on 12 validation examples" == run.history[0].verdict
    (refused,) = run.history[0].refused
    assert ("rewritten", "the part <system>...</system> is missing or not complete") == refused
    assert 2 == len(run.history), "another minibatch may lead to another proposal"
    assert run.test == run.test_first


def test_bad_data_costs_nothing():
    with answering(examples.answer) as server:
        with pytest.raises(pl.DataError, match="Each split needs 5 of each label"):
            optimized(server.url, of=task(20))
        assert [] == server.bodies


def test_evaluate_scores_one_split():
    with answering(examples.answer) as server:
        result = pl.evaluate(task(), pl.Prompt("Better"), classifier=model(server.url), split="validation")
    assert (1.0, len(task().split("validation"))) == (result.macro_f1, result.scores.n)


def test_evaluate_takes_the_folder_of_a_prompt(tmp_path):
    (tmp_path / "system.md").write_text("Better")
    with answering(examples.answer) as server:
        result = pl.evaluate(task(), tmp_path, classifier=model(server.url))
    assert pl.Prompt("Better") == result.prompt


def test_each_example_can_be_asked_several_times():
    """A model that answers otherwise when asked again."""
    counted: dict[str, int] = {}

    def fickle(body):
        text = body["messages"][-1]["content"]
        counted[text] = counted.get(text, 0) + 1
        return f"<label>{LABELS[counted[text] % 2]}</label>"

    with answering(fickle) as server:
        result = pl.evaluate(
            task(), pl.Prompt("s"), classifier=model(server.url), repeats=3, split="validation", workers=1
        )
    examples_ = task().split("validation")
    assert [(one.id, n) for one in examples_ for n in range(3)] == [
        (r.example.id, r.repeat) for r in result.rows
    ]
    assert (len(examples_), 3, 3 * len(examples_)) == (result.examples, result.repeats, len(server.bodies))
    assert {3} == set(counted.values())
    right = [sum(row.correct for row in result.rows if row.example == one) for one in examples_]
    assert {1, 2} == set(right)
    assert sum(right) / 3 / len(right) == pytest.approx(result.accuracy)
    assert [0, 1, 2] == list(result.predictions["repeat"])[:3]


def test_canonical_examples_are_asked_three_times_and_the_majority_counts():
    about = task(examples=tuple(replace(e, canonical=e.id == "e001") for e in task().examples))
    says = iter(["food", "weather", "food"])

    def answer(body):
        asked = "Sentence 1 " in body["messages"][-1]["content"]
        return f"<label>{next(says) if asked else 'food'}</label>"

    with answering(answer) as server:
        result = pl.evaluate(about, pl.Prompt("s"), classifier=model(server.url), workers=1)
    assert [True, False, True] == [row.correct for row in result.canonical_rows]
    assert result.canonical.all_correct
    assert "food" == result.canonical["e001"].label
    assert result.examples + 3 == len(server.bodies)


@pytest.mark.parametrize("name", ["repeats", "canonical"])
def test_an_example_is_asked_once_at_least(name):
    with pytest.raises(ValueError, match=f"{name} is 0, expected 1 or more"):
        pl.evaluate(task(), pl.Prompt("s"), classifier="m", **{name: 0})


def test_it_works_where_a_loop_is_already_running():
    """As in a notebook."""

    async def cell():
        with answering(examples.answer) as server:
            return optimized(server.url)

    assert asyncio.run(cell()).best.system.startswith("Better")


def test_the_stop_button_of_a_notebook_stops_the_thread_that_works():
    """A cell runs within a loop, so the work is in a thread, which no signal reaches."""
    ended = []

    async def work_async():
        try:
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            await asyncio.sleep(20)
        except asyncio.CancelledError as error:
            ended.append("stopped")
            error.add_note("three replies are kept")
            raise

    async def cell():
        synchronous(work_async)()

    loop = asyncio.new_event_loop()  # asyncio.run would take the signal, which a notebook's kernel does not
    with pytest.raises(KeyboardInterrupt) as interrupt:
        loop.run_until_complete(cell())
    loop.close()
    assert ["stopped"] == ended
    assert ["three replies are kept"] == interrupt.value.__notes__


def test_the_asynchronous_api_gives_the_same():
    async def cell(url):
        models = {"classifier": model(url), "critic": model(url, "critic")}
        steps = [step async for step in pl.steps(task(), **models, **SETTINGS)]
        return steps, await pl.optimize_async(task(), **models, **SETTINGS)

    with answering(examples.answer) as server:
        steps, run = asyncio.run(cell(server.url))
    assert steps == [*run.history, run]
    assert isinstance(steps[0], Iteration)


def test_optimize_shows_the_settings_of_the_loop():
    settings = [*inspect.signature(pl.steps).parameters, "record", "name", "live"]
    assert settings == list(inspect.signature(pl.optimize).parameters)
    assert settings == list(inspect.signature(pl.optimize_async).parameters)
    assert ["optimize", "evaluate"] == [pl.optimize.__name__, pl.evaluate.__name__]
    for documented in ("per_label: examples of each label in a minibatch", "record: a folder", "Raises:"):
        assert documented in pl.optimize.__doc__


@pytest.mark.parametrize(
    ("function", "settings", "others"),
    [
        (pl.steps, loop.Settings, {"task", "classifier", "critic"}),
        (
            pl.evaluate_async,
            loop.Asking,
            {"task", "prompt", "classifier", "split", "repeats", "record", "name", "live"},
        ),
    ],
)
def test_typed_settings_are_those_of_the_functions(function, settings, others):
    types = typing.get_type_hints(function)
    parameters = inspect.signature(function).parameters
    assert set(parameters) == others | settings.__annotations__.keys()
    assert {name: types[name] for name in settings.__annotations__} == typing.get_type_hints(settings)
    assert all(parameters[name].default is not inspect.Parameter.empty for name in settings.__annotations__)


def test_a_setting_that_does_not_exist_is_an_error():
    with pytest.raises(TypeError, match="iteratons"):
        pl.optimize(task(), classifier="small", critic="large", iteratons=3)


@pytest.mark.parametrize("name", ["calls", "iterations", "per_label", "workers"])
def test_a_setting_below_one_is_an_error(name):
    with pytest.raises(ValueError, match=f"{name} is 0, expected 1 or more"):
        pl.optimize(task(), classifier="small", critic="large", **{name: 0})


def test_an_empty_prompt_is_a_prompt_to_start_from():
    with answering(examples.answer) as server:
        assert pl.Prompt() == optimized(server.url, prompt=pl.Prompt()).first


def test_notes_are_never_sent_with_the_text_that_is_asked_about():
    noted = task(examples=[replace(e, note=f"SECRET {e.label}") for e in task().examples])
    with answering(examples.answer) as server:
        pl.evaluate(noted, pl.Prompt("Better"), classifier=model(server.url))
    assert "SECRET" not in json.dumps(server.bodies)


def test_a_draw_of_ones_own_chooses_the_minibatches():
    def longest(examples, labels, seed, iteration):
        assert (("weather", "food"), 0) == (labels, seed)
        return sorted(examples, key=lambda e: (-len(e.text), e.id))[iteration : iteration + 9]

    with answering(examples.answer) as server:
        run = optimized(server.url, of=task(draw=longest))
        plain = optimized(server.url)
    expected = [e.id for e in longest(task().split("train"), LABELS, 0, 1)]
    batch = run.history[0].parents[0].minibatch
    assert set(expected) == {row.example.id for row in batch.rows}
    assert batch != plain.history[0].parents[0].minibatch


@pytest.mark.parametrize(
    "draw",
    [lambda *given: [], lambda given, *rest: [given[0], given[0]], lambda *given: task().split("test")[:1]],
    ids=["nothing", "one twice", "one of test"],
)
def test_a_draw_of_what_is_no_train_example_is_refused(draw):
    with pytest.raises(
        pl.DataError, match=r"draw returned \d examples for iteration 1, expected one or more of the 30"
    ):
        task(draw=draw).minibatch(pl.Prompt(), per_label=5, seed=0, iteration=1)


def test_an_overlay_changes_the_outcome(tmp_path):
    """Two labels are wrong in the data; the overlay mends them, and excludes a third example."""
    rows = [{"id": e.id, "text": e.text, "label": e.label} for e in task().examples]
    test = [e.id for e in task().split("test")]
    bad = {
        one: {"weather": "food", "food": "weather"}[row["label"]]
        for row in rows
        if (one := row["id"]) in test[:2]
    }
    data = tmp_path / "data.csv"
    lines = [
        f"{r['id']},{r['text']},{bad.get(r['id'], r['label'])},{'test' if r['id'] in test else ''}\n"
        for r in rows
    ]
    data.write_text("id,text,label,split\n" + "".join(lines))
    overlay = tmp_path / "overlay.csv"
    right = {row["id"]: row["label"] for row in rows}
    overlay.write_text(
        "id,label,exclude,reason\n"
        + "".join(f"{one},{right[one]},,misread\n" for one in bad)
        + f"{test[2]},,yes,a copy\n"
    )
    with answering(examples.answer) as server:
        plain, mended = (
            pl.evaluate(
                task(examples=pl.read_csv(data, **more)), pl.Prompt("Better"), classifier=model(server.url)
            )
            for more in ({}, {"overlay": overlay})
        )
    assert (30, 2) == (plain.examples, len(plain.mistakes))
    assert (29, 0) == (mended.examples, len(mended.mistakes))


def test_a_reply_prefix_changes_what_is_answered_and_is_part_of_it():
    """A model that reasons without end unless its reply is begun for it."""

    def begun(body):
        number = int(re.search(r"Sentence (\d+)", body["messages"][0]["content"])[1])
        last = body["messages"][-1]
        return f"{LABELS[number % 2]}</label>" if last["role"] == "assistant" else "Well, let me think."

    with answering(begun) as server:
        with_prefix, without = (
            pl.evaluate(task(), pl.Prompt(reply_prefix=start), classifier=model(server.url))
            for start in ("<label>", "")
        )
    assert (1.0, 0.0) == (with_prefix.macro_f1, without.macro_f1)
    assert 1.0 == without.missing["absent"]
