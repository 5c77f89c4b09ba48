"""The prompt is optimized from `first/`, with three seeds: what is won on held-out data."""

import pytest

import promptlab as pl

from .task import HERE, task


@pytest.fixture(scope="session", params=[0, 1, 2], ids="seed{}".format)
def run(lab, short, request):
    """Run each optimization once, for all tests."""
    seed = request.param
    return lab.optimize(task, prompt=HERE / "first", **short, seed=seed, name=f"optimize-{seed}")


def test_the_best_prompt_is_better_than_the_first(run):
    assert "better" == run.comparison.verdict


def test_it_is_not_worse_than_eight_examples_chosen_by_hand(run, result):
    eight = result("eight", "test")
    assert "worse" != pl.compare(eight, run.test).verdict
    assert run.test.macro_f1 > eight.macro_f1 - 0.03
