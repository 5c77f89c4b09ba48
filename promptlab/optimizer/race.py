"""The race: which of several prompts is best, for as few calls as possible.

All prompts answer about the same examples of validation, few at first. After each stage the weaker third
of the new ones leaves, down to two, and the rest answers about twice as many: successive halving (Karnin,
Koren and Somekh, ICML 2013; Jamieson and Talwalkar, AISTATS 2016), more slowly than by halves, since a few
examples mislead. Who is shown to be worse than the leader by the paired difference, with 95% confidence,
leaves too, as in racing (Maron and Moore, NIPS 1993; F-Race: Birattari et al., GECCO 2002). ProTeGi (Pryzant
et al., EMNLP 2023) selects its prompts in the same way, by bandits. A parent only leaves when it is shown to
be worse: what holds so far is not lost by bad luck.

Of the rest, the best is kept, and with it the one that is right most often where the best is wrong: GEPA's
front (Agrawal et al., ICLR 2026), cut to what the calls allow. At the end, the best that stood a race go on
to all of validation, with one stage between. A race ends early when one prompt is left.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace

from promptlab.data.sampling import rank, taking_turns
from promptlab.data.task import Task
from promptlab.optimizer.forward import Forward
from promptlab.optimizer.history import Candidate
from promptlab.records import Example, Prompt
from promptlab.scoring.evaluation import answers_of
from promptlab.scoring.weights import difference

FIRST_STAGE = 12  # examples: too few to show that a prompt is worse than the luckiest of many
KEPT = 2  # prompts that a round hands on
FINALS = 0.3  # of the calls, at most, for more than two finalists
SHORTER = 0.8  # of the characters; a prompt that is hardly shorter is no simpler


class Plan:
    """How the calls of a search are shared out.

    Attributes:
        examples: those of validation that prompts race on, in their order: all, or as many as a third of the
            calls.
        rounds: after how many of them prompts are compared in a round: a twelfth of the calls at most.
        finals: after how many the finalists are compared: half of the rest, and all.
        iterations: rounds: as many as asked for, or as the calls allow.
    """

    def __init__(self, task: Task, calls: int, iterations: int, seed: int) -> None:
        self.examples = order(task, seed, max(FIRST_STAGE, calls // 3))
        first, *more = stages(len(self.examples))
        self.rounds = [first, *(one for one in more if one <= calls / 12)]
        self.finals = [(self.rounds[-1] + len(self.examples)) // 2, len(self.examples)]
        self._calls, self.iterations = calls, iterations
        while not self._first_room(len(task.canonical)):
            self.iterations -= 1
            if not self.iterations:
                raise ValueError(
                    f"calls is {calls}: too few for a single round, with {len(task.canonical)} canonical "
                    f"examples; give twice as many, or mark fewer"
                )

    def _first_room(self, canonical: int) -> int:
        """Return the first round's room, if its minibatch takes a quarter of its calls."""
        limit = self.limit(1, 0)
        guards = KEPT * min(canonical, limit // 4)
        return self.room([Candidate(Prompt())], limit - limit // 4 - guards)

    def limit(self, number: int, spent: int) -> int:
        """Return how many calls may be spent by the end of a round: those that are left, shared out evenly.

        What the finals need is put aside: with two prompts, or as many as 30% of the calls pay for.
        """
        finals = self._price_of_finals(max(KEPT, self.finalists(FINALS * self._calls)))
        return spent + (self._calls - finals - spent) // (self.iterations - number + 1)

    def room(self, parents: Sequence[Candidate], calls: int) -> int:
        """Return how many new prompts can race to the end of a round, beside its parents."""
        calls -= sum(self.rounds[-1] - min(one.answered, self.rounds[-1]) for one in parents)
        return next(n for n in itertools.count() if price(n + 1, [0, *self.rounds]) > calls)

    def finalists(self, calls: float) -> int:
        """Return how many prompts can go on from the rounds' examples to all; one always can."""
        return max(1, sum(self._price_of_finals(n) <= calls for n in range(1, int(calls) + 1)))

    def _price_of_finals(self, prompts: int) -> int:
        return price(prompts, [self.rounds[-1], *self.finals])


def order(task: Task, seed: int, most: int) -> tuple[Example, ...]:
    """Return the validation examples in the order in which they are asked about, `most` of them.

    Labels take turns, so that the first few examples tell something about each.
    """
    ranked = sorted(task.splits["validation"], key=lambda one: (rank(seed, one.id), one.id))
    return tuple(taking_turns(ranked, task.labels)[:most])


def stages(most: int) -> list[int]:
    """Return after how many examples prompts are compared: 12, 24, 48 ..., half more at least, `most`."""
    sizes = [FIRST_STAGE * 2**n for n in range(20) if FIRST_STAGE * 2**n * 1.5 <= most]
    return [*sizes, most]


def staying(new: int) -> int:
    """Return how many of so many new prompts are left after a stage: a third leaves, rounded up."""
    return min(new, max(KEPT, 2 * new // 3))


def price(new: int, sizes: Sequence[int]) -> int:
    """Return how many calls so many new prompts cost in a race from the first of the stages to the last."""
    calls = 0
    for before, after in itertools.pairwise(sizes):
        calls += new * (after - before)
        new = staying(new)
    return calls


async def race(
    forward: Forward,
    step: str,
    parents: Sequence[Candidate],
    new: Sequence[Candidate],
    examples: Sequence[Example],
    sizes: Sequence[int],
    calls: int,
) -> tuple[list[Candidate], list[Candidate]]:
    """Let prompts answer about examples, stage by stage, and drop those that are behind.

    Args:
        forward: asks the classifier.
        step: names the race in errors.
        parents: they leave only when they are shown to be worse than the leader.
        new: of these, the weaker third leaves after each stage but the last, as long as two are left.
        examples: they are asked about in this order.
        sizes: after how many of them the prompts are compared.
        calls: a stage that would cost more than is left of them is not begun.

    Returns:
        Those that are left, the best first, and all others.
    """
    alive, gone, limit = [*parents, *new], list[Candidate](), forward.calls + calls
    safe = {one.prompt for one in parents}
    for size in sizes:
        if len(alive) == 1 and alive[0].validation:  # no other can win any more
            break
        asked = [one.prompt for one in alive]
        if forward.calls + forward.cost(asked, examples[:size]) > limit:
            break
        found = await forward(step, "validation", asked, examples[:size])
        scored = [replace(one, validation=seen) for one, seen in zip(alive, found, strict=True)]
        ranked = sorted(scored, key=_place)
        places = [one.prompt for one in ranked if one.prompt not in safe]
        allowed = set(places[: staying(len(places))] if size < sizes[-1] else places)
        why = {one.prompt: _behind(one, ranked[0], allowed | safe) for one in ranked}
        gone += [replace(one, left=why[one.prompt]) for one in ranked if why[one.prompt]]
        alive = [one for one in ranked if not why[one.prompt]]
    return alive, gone


def _place(one: Candidate) -> tuple[float, int, str]:
    assert one.validation
    return -round(one.validation.primary, 9), len(one.prompt), one.prompt.id


def _behind(one: Candidate, leader: Candidate, staying: set[Prompt]) -> str:
    """Say why a prompt leaves; "" where it stays."""
    assert one.validation
    assert leader.validation
    if one is leader:
        return ""
    seen = f"after {one.answered} validation examples"
    found = difference(answers_of(leader.validation, one.validation))
    if found.verdict == "worse" and one.answered > FIRST_STAGE:
        return f"worse than {leader.prompt.id} {seen}: {found.point:+.3f}, at best {found.high:+.3f}"
    return "" if one.prompt in staying else f"among the weakest {seen}"


def hand_on(alive: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Return the best of the prompts, and the one that is right most often where the best is wrong."""
    best, *others = alive
    if not others:
        return (best,)
    assert best.validation
    wrong = [row.score for row in best.validation.rows]

    def gains(one: Candidate) -> float:
        assert one.validation
        return sum(max(0.0, row.score - score) for row, score in zip(one.validation.rows, wrong, strict=True))

    second = max(others, key=lambda one: (gains(one), -_place(one)[0], -len(one.prompt)))
    return (best, second) if gains(second) else (best,)


async def finals(
    forward: Forward, plan: Plan, standing: Sequence[Candidate], calls: int
) -> tuple[Candidate, ...]:
    """Let the best prompts that stood a race answer all of validation; return them, the chosen one first."""
    latest = {one.prompt: one for one in sorted(standing, key=lambda one: one.answered)}
    best = sorted(latest.values(), key=_place)[: plan.finalists(calls)]
    alive, left = await race(forward, "finals", (), best, plan.examples, plan.finals, calls)
    winner = chosen(alive)
    (whole,) = await forward("finals", "validation", [winner.prompt], plan.examples)
    return (replace(winner, validation=whole), *(one for one in (*alive, *left) if one is not winner))


def chosen(finalists: Iterable[Candidate]) -> Candidate:
    """Choose among prompts that answered about the same examples: the best, or a much shorter one.

    A prompt with at most 80% of the characters wins if it is less than one standard error of the paired
    difference behind: the one-standard-error rule (Breiman et al., Classification and Regression Trees,
    1984).
    """
    best, *others = sorted(finalists, key=_place)
    assert best.validation
    for one in sorted(others, key=lambda one: len(one.prompt)):
        assert one.validation
        if len(one.prompt) > SHORTER * len(best.prompt):
            break
        found = difference(answers_of(best.validation, one.validation))
        if -found.point < found.error:
            return one
    return best
