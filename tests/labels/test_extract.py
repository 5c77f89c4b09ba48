"""The six extractors, and how what they find becomes one of the task's labels."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import promptlab as pl
from promptlab.labels import checks
from promptlab.labels.extract import LABEL, fold, normalize, read_answer, whole_word

LABELS = ("sincere", "insincere")
SENTENCES = {label: f"Therefore, in conclusion, this question is {label}." for label in LABELS}
SHORT = {label: f"this question is {label}" for label in LABELS}
EXTRACTORS = {
    "tagged": pl.tagged("label"),
    "phrase": pl.phrase(SENTENCES),
    "last_line": pl.last_line(),
    "choice": pl.choice(LABELS),
    "json_field": pl.json_field("label"),
    "first_of": pl.first_of(pl.json_field("label"), pl.tagged("label")),
}
RUNNING_TEXT = ("choice",)

READ = {
    "tagged": {
        "<label>sincere</label>": "sincere",
        "It is fine. <label> Sincere\n</label>": "sincere",
        "<LABEL>sincere</LABEL>": "sincere",
        "Not <label>sincere</label> but <label>insincere</label>": "insincere",
        "<label>insincere</label> because the premise is wrong.": "insincere",
        "<label>sincere</label>. Not a loaded question.": "sincere",
        "It does not seek information <label>insincere</label>": "insincere",
        "<label>insincere</label>\nA sincere question would ask.": "insincere",
        "<label>insincere</label>, and then <label>sincere": "insincere",
        "<label><label>insincere</label></label>": "insincere",
        "<label>**Insincere.**</label>": "insincere",
        "<label>\u201csincere\u201d</label>": "sincere",
        "<label>sin\u200bcere</label>": "sincere",
        "<label>\uff33incere</label>": "sincere",
        "<label>not sincere</label>": "outside the set",
        "<label>sincere or insincere</label>": "contradictory",
        "<label>sincere?</label>": "outside the set",
        "<label></label>": "outside the set",
        "<label>sincere": "absent",
        "label>sincere</label>": "absent",
        "<labels>sincere</labels>": "absent",
        "<label>sin<b>cere</b></label>": "absent",
        "sincere": "absent",
        "": "absent",
    },
    "phrase": {
        SENTENCES["sincere"]: "sincere",
        "It mocks.\n**Therefore, in conclusion, this question is _insincere_**": "insincere",
        "therefore in conclusion this question is SINCERE": "sincere",
        "Therefore, in conclusion,\nthis question\nis insincere": "insincere",
        f"{SENTENCES['sincere']}\nNo, wait.\n{SENTENCES['insincere']}\nI hope this helps!": "insincere",
        f"{SENTENCES['insincere']} {SENTENCES['sincere']}": "sincere",
        f"{SENTENCES['insincere']} A sincere one would ask.": "insincere",
        "Therefore, in conclusion, this question is not sincere.": "absent",
        "Therefore, in conclusion, this question is borderline; it could be sincere.": "absent",
        "Therefore, in conclusion, this question is sincere-sounding.": "absent",
        "Therefore, in conclusion, this question is sincerely put.": "absent",
        "Therefore. In conclusion, this question is sincere.": "absent",
        "This question is sincere.": "absent",
    },
    "last_line": {
        "It asks.\n\nsincere": "sincere",
        "sincere\n\n---\n": "sincere",
        "insincere\nsincere": "sincere",
        "It asks.\n**Label:** Insincere.\n": "insincere",
        "So then, the final answer is: sincere": "outside the set",  # six words announce nothing
        "So, the final answer is: \u201csincere\u201d": "sincere",
        "Antwort: sincere": "sincere",
        "```\nsincere\n```": "sincere",
        "- sincere": "outside the set",
        "sincere\nThat is all I can say": "outside the set",
        "sincere or insincere": "contradictory",
        "not sincere": "outside the set",
        "\U0001f914": "absent",
        "": "absent",
    },
    "choice": {
        "I would say it is insincere.": "insincere",
        "It could be insincere.\nSo: sincere!": "sincere",
        "sincere\nI hope this helps!": "sincere",
        "INSINCERE": "insincere",
        "Sincere, sincere.": "sincere",
        "It is insincere.\nIt is not sincere.": "absent",
        "It isn't really sincere": "absent",
        "This can\u2019t be sincere.": "absent",
        "It is neither sincere nor insincere": "absent",
        "sincere? insincere?": "absent",
        "No: sincere!": "absent",
        "It is never sincere": "absent",
        "Nothing here: sincere": "sincere",
        "non-sincere": "absent",
        "sincere-ish": "absent",
        "A sincerely put question": "absent",
    },
    "json_field": {
        '```json\n{"why": "it asks", "label": "sincere"}\n```': "sincere",
        '{"label": "insincere"} or rather {"label": "sincere"}': "sincere",
        '{"label": "insincere"} {"why": "a sincere one would ask"}': "insincere",
        '{"label": "s\\u0069ncere"}': "sincere",
        '{"why": "it has {braces}", "label": "sincere"}': "sincere",
        '{"label": "insincere", "alternatives": [{"label": "sincere"}]}': "insincere",
        '[{"label": "insincere"}, {"label": "sincere"}]': "sincere",
        '{"a": 1\n{"label": "sincere"}': "sincere",
        '{"a":\n{"label": "sincere"}': "absent",
        '{"label": "sincere", "a": {}} {': "sincere",
        '{"label": null}': "absent",
        '{"label": 1}': "outside the set",
        '{"label": ["sincere", "insincere"]}': "contradictory",
        '{"label": "sinc': "absent",
        "{'label': 'sincere'}": "absent",
        '{"labels": "sincere"}': "absent",
        '{"a":' * 100_000 + '"sincere"': "absent",
    },
    "first_of": {
        '{"label": "sincere"}': "sincere",
        "<label>insincere</label>": "insincere",
        'First <label>insincere</label>, then {"label": "sincere"}': "sincere",
        "nothing": "absent",
    },
}


@pytest.mark.parametrize(
    ("name", "reply", "expected"),
    [(name, reply, expected) for name, cases in READ.items() for reply, expected in cases.items()],
)
def test_a_form_is_read_as_it_stands(name, reply, expected):
    label, missing = read_answer(EXTRACTORS[name], LABELS, reply)
    assert expected == (label or missing)
    assert (label is None) != (missing is None)


@pytest.mark.parametrize("reply", [reply for reply, label in READ["phrase"].items() if label in LABELS])
def test_a_sentence_is_found_by_the_part_that_matters_whatever_the_line_ends(reply):
    expected = READ["phrase"][reply]
    for text in (reply, reply.replace("\n", " "), reply.replace(" ", "\n")):
        assert (expected, None) == read_answer(pl.phrase(SHORT), LABELS, text)


@given(
    before=st.text(alphabet="ab<>/\n .") | st.sampled_from(["<label>", "</label>"]),
    label=st.sampled_from(LABELS),
    after=st.text(alphabet="ab<>/ "),
)
@example(before="<label>insincere</label>", label="sincere", after="")
@example(before="<label>", label="sincere", after="</label>")
def test_text_around_the_last_tag_changes_nothing(before, label, after):
    assert label == pl.tagged()(f"{before}<label>{label}</label>{after}")


PIECES = ["<label>", "</label>", "<", ">", "/", "sincere", "insincere", "<label", "label>"]


@given(st.lists(st.sampled_from(PIECES)).map("".join))
def test_the_last_complete_tag_is_read(reply):
    """The reference tries every pair of tags from the end, without a regular expression."""
    ends = [n for n in range(len(reply)) if reply.startswith("</label>", n)]
    starts = [n + len("<label>") for n in range(len(reply)) if reply.startswith("<label>", n)]
    complete = [reply[a:b] for b in ends for a in starts if a <= b and "<" not in reply[a:b]]
    assert (complete[-1] if complete else None) == pl.tagged()(reply)


CUT_OFF = {
    ("tagged", "<label>sincere</label>\nIt asks because"): "sincere",
    ("tagged", "<label>sincere</label>"): "sincere",
    ("tagged", "<label>sincere"): "truncated",
    ("tagged", "<label>a</label>"): "outside the set",
    ("phrase", SENTENCES["sincere"]): "sincere",
    ("phrase", SENTENCES["sincere"][:-1]): "truncated",
    ("last_line", "sincere"): "truncated",
    ("choice", "It is sincere."): "truncated",
    ("choice", "It is sincere.\n"): "sincere",
    ("json_field", '{"label": "sincere"}'): "sincere",
    ("json_field", '{"label": "sincere"'): "truncated",
    ("first_of", ""): "truncated",
}


@pytest.mark.parametrize(("name", "reply"), CUT_OFF)
def test_a_reply_that_was_cut_off_has_a_label_only_if_its_form_is_complete(name, reply):
    label, missing = read_answer(EXTRACTORS[name], LABELS, reply, cut_off=True)
    assert CUT_OFF[name, reply] == (label or missing)


def test_an_extractor_that_cannot_read_a_cut_off_reply_finds_it_truncated():
    def last(reply):
        return re.findall("<label>(.*?)</label>", reply)[-1]

    assert (None, "truncated") == read_answer(last, LABELS, "<label>sinc", cut_off=True)
    assert ("sincere", None) == read_answer(last, LABELS, "<label>sincere</label> si", cut_off=True)
    with pytest.raises(pl.ExtractorError, match="IndexError"):
        read_answer(last, LABELS, "<label>sinc")

    def reach(reply):
        raise pl.NetworkBlocked("closed")

    with pytest.raises(pl.NetworkBlocked, match="closed"):
        read_answer(reach, LABELS, "<label>sinc", cut_off=True)


@pytest.fixture
def quick(monkeypatch):
    """Time replies of 50 kB; the thorough tests time those of 1 MB."""
    monkeypatch.setattr(checks, "LARGEST", 50_000)


def check(name, **settings):
    if name not in RUNNING_TEXT:
        pl.check_extractor(EXTRACTORS[name], LABELS, **settings)
        return
    with pytest.warns(
        UserWarning, match="reads running text and can read the wrong label, as in .*: ask for tags"
    ):
        pl.check_extractor(EXTRACTORS[name], LABELS, **settings)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("name", EXTRACTORS)
def test_every_extractor_passes_the_check_and_choice_is_warned_about(name):
    check(name, examples=60)


@pytest.mark.thorough
@pytest.mark.parametrize("name", EXTRACTORS)
def test_every_extractor_passes_the_check_at_size(name):
    """Each property is tried on 1,000 replies (10,000 found no more), and time on replies of 1 MB."""
    check(name, examples=1_000)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "labels", [("A", "B-1", "B"), ("not spam", "spam"), ("tr\u00e8s bien", "bien", "非常好")]
)
@pytest.mark.parametrize("extract", [pl.tagged("answer"), pl.json_field("a b"), pl.last_line()])
def test_labels_may_be_letters_words_and_parts_of_each_other(labels, extract):
    pl.check_extractor(extract, labels, examples=40)


@given(
    st.sampled_from([*EXTRACTORS]), st.sampled_from(LABELS), st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"])
)
def test_unicode_forms_play_no_part(name, label, form):
    labels = ("\u00e9" + label, "\u00f6-x")
    stated = {
        "tagged": "<label>{}</label>",
        "first_of": "<label>{}</label>",
        "json_field": '{{"label": "{}"}}',
    }
    extract = pl.choice(labels) if name in ("choice", "phrase") else EXTRACTORS[name]
    reply = stated.get(name, "{}").format(unicodedata.normalize(form, labels[0]))
    if name not in ("choice", "phrase"):  # these search the reply itself
        assert (labels[0], None) == read_answer(extract, labels, reply)


LONG = {
    "marks": ("<label>" + "a\u0301\u0323" * 200_000 + "</label>", "outside the set"),
    "marks by decomposition": ("\u0f73" * 200_000, "absent"),
    "underscores in a word": ("x" + "_" * 400_000 + "y: sincere", "absent"),
    "white space behind an answer": ("Answer" + " " * 400_000 + "x", "absent"),
    "open tags": ("<label>" * 100_000 + "sincere</label>", "sincere"),
    "open objects": ('{"label": "sincere"}' + "{" * 400_000, "absent"),
}


@pytest.mark.parametrize("name", LONG)
def test_a_long_reply_is_read(name):
    """A search that takes quadratic time does not come back from so many characters."""
    reply, expected = LONG[name]
    assert expected == (
        read_answer(pl.tagged(), LABELS, reply)[0] or read_answer(pl.tagged(), LABELS, reply)[1]
    )
    for extract in EXTRACTORS.values():
        assert None in read_answer(extract, LABELS, reply)


@pytest.mark.parametrize(
    ("labels", "found", "expected"),
    [
        (("C", "C#"), "**C#**", "C#"),
        (("C", "C#"), "C#.", "C#"),
        (("1", "-1"), "**-1**", "-1"),
        (("1", "-1"), "\u22121", "-1"),
        (("0", "1"), "-1", None),
        (("A", "A-"), "A-.", "A-"),
        (("A", "(A)"), "(A)", "(A)"),
        (("A", "(A)"), "[A]", None),  # either could be meant
        (("0", "5"), ".5", None),
        (("spam", "not spam"), "!spam", None),
        (("spam", "not spam"), "Not  Spam", "not spam"),
        (("toxic", "non-toxic"), "non\u2011toxic", "non-toxic"),
        (("R&D", "sales"), "R&D", "R&D"),
        (("stra\u00dfe", "weg"), "STRASSE", "stra\u00dfe"),
        (("yes", "no"), "x" * 999 + "no", None),
    ],
)
def test_what_is_found_is_normalized_and_looked_up(labels, found, expected):
    assert expected == read_answer(lambda _: found, labels, "")[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  _A_ ", "a"),
        ("'a'", "a"),
        ("a!", "a"),
        ("!a", "!a"),
        ("a\n b", "a b"),
        ("\ufeffa", "a"),
        ("***", ""),
    ],
)
def test_an_answer_is_normalized(text, expected):
    assert expected == normalize(text)
    assert expected == normalize(normalize(text))


@given(st.text())
def test_folding_twice_changes_nothing(text):
    assert fold(text) == fold(fold(text))


@pytest.mark.parametrize(
    ("labels", "reply", "expected"),
    [
        (("A", "B"), "The answer is B.", "B"),
        (("yes", "no"), "Yes, there is doubt.", "yes"),
        (("yes", "no"), "The answer is no.", "no"),
        (("yes", "no"), "No, not at all.", None),
        (("C", "C++"), "It is C++.", "C++"),
        (("left", "center-left"), "Label: center-left", "center-left"),
        (("left", "center-left"), "Label: left", "left"),
        (("spam", "not spam"), "It is not spam at all", "not spam"),
        (("spam", "not spam"), "It is spam", "spam"),
        (("真诚", "不真诚"), "答案是不真诚。", "不真诚"),
        (("真诚", "不真诚"), "答案是真诚的。", "真诚"),
        (("ดี", "แย่"), "คำตอบคือดีมาก", "ดี"),
    ],
)
def test_labels_in_running_text_are_whole_words_the_longest_first(labels, reply, expected):
    assert expected == read_answer(pl.choice(labels), labels, reply)[0]


@pytest.mark.parametrize(
    ("word", "text", "found"),
    [
        ("sincere", "is sincere.", True),
        ("sincere", "insincere", False),
        ("sincere", "sincerely", False),
        ("sincere", "non-sincere", False),
        ("sincere", "sincere-", True),
        ("sincere", "(sincere)", True),
        ("真诚", "不真诚的", True),
        ("food真", "foods", False),
    ],
)
def test_a_whole_word_has_no_letters_beside_it_but_in_scripts_without_spaces(word, text, found):
    assert found == bool(re.search(whole_word(word), text))


def test_an_extractor_that_raises_or_returns_something_else_is_named():
    with pytest.raises(
        pl.ExtractorError, match=r"the extractor raised KeyError\('well'\) on the reply 'well'"
    ):
        read_answer(lambda reply: {}[reply], LABELS, "well")
    with pytest.raises(
        pl.ExtractorError, match="the extractor returned 1 for the reply 'well', expected a label or"
    ):
        read_answer(lambda reply: 1, LABELS, "well")


def test_an_error_of_the_network_guard_is_passed_on():
    def reach(reply):
        raise pl.NetworkBlocked("closed")

    with pytest.raises(pl.NetworkBlocked, match="closed"):
        read_answer(reach, LABELS, "well")


@pytest.mark.parametrize("name", ["", "<label>", "a b", "1"])
def test_a_name_that_is_no_tag_is_refused(name):
    with pytest.raises(ValueError, match="expected a tag name such as 'label'"):
        pl.tagged(name)


@pytest.mark.parametrize("sentences", [{"a": "It is so.", "b": "is so"}, {"a": "x", "b": " . "}])
def test_sentences_that_contain_one_another_are_refused(sentences):
    with pytest.raises(ValueError, match=r"the sentence for 'b' is empty or part of another, expected"):
        pl.phrase(sentences)


@pytest.mark.parametrize("labels", ["sincere", ["one"]])
def test_a_choice_of_one_is_refused(labels):
    with pytest.raises(ValueError, match="expected two labels or more"):
        pl.choice(labels)


def test_the_first_that_finds_anything_decides():
    one, other = pl.tagged("Answer"), pl.last_line()
    assert "a" == pl.first_of(one, other)("<answer>a</answer>\nb")
    assert "b" == pl.first_of(one, other)("b")
    assert "b" == pl.first_of(other, one)("<answer>a</answer>\nb")


def test_a_task_takes_the_form_of_the_answer_from_its_extractor():
    assert f"<answer>{LABEL}</answer>" == pl.tagged("answer").answer_format
    assert f"Therefore, in conclusion, this question is {LABEL}." == pl.phrase(SENTENCES).answer_format
    assert pl.phrase({"a": "Yes.", "b": "No."}).answer_format is None
    assert "Yes." == pl.phrase({"a": "Yes.", "b": "No."}).state("a")
    assert f'{{"é": "{LABEL}"}}' == pl.json_field("é").answer_format
    assert LABEL == pl.last_line().answer_format == pl.choice(LABELS).answer_format
    assert f"<x>{LABEL}</x>" == pl.first_of(pl.tagged("x"), pl.last_line()).answer_format
    assert pl.first_of(str.strip).answer_format is None


def test_extractors_that_are_equal_read_the_same():
    assert pl.tagged("a") == pl.tagged("a") != pl.tagged("b")
    assert pl.choice(["a", "b"]) == pl.choice(("a", "b"))
    assert pl.first_of(pl.tagged()) == pl.first_of(pl.tagged())
