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


@given(st.text(alphabet="<>/label x"))
def test_it_never_raises(reply):
    assert tagged()(reply) is None or "<" not in tagged()(reply)


@pytest.mark.parametrize("name", ["", "<label>", "a b", "1"])
def test_a_name_that_is_no_tag_is_refused(name):
    with pytest.raises(ValueError, match="tag name"):
        tagged(name)
