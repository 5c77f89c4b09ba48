"""The prompt is optimized from `first/`, with one seed: what is won on held-out data."""

import pytest

import promptlab as pl

from ..short import CLASSIFIER
from .task import HERE, task


@pytest.fixture(scope="session")
def run(lab):
    """Run the optimization once, for all tests."""
    return lab.optimize(task, prompt=HERE / "first", classifier=CLASSIFIER)


def test_the_best_prompt_is_above_the_first_and_not_worse(run):
    assert run.test.macro_f1 > run.test_first.macro_f1
    assert "worse" != run.comparison.verdict


def test_it_is_not_worse_than_eight_examples_chosen_by_hand(run, result):
    eight = result("eight", "test")
    assert "worse" != pl.compare(eight, run.test).verdict
    assert run.test.macro_f1 > eight.macro_f1 - 0.03
