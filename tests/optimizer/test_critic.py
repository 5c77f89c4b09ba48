from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptlab.data.overlap import copied
from promptlab.errors import RewriteError
from promptlab.models.prompts import first
from promptlab.optimizer.critic import context, criticize, read_claims, rewrite
from promptlab.optimizer.history import Critique
from promptlab.optimizer.rewrite import check_prompt, read_prompt
from promptlab.records import Model, Prediction, Prompt, Reply
from promptlab.scoring.evaluation import evaluation_of

from ..examples import examples, task

PARENT = first(task())
FORM = "Say food or weather: <label>food</label>."
GOOD = f"<system>{FORM}</system><prefix></prefix><suffix>{FORM}</suffix>"


def reply(text: str, stop_reason: str = "end_turn") -> Reply:
    return Reply(text, stop_reason, ("text",), "synthetic", 1, 1)


def seen(wrong: dict[str, str | None], text: str = "because", prompt: Prompt = PARENT):
    """Score predictions that are right but for `wrong`, id to label."""
    rows = []
    for example in task().splits["train"]:
        label = wrong.get(example.id, example.label)
        right = float(label == example.label)
        rows.append(Prediction(example, reply(text), label, None if label else "absent", score=right))
    return evaluation_of(task(), "train", prompt, rows)


TRAIN = [e.id for e in task().splits["train"]]
WEATHER = [e.id for e in task().splits["train"] if e.label == "weather"]
FOOD = [e.id for e in task().splits["train"] if e.label == "food"]
WRONG = {WEATHER[0]: "food", WEATHER[1]: None, FOOD[0]: "weather"}


def claim(ids, gold="weather", answered="food", why="too vague"):
    return json.dumps({"ids": ids, "gold": gold, "answered": answered, "why": why})


def shown(of, history=(), **fields):
    return context(task(), of, history, Model("critic"), **{"mistakes": 10, "correct": 5, "seed": 0} | fields)


def answering(*replies):
    """Ask a critic that gives these replies, one after the other; keep what it was asked."""
    left = [one if isinstance(one, Reply) else reply(one) for one in replies]
    asked = []

    async def ask(request):
        asked.append(request)
        return left.pop(0)

    return ask, asked


def test_the_critic_sees_at_most_so_many_of_each_label():
    wrong = dict.fromkeys([*WEATHER[:12], *FOOD[:12]])
    text = shown(seen(wrong), mistakes=10, correct=5).messages[0][1]
    assert 20 == text.count('"answered": "no label"')
    right = sum(min(5, len(ids) - 12) for ids in (WEATHER, FOOD))
    assert 20 + right == text.count('"reply"')


def test_the_critic_sees_prompt_counts_mistakes_notes_and_history():
    result = seen(WRONG)
    noted = replace(result, rows=tuple(
        replace(row, example=replace(row.example, note="a note")) for row in result.rows
    ))  # fmt: skip
    text = shown(noted).messages[0][1]
    assert all(getattr(PARENT, part).strip() in text for part in ("system", "prefix", "suffix"))
    assert "gold 'weather', answered 'food'" in text
    assert '"note": "a note"' in text
    assert "answered no label" in text


def test_only_train_texts_are_shown():
    text = shown(seen(WRONG)).messages[0][1]
    held_out = task().splits["validation"] + task().splits["test"]
    assert not any(example.text in text for example in held_out)


@given(st.text())
def test_no_reply_can_break_out_of_its_line(text):
    before = len(shown(seen(WRONG, "")).messages[0][1].split("\n"))
    assert before == len(shown(seen(WRONG, text)).messages[0][1].split("\n"))


def test_a_true_claim_is_kept():
    found = read_claims(f"Well:\n```json\n{claim([WEATHER[0]])}\n```", seen(WRONG))
    assert (((WEATHER[0],), "weather", "food"),) == tuple((c.ids, c.gold, c.predicted) for c in found.claims)
    assert () == found.discarded


FALSE = {
    claim(["nobody"]): "'nobody' is not the id of a mistake",
    claim([WEATHER[2]]): f"'{WEATHER[2]}' is not the id of a mistake",
    claim([WEATHER[0]], "food", "weather"): f"'{WEATHER[0]}' is 'weather' and was answered 'food'",
    claim([WEATHER[1]]): f"'{WEATHER[1]}' is 'weather' and was answered 'no label'",
    '{"ids": ["x"]}': """'{"ids": ["x"]}' cannot be read: KeyError('gold')""",
    "{not json}": "'{not json}' cannot be read: JSONDecodeError("
    "'Expecting property name enclosed in double quotes: line 1 column 2 (char 1)')",
}


