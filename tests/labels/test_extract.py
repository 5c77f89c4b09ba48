from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import promptlab as pl
from promptlab.labels import checks
from promptlab.labels.extract import LABEL
from promptlab.labels.reading import read
from promptlab.labels.spelling import AROUND

LABELS = ("sincere", "insincere")
SENTENCES = {label: f"Therefore, in conclusion, this question is {label}." for label in LABELS}
PHRASE = pl.phrase(SENTENCES)
EXTRACTORS = {
    "tagged": pl.tagged("label"),
    "phrase": PHRASE,
    "last_line": pl.last_line(),
    "choice": pl.choice(LABELS),
    "json_field": pl.json_field("label"),
    "first_of": pl.first_of(pl.json_field("label"), pl.tagged("label")),
}

CASES = {
    "<label>sincere</label>": "sincere",
    "It is fine. <label> Sincere\n</label>": "Sincere",
    "<LABEL>sincere</LABEL>": "sincere",
    "Not <label>sincere</label> but <label>insincere</label>": "insincere",
    "<label>insincere</label>, and then <label>sincere": None,
    "<label>insincere</label>\n(I also considered <label>sincere</label>, but rejected it.)": None,
    "I would not say <label>sincere</label>.": None,
    "<label>sincere</label>\nFinal answer after reconsidering: insincere": None,
    "<label>sincere</label>\nThe label is sincere because it asks.": "sincere",
    "It isn't a question. <label>insincere</label>, no doubt.": "insincere",
    "<label><b>sincere</b></label>": "sincere",
    "&lt;label&gt;sincere&lt;/label&gt;": "sincere",
    "<label><label>insincere</label></label>": "insincere",
    "< label >sincere< / label >": "sincere",
    "\uff1clabel\uff1esincere\uff1c/label\uff1e": "sincere",
    "<la\u200bbel>sincere</label>": "sincere",
    '<label type="final">sincere</label>': "sincere",
    "<label></label>": None,
    "<label>**</label>": None,
    "<label>sincere": None,
    "sincere": None,
    "": None,
}


@pytest.mark.parametrize(("reply", "label"), CASES.items())
def test_the_last_complete_tag_wins(reply, label):
    assert label == pl.tagged("label")(reply)


@given(
    before=st.text(alphabet="ab<>/\n .") | st.sampled_from(["<label>", "</label>"]),
    label=st.sampled_from(LABELS),
    after=st.text(alphabet="ab<>/ "),
)
@example(before="<label>insincere</label>", label="sincere", after="")
@example(before="<label>", label="sincere", after="</label>")
def test_text_before_the_tag_changes_nothing(before, label, after):
    assert label == pl.tagged()(f"{before}<label>{label}</label>{after}")


PIECES = ["<label>", "</label>", "<", ">", "/", "sincere", "insincere", "<label", "label>"]


@given(st.lists(st.sampled_from(PIECES)).map("".join))
def test_it_reads_what_stands_in_the_last_tag_if_that_is_closed(reply):
    """The reference cuts the reply at the last opening tag, without a regular expression."""
    _, opened, rest = reply.rpartition("<label>")
    inside, bracket, tail = rest.partition("<")
    closed = opened and f"{bracket}{tail}".startswith("</label>")
    assert (inside if closed and inside.strip(AROUND) else None) == pl.tagged()(reply)


