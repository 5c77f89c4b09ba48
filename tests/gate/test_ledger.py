from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from promptlab.gate import ledger
from promptlab.records import Prediction, Prompt, Reply
from promptlab.scoring.evaluation import evaluation_of

from ..examples import task

PROMPTS = st.lists(st.text(max_size=3), max_size=6)


def judged(prompt, answer="a"):
    """Make an evaluation of a prompt in which every reply is the same."""
    about, reply = task(), Reply(answer, "end_turn", ("text",), "m", 1, 1)
    rows = [Prediction(one, reply, None, "absent") for one in about.split("test")]
    return evaluation_of(about, "test", Prompt(prompt), rows)


@settings(max_examples=30)
@given(st.lists(PROMPTS, max_size=4))
def test_distinct_prompts_are_counted_once_in_whatever_order(sessions):
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("a.csv", "b.csv")]
        for path, order in zip(paths, (sessions, sessions[::-1]), strict=True):
            for prompts in order:
                ledger.enter(path, task(), map(judged, prompts))
        distinct = len({prompt for prompts in sessions for prompt in prompts})
        assert (distinct, distinct, distinct) == ledger.count(paths[:1], task(), [])
        texts = [path.read_bytes() if path.exists() else b"" for path in paths]
        assert texts[0] == texts[1]


def test_other_examples_are_another_test_set_of_the_same_task(tmp_path):
    path, old, new = tmp_path / "ledger.csv", task(80), task(120)
    ledger.enter(path, old, [judged("a"), judged("b")])
    ledger.enter(path, new, [judged("b")])
    assert (2, 1, 1) == ledger.count([path], new, [])
    assert "so far: 3, 2 of them on the current examples" in ledger.describe(path, new, [judged("c")])
    assert (0, 0, 0) == ledger.count([path], replace(old, name="other"), [])


def test_train_examples_are_no_part_of_the_test_set(tmp_path):
    one = task(80)
    first = one.splits["train"][0]
    other = replace(one, examples=tuple(replace(e, note="why") if e == first else e for e in one.examples))
    assert one.test_hash == other.test_hash
    assert one.data_hash != other.data_hash


def test_lines_that_git_joined_are_read_and_sorted_again(tmp_path):
    path = tmp_path / "ledger.csv"
    ledger.enter(path, task(), [judged("a")])
    ledger.enter(tmp_path / "theirs.csv", task(), [judged("b")])
    both = [
        line for name in ("ledger.csv", "theirs.csv") for line in (tmp_path / name).read_text().splitlines()
    ]
    path.write_text("\n".join(both[::-1]) + "\n")
    ledger.enter(path, task(), [judged("c")])
    header, *entries = path.read_text().splitlines()
    assert ledger.HEADER == header
    assert sorted(entries) == entries
    assert 3 == len(entries)


def test_recordings_of_one_prompt_are_counted_and_old_lines_are_one(tmp_path):
    path = tmp_path / "ledger.csv"
    path.write_text(f"task,examples,prompt\ntopics,{task().test_hash},{Prompt('a').id}\n")
    assert (1, 1, 1) == ledger.count([path], task(), [])
    assert (1, 1, 1) == ledger.count([path], task(), [judged("a")])
    ledger.enter(path, task(), [judged("a"), judged("a", "b"), judged("c")])
    assert (2, 2, 3) == ledger.count([path], task(), [judged("a", "b")])
    assert "so far: 2, in 3 recordings" in ledger.describe(path, task(), [])