@pytest.mark.parametrize(("said", "why"), FALSE.items())
def test_a_false_claim_is_dropped_and_the_reason_kept(said, why):
    found = read_claims(said, seen(WRONG))
    assert () == found.claims
    assert ((said, why),) == found.discarded


@pytest.mark.parametrize("why", ["it reads {text} as a template", "a { that stays open", "}{", '{"a": "}"}'])
def test_a_claim_may_hold_braces(why):
    text = f"Here {{are}} two: {claim([WEATHER[0]], why=why)} {{broken {claim([FOOD[0]], 'food', 'weather')}"
    found = read_claims(text, seen(WRONG))
    assert [((WEATHER[0],), why), ((FOOD[0],), "too vague")] == [(c.ids, c.why) for c in found.claims]
    assert ["{are}"] == [said for said, _ in found.discarded]


def test_the_critic_sees_the_tasks_own_metric():
    assert f"macro F1 {seen(WRONG).macro_f1:.3f} on " in shown(seen(WRONG)).messages[0][1]
    by = replace(seen(WRONG), metric="f1", positive="food")
    assert f"F1 of food {by.f1:.3f} on {by.scores.n} texts" in shown(by).messages[0][1]


def test_labels_in_scripts_without_spaces_are_found_in_a_prompt():
    examples_ = tuple(replace(e, label={"weather": "天气", "food": "食物"}[e.label]) for e in examples())
    asian = task(examples=examples_, labels=("天气", "食物"))
    good = Prompt("请判断这句话是天气还是食物：<label>天气</label>")
    check_prompt(good, asian, Prompt(), max_characters=4000)
    with pytest.raises(RewriteError, match="does not name the label '食物'"):
        check_prompt(Prompt("这句话是天气吗 <label></label>"), asian, Prompt(), max_characters=4000)


def test_of_a_claim_that_is_partly_true_the_true_ids_stay():
    found = read_claims(claim([WEATHER[0], FOOD[0], "nobody"]), seen(WRONG))
    assert [(WEATHER[0],)] == [c.ids for c in found.claims]
    assert 2 == len(found.discarded)


@given(st.text())
def test_reading_claims_never_fails(text):
    told = json.dumps({"ids": text, "gold": text, "answered": None, "why": text})
    for answer in (text, "{" + text + "}", told):
        found = read_claims(answer, seen(WRONG))
        assert answer == found.text
        assert {one for claim in found.claims for one in claim.ids} <= WRONG.keys()


def test_a_refused_critique_gets_one_repair():
    ask, asked = answering(reply("", "refusal"), claim([WEATHER[0]]))
    found = asyncio.run(criticize(ask, shown(seen(WRONG)), seen(WRONG)))
    assert 1 == len(found.claims)
    assert "refused" in asked[1].messages[-1][1]


def test_a_critique_that_is_refused_twice_is_no_proposal():
    ask, _ = answering(reply("", "refusal"), reply("", "refusal"))
    with pytest.raises(RewriteError, match="refused"):
        asyncio.run(criticize(ask, shown(seen(WRONG)), seen(WRONG)))


def test_a_prompt_without_mistakes_is_not_criticized():
    ask, asked = answering()
    with pytest.raises(RewriteError, match="no mistake"):
        asyncio.run(criticize(ask, shown(seen({})), seen({})))
    assert [] == asked


def test_a_critic_that_was_cut_off_is_told_so():
    ask, asked = answering(reply("<system>", "max_tokens"), GOOD)
    asyncio.run(rewrite(ask, shown(seen(WRONG)), Critique("", (), ()), task(), PARENT, 4000))
    assert "cut off" in asked[1].messages[-1][1]


def test_a_repair_does_not_show_the_answer_that_failed():
    ask, asked = answering("I would rather not.", GOOD)
    asyncio.run(rewrite(ask, shown(seen(WRONG)), Critique("", (), ()), task(), PARENT, 4000))
    ((role, text),) = asked[1].messages
    assert "user" == role
    assert text.startswith(asked[0].messages[0][1])
    assert "I would rather not." not in text


def test_the_last_version_of_each_part_is_read():
    text = f"<system>a draft</system>{GOOD}"
    assert FORM == read_prompt(text, Prompt()).system


