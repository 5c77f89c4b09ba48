from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from promptlab.extract import tagged

CASES = {
    "<label>sincere</label>": "sincere",
    "It is fine. <label> Sincere\n</label>": "Sincere",
    "<LABEL>sincere</LABEL>": "sincere",
    "Not <label>sincere</label> but <label>insincere</label>": "insincere",
    "<label>insincere</label>, and then <label>sincere": "insincere",
    "<label><label>insincere</label></label>": "insincere",
    "<label></label>": None,
    "<label>sincere": None,
    "sincere": None,
    "": None,
}


@pytest.mark.parametrize(("reply", "label"), CASES.items())
def test_the_last_complete_tag_wins(reply, label):
    assert label == tagged("label")(reply)


@given(before=st.text(), label=st.sampled_from(["sincere", "insincere"]), after=st.text(alphabet="ab<>/ "))
@example(before="<label>insincere</label>", label="sincere", after="")
@example(before="<label>", label="sincere", after="</label>")
def test_text_before_the_tag_changes_nothing(before, label, after):
    assert label == tagged()(f"{before}<label>{label}</label>{after}")


PIECES = ["<label>", "</label>", "<", ">", "/", "sincere", "insincere", " ", "<label", "label>"]


@given(st.lists(st.sampled_from(PIECES)).map("".join))
def test_it_reads_what_stands_before_the_last_close_that_an_open_precedes(reply):
    """The reference walks back from the last closing tag, without a regular expression."""
    expected, end = None, len(reply)
    while expected is None and (end := reply.rfind("</label>", 0, end)) >= 0:
        _, opened, inside = reply[:end].rpartition("<label>")
        if opened and "<" not in inside:
            expected = inside.strip()
            break
    assert (expected or None) == tagged()(reply)


@pytest.mark.parametrize("name", ["", "<label>", "a b", "1"])
def test_a_name_that_is_no_tag_is_refused(name):
    with pytest.raises(ValueError, match="tag name"):
        tagged(name)
