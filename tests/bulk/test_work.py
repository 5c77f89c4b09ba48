from __future__ import annotations

import contextlib
from dataclasses import replace

import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

import promptlab as pl
from promptlab.bulk.journal import Journal
from promptlab.bulk.table import Row
from promptlab.bulk.work import Asked, Unfit, Work
from promptlab.cassettes import format as files
from promptlab.cassettes import recorder
from promptlab.errors import DataError, ExtractorError, RecordingError
from promptlab.records import Form, Model, Prompt, Reply, Source

from .. import examples
from ..server import serving

KEY = f"sk-{'ant'}-api03-{'Zq9' * 20}"
WHERE = Source("rows.csv", 2)
PROMPT, MODEL = Prompt("s", "<", ">", demonstrations=[("Hail?", "weather")]), Model("m")


def work(prompt=PROMPT, model=MODEL, **fields):
    return Work(examples.task(**fields), prompt, model)


def row(raw="", broken="", **fields):
    return Row(WHERE, fields, raw, broken)


TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=()), max_size=20), st.sampled_from([KEY, f"\n{KEY}", '"\\'])
)


@given(TEXTS, st.builds(Prompt, TEXTS, TEXTS, TEXTS, TEXTS, st.lists(st.tuples(TEXTS, TEXTS), max_size=2)))
def test_a_call_is_named_by_the_hash_of_the_request_as_it_is_recorded(text, prompt):
    model = Model("claude-haiku-5-5", extra_body={"z": [text], "a": {}})
    this = work(prompt, model)
    assert files.message_key(this.request(text)).rpartition(" ")[2] == this.key(text)


@pytest.mark.parametrize("name", ["synthetic", "claude-haiku-5-5"])
def test_rows_are_asked_byte_for_byte_as_the_tests_ask(tmp_path, name):
    """Live, what an evaluation records has the keys of bulk labelling; the bodies on the wire are equal."""
    task = examples.task()
    with serving(examples.answer) as server:
        model = replace(examples.model(server.url, name), effort="low", extra_body={"seed": 1})
        with recorder.use(tmp_path / "c.jsonl", mode="live", record_with=""):
            pl.evaluate(task, PROMPT, classifier=model, api_key="none")
        recorded, before = files.read(tmp_path / "c.jsonl"), list(server.bodies)
        server.bodies.clear()
        this = Work(task, PROMPT, model)
        rows = [{"text": example.text} for example in task.split("test")]
        pl.classify(task, PROMPT, pandas.DataFrame(rows), classifier=model, api_key="none")
    keys = {key.rpartition(" ")[2] for key in recorded.calls}
    assert keys == {this.key(one["text"]) for one in rows}
    assert sorted(map(str, before)) == sorted(map(str, server.bodies))


def test_the_text_is_made_of_columns_as_that_of_an_example():
    rows = [{"q": f"Q{n}", "a": f"A{n}", "label": examples.LABELS[n % 2]} for n in range(60)]
    read = pl.from_dicts(rows, text=("q", "a"), template="<{q}|{a}>")
    this = replace(work(), task=pl.Task(name="t", examples=read, labels=examples.LABELS, brief="x"))
    assert Form(("q", "a"), "<{q}|{a}>") == this.form
    assert read[3].text == this.text(row(**rows[3], other="1"))
    assert "<{x}|>" == this.text(row(q="{x}", a=None))
    for columns in (("text",), ("a", "q", "a")):
        with pytest.raises(
            DataError, match=r"^rows: (no|more than one) column '[qa]', which task 't' reads; it has "
        ):
            this.check_columns("rows", columns, ())


def test_examples_that_were_read_in_two_ways_do_not_say_which_columns_to_read():
    one, other = (
        pl.from_dicts([{"text": "a", "label": "food"}]),
        pl.from_dicts([{"t": "b", "label": "food"}], text="t"),
    )
    task = replace(examples.task(), examples=(*examples.examples(), *one, *other))
    with pytest.raises(
        DataError, match=r"task 'topics': its examples are made of different columns \(text and t\)"
    ):
        _ = Work(task, PROMPT, Model("m")).form


@pytest.mark.parametrize(
    ("given", "reason", "why"),
    [
        (
            row(text=""),
            "no text",
            "rows.csv, row 2: text is '', expected some text. Fill it in or drop the row.",
        ),
        (
            row(text=" \t\n"),
            "no text",
            r"rows.csv, row 2: text is ' \t\n', expected some text. Fill it in or drop the row.",
        ),
        (
            row(text=None),
            "no text",
            "rows.csv, row 2: text is None, expected some text. Fill it in or drop the row.",
        ),
        (
            row(text=5),
            "no text",
            "rows.csv, row 2: text is 5, expected some text. Fill it in or drop the row.",
        ),
        (row(other="x"), "no text", "rows.csv, row 2: no 'text'"),
        (row(text="a", raw="a,\udcff"), "not UTF-8", "rows.csv, row 2: holds bytes that are not UTF-8"),
        (row(text="a\ud800"), "not UTF-8", "rows.csv, row 2: the text has half of a surrogate pair"),
        (row(broken="not JSON"), "not a row", "rows.csv, row 2: not JSON"),
    ],
)
def test_a_row_that_is_not_asked_says_why(given, reason, why):
    assert Unfit(reason, why) == work().text(given)