READ = {
    "phrase": {
        SENTENCES["sincere"]: "sincere",
        "It mocks.\n**Therefore, in conclusion, this question is _insincere_**": "insincere",
        "therefore in conclusion this question is SINCERE": "sincere",
        f"{SENTENCES['sincere']}\nNo, wait.\n{SENTENCES['insincere']}\nI hope this helps!": "insincere",
        f"{SENTENCES['sincere']} {SENTENCES['insincere']}": "contradictory",
        f"{SENTENCES['sincere']}\nTherefore, in conclusion, this question is not sincere.": "absent",
        "Therefore, in conclusion, this question is sincere or insincere.": "contradictory",
        "This question is sincere.": "absent",
        f"I do not agree that {SENTENCES['sincere']}": "absent",
        "Therefore, in conclusion, this question is sincere-sounding.": "absent",
        "Therefore, in conclusion, this question is sincere - NOT.": "absent",
        f"{SENTENCES['sincere']}\nActually, no.": "absent",
        f"Answer: {SENTENCES['sincere']}": "sincere",
    },
    "last_line": {
        "It asks.\n\nsincere": "sincere",
        "It asks.\n**Label:** Insincere.\n": "insincere",
        "So, the final answer is: \u201csincere\u201d": "sincere",
        "```\nsincere\n```": "sincere",
        "sincere\nThat is all I can say": "outside the set",
        "sincere or insincere": "contradictory",
        'The text says: "sincere"': "outside the set",
        "not sincere": "outside the set",
        "- sincere": "sincere",
        "The label is sincere.": "sincere",
        "~~sincere~~": "outside the set",
        "🤔": "absent",
        "It is not\nsincere": "absent",
        "- [ ] sincere": "absent",
        "sincere?": "outside the set",
        "Answer: sincere (90%)": "sincere",
        "Answer: $\\boxed{sincere}$": "sincere",
        "Antwort: sincere": "sincere",
        "sincere \u2705": "sincere",
        "sincere \u274c": "outside the set",
    },
    "choice": {
        "I would say it is insincere.": "insincere",
        "It could be insincere.\nNo: sincere!": "sincere",
        "It is not sincere.": "absent",
        "It isn't really sincere": "absent",
        "I don\u2019t think this is sincere.": "absent",
        "This can\u2019t be sincere.": "absent",
        "It is neither sincere nor insincere": "absent",
        "non-sincere": "absent",
        "sincere? insincere?": "absent",
        "**Answer: insincere**\n\nExplanation: a sincere question would ask.": "contradictory",
        "My answer is insincere.\n\nI may revise it to sincere.": "contradictory",
        "- insincere: 90%\n- sincere: 10%": "contradictory",
        "| insincere | 0.9 |\n| sincere | 0.1 |": "contradictory",
        "Insincere: yes\nSincere: no": "absent",
        "insincere\nsincere": "sincere",
        "A sincerely put question": "absent",
        "Das ist nicht sincere": "absent",
        "I do not believe that this question is really sincere.": "absent",
        "Sincere? No.": "absent",
        "sincere: false": "absent",
        "Sincere: \u274c": "absent",
        "I was going to say sincere, but no.": "absent",
        "There is nothing sincere about it.": "absent",
        "It is anything but sincere.": "absent",
        "Это не sincere.": "absent",
        "It looks sincere.\nVerdict: not-sincere": "absent",
        "It looks sincere.\nVerdict: in\u2011between": "absent",
        "~~sincere~~": "absent",
        "- [x] insincere\n- [ ] sincere": "insincere",
        "No doubt this is insincere.": "insincere",
        "No, it is insincere.": "insincere",
        "It is insincere, not sincere.": "insincere",
        "insincere rather than sincere": "insincere",
        "It is not\nsincere at all": "absent",
        "in-\nsincere": "insincere",
        "Let me think. Is this sincere?": "absent",
    },
    "json_field": {
        '```json\n{"why": "it asks", "label": "sincere"}\n```': "sincere",
        '{"label": "insincere"} or rather {"label": "sincere"}': "sincere",
        "{'label': 'sincere'}": "sincere",
        "{\u201clabel\u201d: \u201csincere\u201d}": "sincere",
        '{"label": "s\\u0069ncere"}': "sincere",
        '{"label": null}': "outside the set",
        '{"label": "insincere", "alternatives": [{"label": "sincere"}]}': "contradictory",
        '[{"label": "insincere"}, {"label": "sincere"}]': "contradictory",
        '{"a": {"b": 1}, "label": "sincere"} {"c": [': "sincere",
        '{"label": ["sincere", "insincere"]}': "contradictory",
        '{"label": ["sincere"]}': "sincere",
        '{label: "sincere"}': "sincere",
        '{"label": "sincere"}\nNo:\n{label: "insincere"}': "insincere",
        '{"label": "sincere"}\nNo:\n{\u201clabel\u201d: \u201cinsincere\u201d}': "contradictory",
        '{"label": "sincere" | "insincere"}': "contradictory",
        '{"label": "insincere"} // not "label": "sincere"': "contradictory",
        '{"label": "!sincere"}': "outside the set",
        '{"label": "sincere or insincere"}': "contradictory",
        '{"label": "sinc': "outside the set",
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
def test_each_form_is_read_as_a_careful_human_would(name, reply, expected):
    label, missing = read(EXTRACTORS[name], LABELS, reply)
    assert (label or missing) in expected


@pytest.fixture
def quick(monkeypatch):
    """Time replies of 50 kB; those of 1 MB are timed under thorough, and in the benchmark's own check."""
    monkeypatch.setattr(checks, "LARGEST", 50_000)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("name", EXTRACTORS)
def test_every_extractor_passes_the_check(name):
    pl.check_extractor(EXTRACTORS[name], LABELS, examples=60)


@pytest.mark.thorough
@pytest.mark.parametrize("name", EXTRACTORS)
def test_every_extractor_passes_the_check_at_size(name):
    """Each property is tried on 10,200 replies in all, 1,700 for each extractor."""
    pl.check_extractor(EXTRACTORS[name], LABELS, examples=1_700)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("labels", [("A", "B-1", "B"), ("not spam", "spam"), ("très bien", "bien", "非常好")])
@pytest.mark.parametrize(
    "make",
    [lambda _: pl.tagged("answer"), pl.choice, lambda _: pl.json_field("a b")],
    ids=["tagged", "choice", "json_field"],
)
def test_labels_may_be_letters_words_and_parts_of_each_other(labels, make):
    pl.check_extractor(make(labels), labels, examples=40)


@given(
    st.sampled_from([*EXTRACTORS]), st.sampled_from(LABELS), st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"])
)
def test_unicode_forms_play_no_part(name, label, form):
    labels = ("é" + label, "ö-x")
    extract = EXTRACTORS[name] if name not in ("choice", "phrase") else pl.choice(labels)
    state = extract.state(labels[0])
    assert labels[0] == read(extract, labels, unicodedata.normalize(form, state))[0]


LONG = {
    "marks": "a\u0301\u0323" * 200_000,
    "marks by decomposition": "\u0f73" * 200_000,
    "marks between characters that show nothing": ("\u0323" + "\u0301\u0323" * 14 + "\u200b") * 10_000,
    "underscores in a word": "x" + "_" * 400_000 + "y",
    "white space behind an answer": "Answer" + " " * 400_000 + "x",
    "stops behind an answer": "Answer" + "." * 400_000 + "x",
}


@pytest.mark.thorough
@pytest.mark.parametrize("name", LONG)
@pytest.mark.parametrize("extractor", EXTRACTORS)
def test_no_reply_takes_squares(name, extractor):
    """There is nothing to assert: what takes squares does not come back from so many characters."""
    read(EXTRACTORS[extractor], LABELS, LONG[name])


@pytest.mark.parametrize(
    ("labels", "reply", "expected"),
    [
        (("C", "C#"), "<label>**C#**</label>", "C#"),
        (("C", "C#"), "<label>C#.</label>", "C#"),
        (("1", "-1"), "<label>**-1**</label>", "-1"),
        (("0", "1"), "<label>-1</label>", None),
        (("A", "A-"), "<label>A-.</label>", "A-"),
        (("1", "-1"), "<label>\u22121</label>", "-1"),
        (("0", "5"), "<label>.5</label>", None),
        (("spam", "not spam"), "<label>!spam</label>", None),
        (("spam", "not spam"), "<label>not_spam</label>", "not spam"),
        (("toxic", "non-toxic"), "<label>non\u2011toxic</label>", "non-toxic"),
        ((">50K", "<=50K"), "<label><=50K</label>", "<=50K"),
        (("R&D", "sales"), "<label>R&amp;D</label>", "R&D"),
    ],
)
def test_signs_belong_to_a_label(labels, reply, expected):
    assert expected == read(pl.tagged(), labels, reply)[0]


@pytest.mark.parametrize(
    ("labels", "reply", "expected"),
    [
        (("A", "B"), "The answer is B.\nThis is a clear case.", "B"),
        (("A", "B"), "Vitamin B", None),
        (("yes", "no"), "No problem! Let me look at it.", None),
        (("yes", "no"), "Yes, there is no doubt.", "yes"),
        (("1", "2"), "It is 1.5", None),
        (("1", "2"), "1%", None),
        (("1", "2"), "Label: 2 (confidence 0.1)", "2"),
        (("C", "C++"), "It is C++.", "C++"),
        (("C", "Java"), "It is written in C#.", None),
        (("left", "center-left"), "Label: center left", "center-left"),
        (("very good", "good"), "very_good\nHave a good day!", None),
        (("spam", "not spam"), "It is not\nspam at all", "not spam"),
        (("真诚", "不真诚"), "答案是不真诚。", "不真诚"),
        (("真诚", "不真诚"), "这个问题不是“真诚”的。", None),
    ],
)
def test_labels_that_are_everyday_words_count_where_they_end_a_statement(labels, reply, expected):
    assert expected == read(pl.choice(labels), labels, reply)[0]


@pytest.mark.parametrize("value", ["1/2", "1e5", "1_000", "0x1F", "1 or 0", "-1"])
def test_a_number_is_never_cut_short(value):
    assert read(pl.json_field(), ("0", "1"), f'{{"label": {value}}}')[0] is None


@pytest.mark.parametrize("name", ["", "<label>", "a b", "1"])
def test_a_name_that_is_no_tag_is_refused(name):
    with pytest.raises(ValueError, match="tag name"):
        pl.tagged(name)


def test_sentences_that_hold_one_another_are_refused():
    with pytest.raises(ValueError, match="the sentence for 'b' stands within that for 'a'"):
        pl.phrase({"a": "It is so.", "b": "is so"})
    with pytest.raises(ValueError, match="expected two labels or more"):
        pl.choice("sincere")
    with pytest.raises(ValueError, match="expected one extractor or more"):
        pl.first_of()


def test_a_task_takes_the_form_of_the_answer_from_its_extractor():
    assert f"Therefore, in conclusion, this question is {LABEL}." == PHRASE.answer_format
    assert pl.phrase({"a": "Yes.", "b": "No."}).answer_format is None
    assert f'{{"label": "{LABEL}"}}' == pl.json_field("label").answer_format
