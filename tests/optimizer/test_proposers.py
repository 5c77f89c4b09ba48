"""Proposers: what each offers, what none may show, and what the loop makes of it."""

from __future__ import annotations

import asyncio
import json
import re
import warnings
from dataclasses import replace

import pytest

import promptlab as pl
from promptlab.models.prompts import first
from promptlab.optimizer.candidates import proposals
from promptlab.optimizer.critic import Critic
from promptlab.optimizer.history import Candidate
from promptlab.optimizer.proposers import Round, balanced, crossed, forms, mistaken, reasoned, shortened
from promptlab.records import Reply, Request
from promptlab.scoring.evaluation import evaluation_of, predict

from .. import examples
from ..examples import LABELS, model, task
from ..server import answering

FORM = "<label>weather</label> or <label>food</label>"


def tagged(label: str) -> str:
    return f"<label>{label}</label>"


def seen(prompt, of, wrong=()):
    """Score answers about the first ten train examples, of which some are wrong."""
    rows = []
    for one in of.splits["train"][:10]:
        label = {"weather": "food", "food": "weather"}[one.label] if one.id in wrong else one.label
        rows.append(predict(of, one, Reply(tagged(label), "end_turn", (), "m", 1, 1)))
    return evaluation_of(of, "train", prompt, rows)


def now(*prompts, of=None, wrong=(), number=1, seed=0, another=False) -> Round:
    """Make a round of a search with some parents."""
    of = of or task()
    parents = tuple(Candidate(one, minibatch=seen(one, of, wrong)) for one in prompts or (first(of),))

    async def silent(request):
        raise AssertionError("the critic is not asked")

    critic = Critic(silent, Request(pl.Model("m"), "", (("user", ""),)), parents[0].minibatch, 4000, another)
    return Round(of, number, seed, parents, (), critic)


def shown(prompt, of=None):
    """Return the examples that a prompt shows; each with a reply that scores 1."""
    of = of or task()
    by_text = {one.text: one for one in of.examples}
    found = [by_text[one.text] for one in prompt.demonstrations]
    for one, example in zip(prompt.demonstrations, found, strict=True):
        assert one.reply.endswith(tagged(example.label))
    return found


NOTED = task(examples=[replace(e, note=f"because {n}") for n, e in enumerate(task().examples)])


def test_balanced_draws_show_four_of_each_label_and_ask_for_the_label_alone():
    one, two, *_ = balanced(now())
    assert one != two
    for prompt in (one, two):
        assert [4, 4] == [sum(e.label == label for e in shown(prompt)) for label in LABELS]
        assert f"Answer with one line and nothing else: {FORM}" in prompt.system


def test_demonstrations_do_not_lie_label_by_label():
    orders = [[e.label for e in shown(one)] for one in list(balanced(now()))[:5]]
    assert any(labels != sorted(labels) and labels != sorted(labels, reverse=True) for labels in orders)


def test_draws_are_those_of_the_seed_and_the_round():
    drawn = [next(iter(balanced(now(seed=seed, number=n)))) for seed, n in [(0, 1), (0, 1), (1, 1), (0, 2)]]
    assert [True, False, False] == [drawn[0] == one for one in drawn[1:]]


def test_draws_hold_the_mistakes_of_a_parent():
    wrong = {one.id for one in task().splits["train"][:10] if one.label == "food"}
    in_place, beside = mistaken(now(wrong=wrong))
    assert 2 <= len(wrong & {e.id for e in shown(in_place)})
    assert 8 == len(shown(in_place))
    parent = in_place
    in_place, beside = mistaken(now(parent, wrong=wrong - {e.id for e in shown(parent)}))
    assert set(parent.demonstrations) < set(beside.demonstrations)
    assert [] == list(mistaken(now()))


def test_notes_become_reasons():
    (one, *_) = reasoned(now(of=NOTED))
    assert all(re.fullmatch(r"because \d+\n<label>\w+</label>", each.reply) for each in one.demonstrations)
    assert "first the reason in one short sentence, then <label>" in one.system
    assert [] == list(reasoned(now()))


