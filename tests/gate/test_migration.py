"""Two models on one prompt: what is compared, and what a call took."""

from __future__ import annotations

import pytest

from promptlab.cassettes import format as files
from promptlab.gate.migration import migration
from promptlab.models import prompts
from promptlab.records import Model

from ..scoring.test_comparison import MODEL, answered

OLD, NEW = answered([True, False, True]), answered([True, True, True], model=Model("large"))


def calls(result, seconds):
    """Make the recording of an evaluation; None leaves a call without its seconds."""
    found = {}
    for row, took in zip(result.rows, seconds, strict=True):
        request = prompts.build(result.prompt, row.example.text, result.classifier, row.repeat)
        found[files.message_key(request)] = {} if took is None else {"seconds": took}
    return found


def test_seconds_are_the_median_of_the_calls_that_have_them():
    found = migration(OLD, NEW, (calls(OLD, [1, 2, 9]), calls(NEW, [None, 3, 5])), 0.2)
    assert (2, 4) == found.seconds
    assert 0.2 == found.comparison.margin
    assert "topics: small -> large" == found.title
    first, *_ = str(found).splitlines()
    assert first == found.comparison.headline
    assert [
        "input tokens a call: 1.0 -> 1.0",
        "output tokens a call: 1.0 -> 1.0",
        "seconds a call (median): 2.00 -> 4.00",
    ] == list(found.costs)


@pytest.mark.parametrize("recorded", [{}, calls(OLD, [None] * 3)], ids=["nothing", "without seconds"])
def test_without_seconds_none_are_shown(recorded):
    found = migration(OLD, NEW, (recorded, calls(NEW, [1, 1, 1])))
    assert (None, 1) == found.seconds
    assert not [line for line in found.costs if "seconds" in line]


def test_other_settings_of_one_model_are_named():
    new = answered([True] * 3, model=Model("small", max_tokens=7))
    assert "topics: small, other settings" == migration(OLD, new, ({}, {})).title
    assert MODEL == OLD.classifier
