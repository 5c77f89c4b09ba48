"""The copy of a task's examples beside the recording of an optimization."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from promptlab.cassettes import snapshots
from promptlab.errors import RecordingError

from ..examples import examples, task


def test_what_was_saved_is_the_task_as_it_was_recorded(tmp_path):
    own = replace(examples()[0], text="Ein Satz über Wetter\u2028und Essen.", note="é")
    recorded = task(examples=(own, *examples()[1:]))
    snapshots.save(tmp_path / "optimize.jsonl", recorded)
    found = snapshots.as_recorded(tmp_path / "optimize.jsonl", task())
    assert [(one.id, one.text, one.label, one.note) for one in recorded.examples] == [
        (one.id, one.text, one.label, one.note) for one in found.examples
    ]
    assert recorded.splits.keys() == found.splits.keys()
    for split, some in recorded.splits.items():
        assert [one.id for one in some] == [one.id for one in found.splits[split]]


def test_without_a_copy_the_task_is_the_one_of_today(tmp_path):
    assert task() == snapshots.as_recorded(tmp_path / "optimize.jsonl", task())


def test_a_damaged_line_is_named(tmp_path):
    snapshots.save(tmp_path / "optimize.jsonl", task())
    path = tmp_path / "optimize.examples.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([*lines[:2], '{"id"', *lines[3:]]))
    with pytest.raises(RecordingError, match=re.escape(f"{path}, line 3: no example")):
        snapshots.as_recorded(tmp_path / "optimize.jsonl", task())


@pytest.mark.parametrize(("count", "rest"), [(10, ";"), (11, ", ...;")])
def test_ten_examples_that_moved_from_train_to_test_are_named(tmp_path, count, rest):
    home = {one.id: split for split, some in task().splits.items() for one in some}
    about = task(examples=tuple(replace(one, split=home[one.id]) for one in task().examples))
    ids = sorted(one.id for one in about.splits["test"])[:count]
    moved = tuple(replace(one, split="train") if one.id in ids else one for one in about.examples)
    snapshots.save(tmp_path / "optimize.jsonl", task(examples=moved))
    said = snapshots.moved(tmp_path, about)
    assert said.startswith(f"{count} examples were in train when an optimization was recorded")
    assert f"may know them: {', '.join(ids[:10])}{rest}" in said
    assert "" == snapshots.moved(tmp_path, task(examples=moved))
