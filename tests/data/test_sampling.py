from __future__ import annotations

import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from promptlab.data.sampling import distinct, draw, rank, taking_turns
from promptlab.records import Example

from ..examples import LABELS, examples


@given(st.randoms(use_true_random=False), st.integers(0, 50), st.integers(0, 5), st.integers(1, 9))
def test_the_order_of_the_examples_plays_no_part(random, per_label, seed, iteration):
    given_order = list(examples())
    shuffled = random.sample(given_order, len(given_order))
    kwargs = {"per_label": per_label, "seed": seed, "iteration": iteration}
    assert draw(given_order, LABELS, **kwargs) == draw(shuffled, LABELS, **kwargs)


@given(st.integers(0, 60))
def test_exactly_per_label_are_drawn_while_there_are_enough(per_label):
    drawn = draw(examples(), LABELS, per_label=per_label, seed=0, iteration=1)
    expected = [label for label in LABELS for _ in range(min(per_label, 40))]
    assert expected == [example.label for example in drawn]


def test_another_iteration_or_seed_draws_others():
    drawn = [
        draw(examples(), LABELS, per_label=5, seed=seed, iteration=iteration)
        for seed, iteration in [(0, 1), (0, 2), (1, 1)]
    ]
    assert 3 == len(set(drawn))


def test_a_rank_is_the_same_in_every_process():
    code = "from promptlab.data.sampling import rank; print(rank(0, 'e001'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert str(rank(0, "e001")) == done.stdout.strip()


def test_each_example_is_kept_once_where_it_comes_first():
    """By its id: the label of a graded task is no key."""
    one, two = (Example(name, name, {"kind": "x"}) for name in "ab")
    assert [one, two] == distinct([one, two, one])
    assert [two, one] == distinct([two, one, one, two])


def test_labels_take_turns_in_the_order_of_their_examples():
    some = [Example(name, name, name[0]) for name in ("a1", "a2", "a3", "b1", "b2")]
    assert ["a1", "b1", "a2", "b2", "a3"] == [one.id for one in taking_turns(some, ("a", "b"))]
    assert some == taking_turns(some, ())
