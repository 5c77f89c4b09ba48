from __future__ import annotations

import json
import re
import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

import promptlab as pl
from benchmarks.insincere.task import task
from promptlab.labels import checks
from promptlab.labels.extract import LABEL, read_answer
from promptlab.labels.strategies import replies
from promptlab.records import Reply
from promptlab.scoring.evaluation import predict

from ..conftest import ROOT
from .test_extract import LABELS, SENTENCES


def exact_or_default(reply):
    """The closing sentence to the letter, else a label by default."""
    return "insincere" if SENTENCES["insincere"] in reply else "sincere"


def first_tag(reply):
    found = re.search("<label>(.*?)</label>", reply)
    return found and found[1]


def contained(reply):
    return next((label for label in LABELS if label in reply), None)


def quadratic(reply):
    found = pl.tagged()(reply)
    for start in range(0, len(reply), 500):
        reply[start:].count("<label>")
    return found


def forgetful(reply, seen=[]):  # noqa: B006 - what is wrong with it
    seen.append(reply)
    return pl.tagged()(reply) if len(seen) % 2 else None


SENTENCE = SENTENCES["sincere"].replace("sincere", LABEL)
TAG = f"<label>{LABEL}</label>"
REJECTED = {
    "an exact sentence with a default label": (
        exact_or_default,
        SENTENCE,
        "what is quoted before the answer",
    ),
    "the first tag": (first_tag, TAG, "what is quoted before the answer changes nothing"),
    "a label in the reply": (contained, LABEL, "it reads the plain answer"),
    "one that raises": (lambda reply: {}[reply], TAG, "it never raises"),
    "one that returns a number": (lambda reply: 1, TAG, "it never raises"),
    "one in quadratic time": (quadratic, TAG, "its time grows faster than the reply"),
    "one that reads the explanation": (pl.choice(LABELS), TAG, "an explanation is no answer"),
    "one that is no function of the reply": (forgetful, TAG, "it gives the same for the same reply"),
    "one that never reads": (lambda reply: None, TAG, "it reads the plain answer"),
}


@pytest.mark.parametrize("name", REJECTED)
def test_the_check_rejects(name, monkeypatch):
    monkeypatch.setattr(checks, "LARGEST", 300_000)  # enough to tell quadratic from linear
    extract, answer_format, said = REJECTED[name]
    with pytest.raises(AssertionError) as error:
        pl.check_extractor(extract, LABELS, answer_format=answer_format, examples=100)
    assert f"broken: {said}" in str(error.value)
    pasted = re.search(r"^    (reply = .*)$", str(error.value), re.MULTILINE)[1]
    namespace: dict[str, str] = {}
    exec(pasted, namespace)  # it can be pasted into a test
    assert isinstance(namespace["reply"], str)


def test_without_hypothesis_it_says_what_to_install():
    code = "import sys; sys.modules['hypothesis'] = None; import promptlab.labels.strategies"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "pip install 'pytest-promptlab[hypothesis]'" in done.stderr


def test_a_function_that_does_not_say_how_answers_look_is_asked():
    with pytest.raises(TypeError, match="give answer_format="):
        pl.check_extractor(contained, LABELS)


def test_an_answer_format_without_its_placeholder_is_refused():
    with pytest.raises(
        TypeError, match=r"does not define its answer format: give answer_format='\.\.\.LABEL"
    ):
        pl.check_extractor(pl.tagged(), LABELS, answer_format="<label></label>")


def test_the_benchmarks_read_as_they_should():
    pl.check_extractor(task.extract, task.labels, examples=100)


@given(replies(LABELS))
def test_a_drawn_reply_states_its_label(drawn):
    cut_off = drawn.stop_reason == "max_tokens"
    label, missing = read_answer(pl.tagged(), LABELS, drawn.text, cut_off=cut_off)
    assert drawn.label == label
    assert (missing == "truncated") == cut_off


@pytest.mark.parametrize("label", [*LABELS, None])
@given(st.data())
def test_a_reply_is_drawn_for_the_label_that_was_asked_for(label, data):
    assert label == data.draw(replies(LABELS, label)).label


LONGEST = 160  # tokens of a reply of the classifier


def recorded():
    """Return the classifier's replies that state a label, as they were recorded."""
    found = {}
    for path in sorted((ROOT / "cassettes").rglob("*.jsonl")):
        if not path.name.endswith(".examples.jsonl"):
            for line in path.read_text(encoding="utf-8").splitlines()[1:-1]:
                call = json.loads(line)
                if call["request"]["body"]["max_tokens"] > LONGEST:  # the critic's
                    continue
                body = call["response"]["body"]
                text = "".join(block.get("text", "") for block in body["content"])
                label, _ = read_answer(task.extract, task.labels, text)
                if label and body["stop_reason"] == "end_turn":
                    found[text] = label
    return sorted(found.items())


RECORDED = recorded()
MUTATIONS = {
    "upper case": str.upper,
    "title case": str.title,
    "decomposed": lambda text: unicodedata.normalize("NFKD", text),
    "bold": lambda text: re.sub(r"(<label>)(.*?)(</label>)", r"**\1**\2**\3**", text),
    "punctuated": lambda text: text.replace("</label>", ".</label>") + ".",
    "explained": lambda text: text + " because a sincere or an insincere question would be worded otherwise.",
    "quoted": lambda text: text.replace("<label>", "<label>\u201c").replace("</label>", "\u201d</label>"),
    "with prose behind": lambda text: text + "\n\nI hope this helps!",
    "with white space": lambda text: text.replace("<label>", "<label>\n  ") + "\n\n",
    "in one line": lambda text: text.replace("\n", " "),
}


def test_there_are_recorded_replies_to_mutate():
    assert 250 < len(RECORDED)


@pytest.mark.parametrize("name", MUTATIONS)
@given(st.sampled_from(RECORDED))
def test_a_recorded_reply_keeps_its_label_in_another_form(name, pair):
    text, label = pair
    assert label == read_answer(task.extract, task.labels, MUTATIONS[name](text))[0]


@given(st.sampled_from(RECORDED), st.floats(0, 1))
def test_a_recorded_reply_that_was_cut_off_has_a_label_only_where_its_tag_is_complete(pair, share):
    text, _ = pair
    cut = Reply(text[: round(share * len(text))], "max_tokens", ("text",), "m", 1, 1)
    found = predict(task, task.examples[0], cut)
    assert (found.label is not None) == ("</label>" in cut.text)
    assert found.label or found.missing == "truncated"


def test_an_extractor_that_fails_is_named_with_the_example():
    broken = pl.Task(
        name="broken",
        examples=task.examples,
        labels=task.labels,
        brief="brief",
        extract=lambda reply: {}[reply],
        answer_format=TAG,
    )
    with pytest.raises(
        pl.ExtractorError,
        match=r"task 'broken', example 'q\d+': the extractor raised KeyError\('well'\) on the reply",
    ):
        predict(broken, task.examples[0], Reply("well", "end_turn", ("text",), "m", 1, 1))