def test_white_space_around_a_part_is_the_parents():
    parent = Prompt("Old.\n", "Text:\n", "\n\nAnswer:", "start")
    text = "<system>\nNew.\n</system>\n<prefix>\nQuestion:\n</prefix>\n<suffix>\nNow.\n</suffix>"
    assert Prompt("New.\n", "Question:\n", "\n\nNow.", "start") == read_prompt(text, parent)


@pytest.mark.parametrize("part", ["system", "prefix", "suffix"])
def test_a_missing_or_open_part_is_an_error_and_never_an_empty_part(part):
    for broken in (GOOD.replace(f"</{part}>", ""), GOOD.replace(f"<{part}>", "")):
        with pytest.raises(RewriteError, match=f"<{part}>...</{part}> is missing"):
            read_prompt(broken, PARENT)


HELD_OUT = task().splits["test"][0].text
REFUSED = {
    "no label": ("Say food: <label>", "does not name the label 'weather'"),
    "label within a word": ("foodie or weather: <label></label>", "does not name the label 'food'"),
    "too long": ("food or weather <label></label>" + "x" * 4000, "characters, at most 4000"),
    "a held-out text": (f"food or weather <label></label> {HELD_OUT}", "copies a text it may not know"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_rewrite_that_cannot_work_is_refused(case):
    system, why = REFUSED[case]
    with pytest.raises(RewriteError, match=why):
        check_prompt(Prompt(system), task(), Prompt(), max_characters=4000)


@pytest.mark.parametrize("part", ["system", "suffix"])
def test_a_part_that_stated_the_answer_format_has_to_keep_it(part):
    with pytest.raises(RewriteError, match=f"the part <{part}> has lost .*: keep its line '.*</label>.*'"):
        check_prompt(replace(PARENT, **{part: "food or weather"}), task(), PARENT, max_characters=4000)


def test_a_rewrite_that_does_not_ask_for_an_answer_is_refused():
    with pytest.raises(RewriteError, match="does not ask for the answer with '<label>'"):
        check_prompt(Prompt("Say food or weather."), task(), Prompt(), max_characters=4000)


def test_the_old_prompt_is_no_proposal_however_it_is_spaced():
    for same in (PARENT, replace(PARENT, system=PARENT.system.replace("\n", " \n\n"))):
        with pytest.raises(RewriteError, match="the old one"):
            check_prompt(same, task(), PARENT, max_characters=4000)


def test_an_outline_whose_gap_is_not_filled_is_refused():
    ask, asked = answering(GOOD)
    asyncio.run(rewrite(ask, shown(seen(WRONG)), Critique("", (), ()), task(), PARENT, 4000))
    outline = asked[0].messages[0][1]
    with pytest.raises(RewriteError, match=r"still has .*: write that list in its place"):
        check_prompt(read_prompt(outline, PARENT), task(), PARENT, max_characters=4000)


def test_a_rewrite_gets_one_repair_that_names_the_problem():
    ask, asked = answering("<system>food</system>", GOOD)
    asyncio.run(rewrite(ask, shown(seen(WRONG)), Critique("", (), ()), task(), PARENT, 4000))
    assert "<prefix>...</prefix> is missing" in asked[1].messages[-1][1]
    ask, _ = answering("nothing", "nothing again")
    with pytest.raises(RewriteError, match="missing"):
        asyncio.run(rewrite(ask, shown(seen(WRONG)), Critique("", (), ()), task(), PARENT, 4000))


def test_copying_is_found_whatever_case_and_punctuation():
    long = replace(examples()[0], text="What is the best way to cook rice without a pot?", id="long")
    short = replace(examples()[1], text="Is it cold outside?", id="short")
    held_out = (*examples(), long, short)
    assert copied("IS THE BEST WAY TO COOK RICE WITHOUT: one", held_out)
    assert copied("'is it cold outside'", held_out)
    assert copied("the best way to cook rice", held_out) is None
    assert copied("is it cold?", held_out) is None


def test_notes_are_shown_to_the_critic():
    noted = replace(task(), examples=tuple(replace(e, note=f"note of {e.id}") for e in task().examples))
    rows = [
        replace(row, example=replace(row.example, note=f"note of {row.example.id}"))
        for row in seen({WEATHER[0]: "food"}).rows
    ]
    found = evaluation_of(noted, "train", PARENT, rows)
    text = context(noted, found, [], Model("m"), mistakes=5, correct=0, seed=0).messages[0][1]
    assert f'"note": "note of {WEATHER[0]}"' in text
    assert (
        '"note"'
        not in context(
            task(), seen({WEATHER[0]: "food"}), [], Model("m"), mistakes=5, correct=0, seed=0
        ).messages[0][1]
    )
