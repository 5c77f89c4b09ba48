"""Replies that people have already, and what needs no model."""

from __future__ import annotations

from dataclasses import replace

import pandas
import pytest
from sklearn import metrics
from sklearn.dummy import DummyClassifier

import promptlab as pl
from promptlab.report import terminal

from ..examples import LABELS, examples, task


def rows(by="id", wrong=()):
    return [
        {by: getattr(e, by), "reply": f"<label>{e.label if e.id not in wrong else 'food'}</label>"}
        for e in examples()
    ]


TEST = [example.id for example in task().split("test")]


@pytest.mark.parametrize(
    "given", [rows(), rows("text"), pandas.DataFrame(rows()), pandas.DataFrame(rows("text"))]
)
def test_replies_are_matched_by_id_or_text_and_scored(given):
    found = pl.score(task(), given)
    assert (1.0, TEST, None) == (found.macro_f1, [row.example.id for row in found.rows], found.prompt)


def test_the_stop_reason_counts_where_it_is_known():
    found = pl.score(task(), [row | {"stop_reason": "max_tokens", "reply": "<label>foo"} for row in rows()])
    assert 1.0 == found.missing["truncated"]


def test_given_replies_are_compared_like_any_other_and_never_unchanged():
    one, other = pl.score(task(), rows()), pl.score(task(), rows(wrong=TEST[:8]), name="the old tool")
    assert "inconclusive" == pl.compare(one, pl.score(task(), rows())).verdict
    found = pl.compare(one, other)
    assert ("worse", "the old tool") == (found.verdict, other.subject)
    assert "given replies -> the old tool: worse" in repr(found)


def test_several_replies_to_an_example_are_its_repeats():
    found = pl.score(task(), [*rows(), *rows(wrong=TEST)])
    assert (2, 60) == (found.repeats, found.scores.n)


BAD = {
    "an unknown id": (
        [{"id": "e999", "reply": ""}],
        "reply 1: 'e999' is neither the id nor the text of an example",
    ),
    "no reply": ([{"id": "e000", "reply": None}], "reply 1, example 'e000': reply is None, expected text"),
    "too few": (
        rows()[:40],
        r"\d+ examples of test have no reply, or fewer than the 1 that others have: e\d+",
    ),
    "uneven": ([*rows(), *rows()[:40]], "or fewer than the 2 that others have"),
}


@pytest.mark.parametrize("case", BAD)
def test_replies_that_cannot_be_used_are_refused_by_number_and_value(case):
    given, message = BAD[case]
    with pytest.raises(pl.DataError, match=message):
        pl.score(task(), given)


def test_the_majority_is_scikit_learns_dummy():
    unbalanced = task(examples=[e for n, e in enumerate(examples(200)) if n % 3 or e.label == "food"])
    found = pl.baseline(unbalanced, majority=True)
    train, test = unbalanced.split("train"), unbalanced.split("test")
    dummy = DummyClassifier().fit([[0]] * len(train), [e.label for e in train])
    gold = [e.label for e in test]
    assert metrics.f1_score(gold, dummy.predict([[0]] * len(test)), average="macro") == pytest.approx(
        found.macro_f1
    )


def test_tfidf_learns_what_words_tell_and_is_told_apart_from_prompts():
    found = pl.baseline(task())
    assert (1.0, "TF-IDF with logistic regression", None) == (found.macro_f1, found.subject, found.prompt)
    assert found == pl.baseline(task())


def test_texts_without_words_have_a_baseline_too():
    signs = [replace(e, text="?!+*#"[n % 5] * (n // 5 + 1)) for n, e in enumerate(examples())]
    assert 30 == pl.baseline(task(examples=signs)).scores.n


def test_the_line_beside_a_figure_says_whether_the_prompt_is_better():
    def line(wrong, about):
        known = [
            {"id": e.id, "reply": f"<label>{e.label if e.id not in wrong else 'none'}</label>"}
            for e in about.examples
        ]
        return terminal.beside(pl.score(about, known), terminal_baselines(about))

    def terminal_baselines(about):
        return [pl.baseline(about), pl.baseline(about, majority=True)]

    shuffled = task(
        examples=[replace(e, text=f"Sentence {n * 7919 % 101}.") for n, e in enumerate(examples())]
    )
    assert line((), shuffled).endswith("given replies is better than TF-IDF with logistic regression")
    assert "the majority label 0.333 (" in line((), shuffled)
    assert line(TEST[:3], task()).endswith(
        "given replies is not shown to be better than TF-IDF with logistic regression"
    )


def test_labels_of_the_data_and_none_but_these_are_said():
    assert set(LABELS) >= {row.label for row in pl.baseline(task(), split="validation").rows}
