"""An optimization of three iterations; its best prompt is kept in prompt/."""

import pytest

import promptlab as pl

from .task import HERE, SETTINGS, task


@pytest.fixture(scope="session")
def run(lab):
    """Run the optimization once, for all tests."""
    return lab.optimize(task, **SETTINGS)


def test_the_best_prompt_is_no_worse_than_the_first_on_validation(run):
    first, best = run.history[0].parent.validation, run.history[-1].best.validation
    assert best.macro_f1 >= first.macro_f1


def test_the_prompt_folder_holds_the_best_prompt(run):
    assert pl.load_prompt(HERE / "prompt") == run.best


def test_every_reply_is_counted(run):
    assert run.test.scores.n == len(task.split("test"))
