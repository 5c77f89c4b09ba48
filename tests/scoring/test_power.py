from __future__ import annotations

import numpy
import pytest

from promptlab.scoring import power
from promptlab.scoring.power import detectable, pull_request, truth
from promptlab.scoring.weights import Answers, Row, difference


def alone(*support):
    """Put every example in a group of its own."""
    return [(label,) for label, n in enumerate(support) for _ in range(n)]


@pytest.mark.thorough
@pytest.mark.parametrize("support", [(50, 50), (95, 5)])
def test_a_detectable_loss_is_detected_as_often_as_it_says(support):
    """The reference draws pull requests by itself, cell by cell."""
    least = detectable(alone(*support), 2, "accuracy", discordance=0.15)
    random = numpy.random.default_rng(0)
    worse = 0
    for _ in range(1500):
        units = []
        for gold, n in enumerate(support):
            shares = [0.8 - (0.15 + least) / 2, (0.15 + least) / 2, (0.15 - least) / 2]
            counts = random.multinomial(n, [*shares, 1 - sum(shares)])
            pairs = [(gold, gold), (gold, 1 - gold), (1 - gold, gold), (1 - gold, 1 - gold)]
            units += [
                ((Row(gold, (((a, 1.0),), ((b, 1.0),))),), int(n))
                for (a, b), n in zip(pairs, counts, strict=True)
                if n
            ]
        worse += difference(Answers(tuple(sorted(units)), 2, "accuracy"), draws=500).verdict == "worse"
    assert 0.75 <= worse / 1500 <= 0.86


@pytest.fixture
def rough(monkeypatch):
    """Simulate fewer pull requests, where the digits do not matter."""
    monkeypatch.setattr(power, "ROUNDS", (40, 80))


def test_ten_examples_of_each_label_show_a_loss_below_30_points(rough):
    assert detectable(alone(10, 10), 2, discordance=0.15) < 0.3
    assert detectable(alone(10, 10, 10), 3, discordance=0.05) < 0.3


def test_more_examples_show_smaller_losses(rough):
    few, many, calm = (
        detectable(alone(n, n), 2, discordance=share) for n, share in ((20, 0.15), (80, 0.15), (80, 0.05))
    )
    assert few > many > calm > 0


def test_examples_that_share_a_group_show_less(rough):
    groups = [(0, 1, 0, 1)] * 25
    assert detectable(groups, 2, discordance=0.15) > 1.2 * detectable(alone(50, 50), 2, discordance=0.15)


def test_where_nothing_can_be_shown_there_is_no_number():
    assert detectable(alone(2, 1), 2, discordance=0.15) is None


def test_the_true_figures_are_those_of_many_answers():
    changed, groups = truth(2, 0.15, 0.1), alone(15_000, 5_000)
    found = difference(pull_request(groups, changed, numpy.random.RandomState(1)))
    base, new = changed.figures((3, 1), "macro_f1")
    assert new - base == pytest.approx(found.point, abs=0.01)


def test_answers_within_a_group_agree_half_of_the_way():
    groups = [(0, 0)] * 4_000
    found = pull_request(groups, truth(2, 0.0, 0.0), numpy.random.RandomState(0))
    rights = [[row.answers[0] == ((0, 1.0),) for row in unit] for unit, n in found.units for _ in range(n)]
    a, b = numpy.array(rights + [pair[::-1] for pair in rights]).T
    assert 0.5 == pytest.approx(numpy.corrcoef(a, b)[0, 1], abs=0.04)