def test_forms_state_each_order_once_and_keep_the_rules():
    parent = pl.Prompt(
        f"Rain is weather.\n\nThink, then say {FORM}", "Text: ", f"\nAnswer: {tagged('LABEL')}"
    )
    alone, before, after = forms(now(parent))
    for prompt in (alone, before, after):
        assert prompt.system.startswith("Rain is weather.\n\nAnswer with ")
        assert 1 == prompt.system.count(FORM)
        assert ("Text: ", "") == (prompt.prefix, prompt.suffix.strip())
    assert "one line" in alone.system
    assert before.system.index("reason") < before.system.index("<label>")
    assert after.system.index("<label>") < after.system.index("reason")


def test_crossing_gives_the_rules_of_one_to_the_demonstrations_of_another():
    rules = pl.Prompt(f"Rain is weather.\n\nSay {FORM}")
    one, two, *_ = balanced(now())
    (crossing,) = crossed(now(rules, one))
    assert crossing.demonstrations == one.demonstrations
    assert crossing.system.startswith("Rain is weather.\n\nAnswer with one line")
    assert set(one.demonstrations) | set(two.demonstrations) in [
        set(each.demonstrations) for each in crossed(now(one, two))
    ]
    assert [] == list(crossed(now()))


def test_shortening_leaves_out_every_second_demonstration_or_a_paragraph_of_the_rules():
    (one, *_) = balanced(now())
    (half, *_) = shortened(now(one))
    assert [2, 2] == [sum(e.label == label for e in shown(half)) for label in LABELS]
    long = pl.Prompt(f"Rain is weather.\n\nSoup, on the other hand, is food.\n\nSay {FORM}")
    assert [f"Rain is weather.\n\nSay {FORM}", f"Soup, on the other hand, is food.\n\nSay {FORM}"] == [
        each.system for each in shortened(now(long))
    ]


def test_canonical_and_disputed_examples_and_copies_of_held_out_ones_are_shown_by_none():
    train, (held_out, *_) = task().splits["train"], task().splits["test"]
    twin = f"{held_out.text} Copy."
    marks = {train[0].id: {"canonical": True}, train[1].id: {"disputed": True}, train[2].id: {"text": twin}}
    home = {e.id: split for split, some in task().splits.items() for e in some}
    marked = task(
        examples=[replace(e, split=home[e.id], note="so", **marks.get(e.id, {})) for e in task().examples]
    )
    current = now(of=marked, wrong=[e.id for e in train[:10]])
    assert [train[2].id] == [one.id for one, _ in marked.near_duplicates]
    offered = [*balanced(current), *mistaken(current), *reasoned(current)]
    never = {e.text for e in marked.examples if e.id in marks}
    assert 100 < len(offered)
    assert not never & {one.text for prompt in offered for one in prompt.demonstrations}


def optimized(url, proposers, of=None, **fields):
    models = {"classifier": model(url), "critic": model(url, "critic")}
    return pl.optimize(
        of or task(), **models | {"proposers": proposers, "calls": 150, "per_label": 6} | fields
    )


TEST = task().splits["test"][0]
STOLEN = [
    pl.Prompt(f"Better <label></label>: {TEST.text} is {TEST.label}"),
    pl.Prompt("Better <label></label>", f"{TEST.text} is {TEST.label}\n"),
    pl.Prompt("Better <label></label>", "", f"\n{TEST.text} is {TEST.label}"),
    pl.Prompt("Better <label></label>", reply_prefix=f"{TEST.text} is {TEST.label}"),
    pl.Prompt("Better <label></label>", demonstrations=((TEST.text, tagged(TEST.label)),)),
    pl.Prompt("Better <label></label>", demonstrations=(("Invented.", tagged("food")),)),
    pl.Prompt(
        "Better <label></label>",
        demonstrations=((task().splits["train"][0].text, f"As in {TEST.text} {tagged('food')}"),),
    ),
]