def test_a_text_with_a_credential_in_use_is_not_asked(monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "my-secret-0123")
    why = "rows.csv, row 2: the text holds a credential that is in use, from ANTHROPIC_API_KEY"
    assert Unfit("holds a credential", why) == work().text(row(text="I am my-secret-0123!"))
    own = replace(work(), api_key="another-0123")
    assert "api_key" in own.text(row(text="another-0123")).why


def test_a_prompt_with_a_credential_in_use_is_refused(monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "my-secret-0123")
    with pytest.raises(
        DataError, match=r"the request\.system holds a credential that is in use, from ANTHROPIC_API_KEY"
    ):
        work(Prompt("my-secret-0123")).check_prompt()


def kept(this, said):
    with contextlib.closing(Journal(None, this.header)) as journal:
        reply = Reply(said, "end_turn", ("text",), "m", 10, 5)
        this.keep(journal, Asked(this.key("a"), WHERE, this.request("a")), reply)
        return this.answer(WHERE, "a", journal)


def test_a_key_in_a_reply_is_kept_masked():
    label, reason, reply = kept(work(), f"<label>food</label> {KEY}")
    assert ("food", None) == (label, reason)
    assert KEY not in reply
    assert reply.startswith("<label>food</label> [masked ")


def test_an_answer_that_the_mask_would_hide_is_read_before():
    this = work(extract=pl.last_line())
    said = "-----BEGIN PRIVATE KEY-----\nfood"
    assert (None, "outside the set") == this.read(
        WHERE, Reply("[masked 00000000]", "end_turn", (), "m", 1, 1)
    )
    assert ("food", None) == kept(this, said)[:2]


def test_what_was_read_is_kept_only_where_it_is_a_label():
    """Anything else may hold the key, or be no JSON."""
    graded = work(labels=(), metric="score", score=lambda example, answer: 0.0, extract=lambda reply: {reply})
    with contextlib.closing(Journal(None, graded.header)) as journal:
        reply = Reply(KEY, "end_turn", ("text",), "m", 10, 5)
        graded.keep(journal, Asked(graded.key("a"), WHERE, graded.request("a")), reply)
        assert not [row for row in journal.db.execute("SELECT * FROM replies") if KEY in str(row)]
        assert KEY not in str(graded.answer(WHERE, "a", journal))


def test_a_reply_that_the_extractor_cannot_read_is_kept():
    """It is paid; the masked text is read again once the extractor can."""

    def broken(reply):
        raise ZeroDivisionError

    this = work(extract=broken)
    with contextlib.closing(Journal(None, this.header)) as journal:
        reply = Reply(f"food {KEY}", "end_turn", ("text",), "m", 10, 5)
        this.keep(journal, Asked(this.key("a"), WHERE, this.request("a")), reply)
        assert 1 == len(journal)


def test_a_label_that_the_task_no_longer_has_is_not_the_answer():
    old, said = work(extract=pl.last_line()), "-----BEGIN PRIVATE KEY-----\nfood"
    renamed = [replace(one, label=one.label.replace("food", "meal")) for one in examples.examples()]
    new = work(extract=pl.last_line(), labels=("meal", "weather"), examples=renamed)
    with contextlib.closing(Journal(None, old.header)) as journal:
        reply = Reply(said, "end_turn", ("text",), "m", 10, 5)
        old.keep(journal, Asked(old.key("a"), WHERE, old.request("a")), reply)
        assert "food" == old.answer(WHERE, "a", journal)[0]
        assert None is new.answer(WHERE, "a", journal)[0]


def test_a_credential_in_a_reply_stops(monkeypatch):
    this = work()
    monkeypatch.setenv("ANTHROPIC_API_KEY", "my-secret-0123")
    with pytest.raises(
        RecordingError, match=r"rows\.csv, row 2: the reply holds a credential that is in use"
    ):
        kept(this, "my-secret-0123")


def test_a_reply_is_read_with_the_start_that_the_prompt_gave_it():
    assert ("food", None) == kept(work(replace(PROMPT, reply_prefix="<label>")), "food</label>")[:2]


def test_an_extractor_that_raises_names_the_row():
    def broken(reply):
        raise ZeroDivisionError

    with pytest.raises(ExtractorError, match=r"task 'topics', rows\.csv, row 2: the extractor raised"):
        kept(work(extract=broken), "x")


def test_a_row_without_a_reply_came_later():
    this = work()
    said = r"rows\.csv, row 2: has no reply: the rows changed while they were labelled"
    with contextlib.closing(Journal(None, {})) as journal, pytest.raises(DataError, match=said):
        this.answer(WHERE, "new", journal)


def test_a_text_with_the_servers_password_is_not_asked():
    this = work(model=replace(MODEL, base_url="http://user:secret-0123@127.0.0.1:1"))
    found = this.text(row(text="It is secret-0123."))
    assert isinstance(found, Unfit)
    assert ("holds a credential", True) == (found.reason, "the server's URL" in found.why)
