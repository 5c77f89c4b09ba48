"""The lines of a summary: what is wrong, in the words of the texts, and nothing that a terminal would run."""

from __future__ import annotations

from dataclasses import replace

import promptlab as pl
from promptlab.optimizer.proposers import PROPOSERS
from promptlab.plugin.console import printable, shielded
from promptlab.records import Prompt, Reply
from promptlab.report import terminal
from promptlab.scoring.evaluation import evaluation_of, predict

from ..examples import examples, task
from ..scoring.test_comparison import answered


def confused(*said, canonical=()):
    """Evaluate answers about the first examples of the task, weather and food in turn."""
    about = [replace(one, canonical=n in canonical) for n, one in enumerate(examples(len(said)))]
    of = task(extract=pl.tagged("label"))
    rows = [
        predict(of, one, Reply(f"<label>{text}</label>", "end_turn", ("text",), "m", 1, 1))
        for one, text in zip(about, said, strict=True)
    ]
    marked = tuple(row for row in rows if row.example.canonical)
    return of, replace(evaluation_of(of, "test", Prompt("s"), rows), canonical_rows=marked, name="mine")


def test_mistakes_are_grouped_by_confusion_the_commonest_first_with_two_texts_of_each():
    _, result = confused("food", "food", "food", "weather", "food", "food", "weather", "food")
    assert [
        "weather, answered food: 3 of 4",
        "  e000: 'Sentence 0 about the weather of day 0.'",
        "  e002: 'Sentence 2 about the weather of day 2.'",
        "  and 1 more",
        "food, answered weather: 1 of 4",
        "  e003: 'Sentence 3 about the food of day 3.'",
    ] == list(terminal.mistakes(result))


def test_canonical_mistakes_come_first_with_label_and_answer():
    _, result = confused("food", "food", "food", "food", canonical=(2, 3))
    canonical, shown, confusion, first, *_ = terminal.mistakes(result)
    assert "canonical, but wrong: 1" == canonical
    assert "  e002: 'Sentence 2 about the weather of day 2.': label weather, answered food" == shown
    assert ("weather, answered food: 2 of 2", "  e002: ") == (confusion, first[:8])


def test_three_confusions_are_shown_and_the_rest_counted():
    of = task(
        labels=("a", "b", "c"),
        examples=tuple(replace(e, label="abc"[n % 3]) for n, e in enumerate(examples(80))),
    )
    rows = []
    for n, one in enumerate(of.examples):
        said = {0: "b", 1: "c", 2: "b", 3: "c", 4: "a"}.get(n, one.label)
        rows.append(predict(of, one, Reply(f"<label>{said}</label>", "end_turn", ("text",), "m", 1, 1)))
    lines = list(terminal.mistakes(evaluation_of(of, "test", Prompt("s"), rows)))
    assert 3 == sum(" of " in line and "answered" in line for line in lines)
    assert "and 2 more mistakes of other kinds" == lines[-1]


def test_answers_outside_the_set_are_named_with_how_often():
    of, result = confused(*["account"] * 3, "food", "x\x1b[31m", "y", "z", "z")
    outside = terminal.outside_the_set(of, result)
    assert {"account": 3, "x\x1b[31m": 1, "y": 1, "z": 2} == outside
    (line,) = [
        one for one in terminal.evaluation(result, (), outside=outside) if one.startswith("  without a label")
    ]
    named = r"('account' 3 times, 'z' twice, 'x\x1b[31m' once, 1 more)"
    assert f"  without a label 0.875: outside the set 0.875 {named}" == line


def test_the_start_of_the_reply_that_was_given_is_part_of_an_answer_outside_the_set():
    of = task(extract=pl.tagged("label"))
    prompt, reply = Prompt("s", reply_prefix="<label>"), Reply("z</label>", "end_turn", ("text",), "m", 1, 1)
    row = predict(of, of.examples[0], reply, prompt)
    assert {"z": 1} == terminal.outside_the_set(of, evaluation_of(of, "test", prompt, [row]))


def test_intervals_and_labels_are_shown_where_they_are_asked_for():
    result = answered([True] * 30 + [False] * 10)
    short, full = ("\n".join(terminal.evaluation(result, (), verbose=one)) for one in (False, True))
    assert "macro F1 0.750, accuracy 0.750" == short.partition("): ")[2].partition("\n")[0]
    assert "precision" not in short
    assert ", 95% intervals\n" in full
    assert "precision" in full


def test_what_is_no_text_is_escaped_on_a_terminal():
    hostile = "a\x1b[2J b\u202etxet\u2069 \x07 \ud800"
    assert r"a\x1b[2J b\u202etxet\u2069 \x07 \ud800" == printable(hostile)
    assert [printable(hostile)] == list(shielded([hostile]))
    for text in ("caf\u00e9 \u65e5\u672c", "10\u00a0km"):
        assert text == printable(text)


def test_what_all_calls_took_is_one_line():
    spent = answered([True] * 4).spent
    assert "4 calls to small, 4 tokens in, 4 out, price unknown" == terminal.cost(spent)


def test_people_are_told_what_each_proposer_proposes():
    assert [one.__name__ for one in PROPOSERS if one.__name__ not in terminal.WORDS] == []