@pytest.mark.parametrize("stolen", STOLEN, ids=lambda one: str(STOLEN.index(one)))
def test_whatever_a_proposer_copies_is_refused_before_a_call(stolen):
    def thief(current):
        return [stolen]

    with answering(examples.answer) as server:
        run = optimized(server.url, [thief])
    assert run.best == run.first
    ((name, why),) = run.history[0].refused
    assert "thief" == name
    assert re.search(
        "copies a text that it may not know|which is in validation or test|not an example of train", why
    )
    assert not any("Better" in str(body) for body in server.bodies)


@pytest.mark.parametrize("mark", ["disputed", "nearly the same"])
def test_no_proposer_may_show_what_is_disputed_or_nearly_held_out(mark):
    """A user's own proposer neither, which takes examples where it likes."""
    home = {e.id: split for split, some in task().splits.items() for e in some}
    (one, *_) = task().splits["train"]
    changed = {"disputed": True} if mark == "disputed" else {"text": f"{TEST.text} Copy."}
    of = task(
        examples=[replace(e, split=home[e.id], **(changed if e == one else {})) for e in task().examples]
    )
    (shown,) = (e for e in of.examples if e.id == one.id)

    def mine(current):
        return [pl.Prompt("Better <label></label>", demonstrations=((shown.text, tagged(shown.label)),))]

    with answering(examples.answer) as server, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = optimized(server.url, [mine], of=of)
    assert run.best == run.first
    assert "is not an example of train that may be shown" in run.history[0].refused[0].why


def test_the_critic_sees_no_disputed_example_though_it_is_canonical():
    one = next(e for e in task().splits["train"] if int(e.id[1:]) % 6 == 3)  # answered wrong at first
    marks = {"canonical": True, "disputed": True}
    of = task(examples=[replace(e, **marks) if e == one else e for e in task().examples])
    with answering(examples.answer) as server:
        optimized(server.url, pl.PREDECESSOR, of=of)
    shown = [str(body) for body in server.bodies if body["model"] == "critic"]
    assert shown
    assert not any(one.text in text for text in shown)


def test_no_proposer_carries_a_held_out_text_into_a_prompt():
    """The critic repeats all it can think of: each text of validation and test."""
    held_out = [e.text for e in task().held_out]

    def answer(body):
        if "improve the prompt" not in body.get("system", ""):
            return examples.answer(body)
        rules = [json.dumps({"rule": f"As in: {text}", "instead_of": ""}) for text in held_out]
        if "Rewrite the prompt" in body["messages"][-1]["content"]:
            return f"<system>{FORM} {held_out}</system><prefix></prefix><suffix>{FORM}</suffix>"
        return "\n".join([examples.answer(body), *rules])

    noted = task(examples=NOTED.examples)
    with answering(answer) as server:
        run = optimized(server.url, pl.PROPOSERS, of=noted, calls=400)
    assert 5 < sum(len(step.candidates) for step in run.history)
    for body in server.bodies:
        asked = {**body, "messages": body["messages"][:-1]}
        assert not any(text in str(asked) for text in held_out)
        if body["model"] == "critic":
            assert not any(text in str(body) for text in held_out)


def test_no_prompt_is_asked_about_an_example_that_it_shows():
    """Not even if that was hard before: here the mistakes of the first prompt are what the best one shows."""

    def answer(body):
        number = int(re.search(r"Sentence (\d+)", body["messages"][-1]["content"])[1])
        right = number % 2 == 0 or (number % 6 == 1 and len(body["messages"]) > 1)
        return tagged(LABELS[number % 2 if right else 1 - number % 2])

    with answering(answer) as server:
        run = optimized(server.url, [mistaken], of=task(200), calls=400)
    assert run.history[1].parents[0].prompt.demonstrations
    hard = {row.example.text for row in run.history[0].parents[0].minibatch.mistakes}
    assert hard & {one.text for one in run.history[1].parents[0].prompt.demonstrations}
    several = [body for body in server.bodies if len(body["messages"]) > 1]
    assert 50 < len(several)
    for body in several:
        *before, last = [one["content"] for one in body["messages"] if one["role"] == "user"]
        assert last not in before


