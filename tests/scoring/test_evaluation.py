from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn

from promptlab.errors import PromptlabError
from promptlab.records import Example, Prediction, Prompt, Reply
from promptlab.scoring.evaluation import answers_of, evaluation_of, predict, score

from ..examples import LABELS, task

THREE = ("a", "b", "c")
pairs = st.lists(st.tuples(st.sampled_from(THREE), st.sampled_from([*THREE, None])), min_size=1)


def reply(text: str, stop_reason: str = "end_turn") -> Reply:
    return Reply(text, stop_reason, ("text",), "synthetic", 1, 1)


def rows(pairs):
    return [
        Prediction(
            Example(str(n), "text", gold),
            reply(""),
            said,
            None if said else "empty",
            score=float(gold == said),
        )
        for n, (gold, said) in enumerate(pairs)
    ]


@given(pairs)
def test_scores_are_those_of_the_definitions(pairs):
    found = score(rows(pairs), THREE)
    f1s = []
    for label, one in zip(THREE, found.labels, strict=True):
        hit = sum(gold == said == label for gold, said in pairs)
        said_it = sum(said == label for _, said in pairs)
        had_it = sum(gold == label for gold, _ in pairs)
        precision = Fraction(hit, said_it) if said_it else Fraction(0)
        recall = Fraction(hit, had_it) if had_it else Fraction(0)
        f1 = Fraction(2 * hit, said_it + had_it) if said_it + had_it else Fraction(0)
        f1s.append(f1)
        assert (one.label, one.support) == (label, had_it)
        assert [one.precision, one.recall, one.f1] == pytest.approx([*map(float, (precision, recall, f1))])
    assert found.macro_f1 == pytest.approx(float(sum(f1s) / 3))
    assert found.accuracy == pytest.approx(sum(g == s for g, s in pairs) / len(pairs))
    assert sum(row[-1] for row in found.confusion) == sum(s is None for _, s in pairs)


@given(pairs)
def test_macro_f1_is_scikit_learns(pairs):
    gold, said = zip(*[(g, s or "none") for g, s in pairs], strict=True)
    expected = sklearn.f1_score(gold, said, labels=THREE, average="macro", zero_division=0)
    assert score(rows(pairs), THREE).macro_f1 == pytest.approx(expected)


@given(pairs)
def test_the_confusion_matrix_holds_every_prediction_once(pairs):
    confusion = score(rows(pairs), THREE).confusion
    for i, gold in enumerate(THREE):
        for j, said in enumerate([*THREE, None]):
            assert confusion[i][j] == pairs.count((gold, said))


READ = {
    ("<label>food</label>", "end_turn"): ("food", None),
    ("<label>FOOD</label>", "end_turn"): ("food", None),
    ("<label>fish</label>", "end_turn"): (None, "outside the set"),
    ("food", "end_turn"): (None, "absent"),
    (" \n", "end_turn"): (None, "empty"),
    ("<label>food</label> and", "max_tokens"): ("food", None),
    ("<label>food", "max_tokens"): (None, "truncated"),
    ("<label>food", "model_context_window_exceeded"): (None, "truncated"),
    ("", "max_tokens"): (None, "truncated"),
    ("<label>food</label>", "refusal"): (None, "refused"),
    ("<label>food</label>", "stop_sequence"): ("food", None),
}


@pytest.mark.parametrize(("said", "expected"), READ.items())
def test_a_reply_is_a_label_or_says_why_not(said, expected):
    found = predict(task(), Example("1", "text", "food"), reply(*said))
    assert expected == (found.label, found.missing)


@pytest.mark.parametrize("text", ["food</label>", "<label>food</label>"])
def test_the_start_of_the_reply_counts_whether_the_server_repeats_it_or_not(text):
    found = predict(task(), Example("1", "text", "food"), reply(text), Prompt(reply_prefix="<label>"))
    assert "food" == found.label


def some_evaluation(**fields):
    said = rows([("food", "food"), ("food", None), ("weather", "food"), ("weather", "weather")])
    return evaluation_of(task(**fields), "test", Prompt("x"), said)


def test_the_frame_of_predictions_has_a_row_for_each():
    frame = some_evaluation().predictions
    assert ["food", None, "food", "weather"] == frame["label"].tolist()
    assert [True, False, False, True] == frame["correct"].tolist()


@given(pairs)
def test_the_frame_of_confusion_is_scikit_learns(pairs):
    frame = replace(some_evaluation(), scores=score(rows(pairs), THREE)).confusion
    gold, said = zip(*((gold, label or "none") for gold, label in pairs), strict=True)
    expected = sklearn.confusion_matrix(gold, said, labels=[*THREE, "none"])[:-1]
    assert expected.tolist() == frame.to_numpy().tolist()
    assert ([*THREE], [*THREE, "(no label)"]) == (frame.index.tolist(), frame.columns.tolist())
    assert ("true", "predicted") == (frame.index.name, frame.columns.name)


def test_a_graded_task_has_no_confusion():
    graded = replace(some_evaluation(), scores=score(some_evaluation().rows, ()))
    for shown in (lambda: graded.confusion, graded.plot):
        with pytest.raises(PromptlabError, match="graded, so it has no confusion matrix: use predictions"):
            shown()


def test_the_repr_explains_a_failed_assertion():
    shown = repr(some_evaluation())
    assert "macro F1 0.583 (95% interval 0." in shown
    assert "), 2 of 4 wrong, 1 without a label: 1 2>" in shown


def test_without_label_is_a_share():
    assert 0.25 == some_evaluation().without_label


def test_the_repr_of_a_flawless_evaluation_has_no_loose_end():
    flawless = evaluation_of(task(), "test", Prompt("x"), rows([("food", "food")]))
    assert repr(flawless).endswith("0 of 1 wrong, 0 without a label>")


def test_f1_is_that_of_the_positive_label():
    assert some_evaluation(positive="food").f1 == pytest.approx(0.5)
    with pytest.raises(PromptlabError, match="names no positive label"):
        _ = some_evaluation().f1
    assert LABELS == tuple(one.label for one in some_evaluation().scores.labels)


def test_examples_that_share_a_group_are_weighted_together():
    about = task()
    examples = [replace(one, group=f"g{n // 4}") for n, one in enumerate(about.examples[:40])]
    told = [Prediction(one, reply(""), one.label, score=1.0) for one in examples]
    grouped = evaluation_of(about, "test", Prompt(), told)
    alone = evaluation_of(
        about, "test", Prompt(), [replace(r, example=replace(r.example, group=None)) for r in told]
    )
    assert {4: 10} == {len(unit): times for unit, times in answers_of(grouped).units}
    assert {4} == {len(unit) for unit, _ in answers_of(alone, grouped).units}  # groups are those of the last
    assert 40 == answers_of(alone).n == answers_of(grouped, grouped).n
    assert grouped.intervals.accuracy.low < alone.intervals.accuracy.low


def test_a_named_prompt_is_shown_with_its_name_and_its_hash():
    unnamed = evaluation_of(task(), "test", Prompt("x"), rows([("food", "food")]))
    named = replace(unnamed, name="eight")
    assert f"prompt {Prompt('x').id}" == unnamed.subject
    assert f"eight ({Prompt('x').id})" == named.subject
    assert unnamed == named  # what it is called changes nothing that it is
