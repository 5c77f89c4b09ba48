"""Candidates of a round: what is proposed, what is refused, and who breaks a canonical example."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Iterable, Sequence
from dataclasses import replace

from promptlab.data.overlap import copied
from promptlab.errors import DataError, RewriteError, shorten
from promptlab.optimizer.forward import Forward
from promptlab.optimizer.history import Candidate, Iteration, Refused
from promptlab.optimizer.proposers import ASKING, Proposer, Round
from promptlab.optimizer.race import KEPT
from promptlab.records import Example, Prompt


async def admitted(
    current: Round, proposers: Sequence[Proposer], first: Prompt, room: int
) -> tuple[list[Candidate], tuple[Refused, ...]]:
    """Take proposals until `room` of them may race; return those, and why others were refused."""
    known = {one.prompt for one in current.parents}
    known |= {one.prompt for step in current.history for one in step.candidates}
    found, refused = list[Candidate](), list[Refused]()
    offers = proposals(current, proposers, known)
    while len(found) < room and (offer := await anext(offers, None)):
        name, prompt = offer
        why = prompt if isinstance(prompt, str) else objection(prompt, current, first)
        if isinstance(prompt, str) or why:
            refused.append(Refused(name, str(why)))
        else:
            found.append(Candidate(prompt, name))
    return found, tuple(refused)


async def proposals(
    current: Round, proposers: Sequence[Proposer], known: set[Prompt]
) -> AsyncIterator[tuple[str, Prompt | str]]:
    """Let proposers take turns: yield the name of each with a prompt, or with why there is none.

    Every second turn is that of the proposer whose prompt got furthest in the rounds before, or where the
    critic is another model than the classifier, of those that ask it: it is paid for its ideas. The others
    follow one another: those that have had no turn yet, then the more successful. A proposer is called when
    its first turn comes: the critic is not paid for what nobody tries. What is `known` is passed over.
    """
    ranked = sorted(proposers, key=lambda one: _success(_name(one), current.history), reverse=True)
    tried = [name for one in ranked if not _success(name := _name(one), current.history)[0]]
    favoured, last = [_name(one) for one in ASKING] if current.critic.another else tried[:1], ""
    turns: list[tuple[str, Proposer | AsyncIterator[Prompt]]] = [(_name(one), one) for one in ranked]
    while turns:
        mine = [n for n, (name, _) in enumerate(turns) if (name in favoured) != (last in favoured)]
        last, offers = turns.pop(mine[0] if mine else 0)
        offers = _offers(offers, current) if callable(offers) else offers
        try:
            prompt = await anext(offers, None)
            while prompt in known:
                prompt = await anext(offers, None)
        except RewriteError as error:
            yield last, str(error)
            continue
        if prompt:
            known.add(prompt)
            yield last, prompt
            turns.append((last, offers))


async def _offers(proposer: Proposer, current: Round) -> AsyncIterator[Prompt]:
    """Yield what a proposer returns or yields, one prompt at a time."""
    found = proposer(current)
    found = await found if isinstance(found, Awaitable) else found
    if isinstance(found, AsyncIterator):
        async for prompt in found:
            yield prompt
    elif isinstance(found, Iterable):
        for prompt in found:
            yield prompt
    else:
        raise TypeError(f"proposer {_name(proposer)} returned {found!r}, expected prompts, as in a list")


async def unbroken(
    forward: Forward,
    step: str,
    parents: Sequence[Candidate],
    raced: Sequence[Candidate],
    left: Sequence[Candidate],
) -> tuple[list[Candidate], list[Candidate]]:
    """Return the parents and the best new prompts that may be kept, in their order, and all others.

    A new prompt has to keep right each canonical example that the best parent has right. Where none of those
    that are left in the race does, the best parent stays, although it has left.
    """
    old = [one.prompt for one in parents]
    best = [one.prompt for one in raced if one.prompt not in old][:KEPT]
    right = canonical_right(parents[0])
    seen = await forward(step, "train", best, right) if right else []
    answers = dict(zip(best, seen, strict=False))
    may, gone = list[Candidate](), list(left)
    for one in raced:
        answered = answers.get(one.prompt)
        broken = [row.example.id for row in answered.mistakes] if answered else []
        why = f"canonical {', '.join(broken)} came out wrong" if broken else "not needed"
        if one.prompt in old or (one.prompt in best and not broken):
            may.append(replace(one, minibatch=answered or one.minibatch))
        else:
            gone.append(replace(one, minibatch=answered, left=why))
    if not may:
        may = [replace(one, left="") for one in gone if one.prompt == old[0]]
        gone = [one for one in gone if one.prompt != old[0]]
    return may, gone


def canonical_right(parent: Candidate) -> list[Example]:
    """Return the canonical examples that a parent has right."""
    assert parent.minibatch
    return [row.example for row in parent.minibatch.rows if row.example.canonical and row.correct]


def _name(proposer: Proposer) -> str:
    return getattr(proposer, "__name__", type(proposer).__name__)


def _success(name: str, history: Sequence[Iteration]) -> tuple[bool, int, float]:
    """Say how well a proposer did: its best prompt by how many examples it answered, then by its figure."""
    found = [one.validation for step in history for one in step.candidates if one.proposer == name]
    scored = [(one.examples, one.primary) for one in found if one]
    return (not scored, *max(scored, default=(0, 0.0)))


def objection(prompt: Prompt, current: Round, first: Prompt) -> str | None:
    """Say why a proposal must not be tried; None where it may.

    It shows only what the round allows, or the first prompt shows, and copies nothing held out.
    """
    task = current.task
    try:
        task.demonstrated(prompt)
    except DataError as error:
        return str(error)
    texts = {one.text for one in current.allowed} | {one.text for one in first.demonstrations}
    for one in prompt.demonstrations:
        if one.text not in texts:
            return f"the demonstration {shorten(one.text)} is not an example of train that may be shown"
    written = (prompt.system, prompt.prefix, prompt.suffix, prompt.reply_prefix)
    replies = (one.reply for one in prompt.demonstrations)
    if found := copied("\n".join([*written, *replies]), task.held_out):
        return f"it copies a text that it may not know: {found!r}"
    return None