def test_a_proposer_of_ones_own_is_a_function_that_may_be_asynchronous():
    async def mine(current):
        assert (1, 0, first(task())) == (current.number, current.seed, current.best)
        return [pl.Prompt(f"Better {FORM}")]

    with answering(examples.answer) as server:
        run = optimized(server.url, [mine])
    assert ("mine", 1.0) == (run.finalists[0].proposer, run.test.macro_f1)


def test_a_proposer_that_returns_no_prompts_is_named():
    def broken(current):
        return pl.Prompt("Better")

    with (
        answering(examples.answer) as server,
        pytest.raises(TypeError, match="proposer broken returned Prompt"),
    ):
        optimized(server.url, [broken])


def test_single_rules_are_added_put_in_anothers_place_and_removed():
    def answer(body):
        if "improve the prompt" in body.get("system", ""):
            rules = [("Better.", ""), ("Rain.", "Weather or food?"), ("", "Weather or food?")]
            return "\n".join(json.dumps({"rule": rule, "instead_of": old}) for rule, old in rules)
        return examples.answer(body)

    parent = pl.Prompt(f"Weather or food?\n\nSay {FORM}")
    with answering(answer) as server:
        run = optimized(server.url, [pl.optimizer.proposers.edited], of=task(400), prompt=parent, calls=500)
    assert {
        f"Weather or food?\n\n- Better.\n\nSay {FORM}\n",
        f"Rain.\n\nSay {FORM}",
        f"Say {FORM}",
    } == {one.prompt.system for one in run.history[0].candidates}
    assert run.best.system.startswith("Weather or food?\n\n- Better.")


CLEAR = task().splits["train"][2]
GUARDED = task(examples=[replace(e, canonical=e == CLEAR) for e in task().examples])


def breaking(body):
    """Answer right where the prompt says "Better", but for the clear case."""
    clear = CLEAR.text in body["messages"][-1]["content"]
    if clear and "Better" in body.get("system", ""):
        return tagged({"weather": "food", "food": "weather"}[CLEAR.label])
    return tagged(CLEAR.label) if clear else examples.answer(body)


def better(current):
    return [pl.Prompt(f"Better {FORM}")]


def test_a_prompt_that_breaks_a_canonical_example_is_not_accepted():
    with answering(breaking) as server:
        run = optimized(server.url, [better], of=GUARDED)
        free = optimized(server.url, [better])
    (gone,) = run.history[0].candidates
    assert (run.first, f"canonical {CLEAR.id} came out wrong") == (run.best, gone.left)
    assert free.best.system.startswith("Better")


def test_a_parent_that_only_a_breaking_prompt_beats_stays():
    """It had left the race, shown to be worse than the one that may not be kept."""

    def answer(body):
        text = body["messages"][-1]["content"]
        label = LABELS[int(re.search(r"Sentence (\d+)", text)[1]) % 2]
        right = ("Better" in body["system"]) != (CLEAR.text in text)
        return tagged(label if right else "neither")

    with answering(answer) as server:
        of = task(400)
        of = replace(of, examples=[replace(e, canonical=e.text == CLEAR.text) for e in of.examples])
        run = optimized(server.url, [better], of=of, calls=400)
    assert (run.first, run.first) == (run.best, run.history[0].kept[0].prompt)
    (gone,) = run.history[0].candidates
    assert f"canonical {CLEAR.id} came out wrong" == gone.left


def test_a_canonical_example_that_the_parent_has_wrong_may_stay_wrong():
    def wrong_before(body):
        clear = CLEAR.text in body["messages"][-1]["content"]
        return tagged({"weather": "food", "food": "weather"}[CLEAR.label]) if clear else examples.answer(body)

    with answering(wrong_before) as server:
        assert optimized(server.url, [better], of=GUARDED).best.system.startswith("Better")


