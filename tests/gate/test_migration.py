"""Two models on one prompt: what is compared, and what a call took."""

from __future__ import annotations

from dataclasses import replace

from promptlab.gate.migration import migration
from promptlab.records import Model

from ..scoring.test_comparison import MODEL, answered

OLD, NEW = answered([True, False, True]), answered([True, True, True], model=Model("large"))


def taking(result, *seconds):
    """Give the answers of an evaluation their durations."""
    rows = zip(result.rows, seconds, strict=True)
    return replace(
        result, rows=tuple(replace(row, reply=replace(row.reply, seconds=took)) for row, took in rows)
    )


def test_seconds_are_the_median_of_the_calls_that_have_them():
    found = migration(taking(OLD, 1, 2, 9), taking(NEW, None, 3, 5), 0.2)
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


def test_without_seconds_none_are_shown():
    found = migration(OLD, taking(NEW, 1, 1, 1))
    assert (None, 1) == found.seconds
    assert not [line for line in found.costs if "seconds" in line]


def test_other_settings_of_one_model_are_named():
    new = answered([True] * 3, model=Model("small", max_tokens=7))
    assert "topics: small, other settings" == migration(OLD, new).title
    assert MODEL == OLD.classifier