@pytest.mark.parametrize(
    ("another", "turns"),
    [
        (False, ["balanced", "rewritten", "forms", "edited", "balanced", "rewritten"]),
        (True, ["rewritten", "balanced", "edited", "forms", "rewritten", "balanced"]),
    ],
)
def test_every_second_turn_is_the_critics_where_it_is_another_model(another, turns):
    def named(name):
        def propose(current):
            return [pl.Prompt(f"{name} {n}") for n in range(3)]

        propose.__name__ = name
        return propose

    async def taken():
        proposers = [named(name) for name in ("balanced", "rewritten", "forms", "edited")]
        return [name async for name, _ in proposals(now(another=another), proposers, set())]

    assert turns == asyncio.run(taken())[:6]


def test_a_critic_of_another_name_is_another_model():
    seen = []

    def look(current):
        seen.append(current.critic.another)
        return []

    with answering(examples.answer) as server:
        for name in ("synthetic", "critic"):
            optimized(server.url, [look], critic=model(server.url, name), iterations=1)
    assert [False, True] == seen


def test_canonical_examples_are_in_every_minibatch():
    """A proposer that acts on a canonical example comes to nothing in a task that has none."""

    def on_canonical(current):
        asked = [row.example for row in current.parents[0].minibatch.rows]
        return (
            [pl.Prompt(f"{current.number} Better {FORM}")]
            if CLEAR in [replace(e, canonical=False) for e in asked]
            else []
        )

    with answering(examples.answer) as server:
        runs = [optimized(server.url, [on_canonical], of=of, per_label=1) for of in (GUARDED, task())]
    assert [True, False] == [run.best != run.first for run in runs]


def test_hard_examples_are_asked_about_again():
    """A proposer that finds its way only once it sees the same mistake for a second time."""

    def persistent(current):
        wrong = [{row.example.id for row in step.parents[0].minibatch.mistakes} for step in current.history]
        again = {row.example.id for row in current.parents[0].minibatch.mistakes}
        if wrong and wrong[0] & again:
            return [pl.Prompt(f"Better {FORM}")]
        return [pl.Prompt(f"Number {current.number}: {FORM}")]

    with answering(examples.answer) as server:
        run = optimized(server.url, [persistent], of=task(800), per_label=8, calls=300)
    one, two = (step.parents[0].minibatch for step in run.history)
    assert run.best.system.startswith("Better")
    assert {row.example.id for row in one.mistakes} & {row.example.id for row in two.rows}


def test_a_second_parent_is_kept_for_what_the_best_has_wrong():
    """One half of the texts is right with one rule, the other with another; only both together help."""

    def answer(body):
        number = int(re.search(r"Sentence (\d+)", body["messages"][-1]["content"])[1])
        known = [n for n, rule in enumerate(("Rain.", "Soup.")) if rule in body.get("system", "")]
        right = number % 3 == 0 or (number // 2) % 2 in known
        return tagged(LABELS[number % 2] if right else LABELS[(number + 1) % 2])

    def halves(current):
        if current.number == 1:
            return [pl.Prompt(f"Rain. {FORM}"), pl.Prompt(f"Soup. {FORM}")]
        systems = " ".join(one.prompt.system for one in current.parents)
        return [pl.Prompt(systems)] if "Rain." in systems and "Soup." in systems else []

    with answering(answer) as server:
        run = optimized(server.url, [halves], of=task(400), calls=400)
    assert 1.0 == run.test.macro_f1
    assert "halves" == run.finalists[0].proposer


def test_near_duplicates_are_reported_before_the_first_call():
    home = {e.id: split for split, some in task().splits.items() for e in some}
    (twin, *_), (held_out, *_) = task().splits["train"], task().splits["test"]
    doubled = task(
        examples=[
            replace(e, split=home[e.id], text=f"{held_out.text} Copy." if e == twin else e.text)
            for e in task().examples
        ]
    )
    calls = []

    def stop(body):
        calls.append(body)
        return examples.answer(body)

    with answering(stop) as server, warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(
            UserWarning, match=rf"test: 1 \({twin.id} and {held_out.id}\); no prompt will show"
        ):
            optimized(server.url, pl.PROPOSERS, of=doubled)
    assert [] == calls
