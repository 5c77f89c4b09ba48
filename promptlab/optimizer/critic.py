"""What the critic is asked for, and how its answers are read and checked.

Two calls over the same evidence. First the gradient: the critic says what is wrong with the prompt, in
claims that code can check. Then the update: given the claims that held, it rewrites the prompt.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from promptlab.data.task import Task
from promptlab.errors import RewriteError, shorten
from promptlab.labels.extract import LABEL
from promptlab.optimizer.evidence import answered
from promptlab.optimizer.history import Claim, Critique
from promptlab.optimizer.rewrite import check_prompt, read_prompt, with_gap
from promptlab.records import Prediction, Prompt, Reply, Request
from promptlab.scoring.evaluation import Evaluation

T = TypeVar("T")
Ask = Callable[[Request], Awaitable[Reply]]


ASK_CLAIMS = """\
Why was each of these mistakes made, and which rule in the prompt would have prevented it? Answer with \
one JSON object a line, one for each kind of mistake listed above, and nothing else:
{"gold": "the right label", "answered": "the wrong answer", "ids": ["the ids of these mistakes"], \
"why": "the cause, and the rule that is missing"}"""

# A small model that is shown its prompt in tags copies it, and one that is shown none forgets half of it;
# shown the prompt with a gap, it fills the gap.
ASK_REWRITE = """\
Rewrite the prompt so that these mistakes are not made again and the correct answers stay correct. \
What was found to be missing:
{causes}

Name every label ({labels}), ask for the answer as {forms}, do not quote the texts, and write at most \
{budget} characters. Answer with the three parts of the new prompt in tags and stop. This is their outline; \
every line may be changed:

<system>
{system}
</system>
<prefix>
{prefix}
</prefix>
<suffix>
{suffix}
</suffix>"""


# -- the gradient -------------------------------------------------------------------------------


async def criticize(ask: Ask, told: Request, seen: Evaluation) -> Critique:
    """Ask for claims and drop those that are not so; there may be none left.

    Raises:
        RewriteError: where there is no mistake, or both the answer and its repair were refused or cut.
    """
    if not seen.mistakes:
        raise RewriteError("the prompt made no mistake on the minibatch")
    request = _with_task(told, ASK_CLAIMS)
    return await _with_one_repair(ask, request, lambda reply: read_claims(reply.text, seen))


def _with_task(told: Request, asked: str) -> Request:
    ((role, text),) = told.messages
    return replace(told, messages=((role, f"{text}\n\n# Your task\n\n{asked}"),))


def read_claims(text: str, seen: Evaluation) -> Critique:
    """Read the claims of an answer; of each, keep the ids that the predictions bear out."""
    wrong = {row.example.id: row for row in seen.mistakes}
    claims: list[Claim] = []
    dropped: list[tuple[str, str]] = []
    for found in re.findall(r"\{[^{}]*\}", text):
        try:
            said = _claim(json.loads(found))
        except (ValueError, KeyError, TypeError) as error:
            dropped.append((found, f"{shorten(found)} cannot be read: {error!r}"))
            continue
        false = {one: why for one in said.ids if (why := _objection(one, said, wrong))}
        dropped += [(found, why) for why in false.values()]
        if true := tuple(one for one in said.ids if one not in false):
            claims.append(replace(said, ids=true))
    return Critique(text, tuple(claims), tuple(dropped))


def _claim(fields: dict[str, Any]) -> Claim:
    ids = fields["ids"] if isinstance(fields["ids"], list) else [fields["ids"]]
    return Claim(
        ids=tuple(dict.fromkeys(str(one) for one in ids)),
        gold=str(fields["gold"]),
        predicted=str(fields["answered"]),
        why=str(fields["why"]).strip(),
    )


def _objection(one: str, claim: Claim, wrong: Mapping[str, Prediction]) -> str | None:
    """Say why a claim is false of one id; None where it is true."""
    if one not in wrong:
        return f"{one!r} is not the id of a mistake"
    gold, said = wrong[one].example.label, answered(wrong[one])
    if (claim.gold, claim.predicted) != (gold, said):
        return f"{one!r} is {gold!r} and was answered {said!r}"
    return None


# -- the update ---------------------------------------------------------------------------------


async def rewrite(
    ask: Ask, told: Request, critique: Critique, task: Task, parent: Prompt, budget: int
) -> Prompt:
    """Ask for a new prompt and check it before any call is paid for it.

    Raises:
        RewriteError: where neither the answer nor its repair is a prompt that can be tried.
    """

    def read(reply: Reply) -> Prompt:
        prompt = read_prompt(reply.text, parent)
        check_prompt(prompt, task, parent, budget=budget)
        return prompt

    asked = ASK_REWRITE.format(
        causes="\n".join(f"- {claim.why}" for claim in critique.claims) or "(see the mistakes)",
        labels=", ".join(task.labels),
        forms=" or ".join((task.answer_format or LABEL).replace(LABEL, one) for one in task.labels),
        budget=budget,
        system=with_gap(parent.system, task),
        prefix=parent.prefix.strip(),
        suffix=parent.suffix.strip(),
    )
    return await _with_one_repair(ask, _with_task(told, asked), read)


# -- one repair ---------------------------------------------------------------------------------


async def _with_one_repair(ask: Ask, request: Request, read: Callable[[Reply], T]) -> T:
    """Ask; where the answer cannot be used, ask once more and say why.

    The second question does not show the first answer: with it in view, a small model repeats it.
    """
    try:
        return _used(await ask(request), read)
    except RewriteError as error:
        ((role, text),) = request.messages
        told = f"{text}\n\nAn earlier answer could not be used: {error}. Answer anew, in the form asked for."
        return _used(await ask(replace(request, messages=((role, told),))), read)


def _used(reply: Reply, read: Callable[[Reply], T]) -> T:
    if reply.stop_reason == "refusal":
        raise RewriteError("the answer was refused")
    if reply.stop_reason == "max_tokens":
        raise RewriteError("the answer was cut off: it was too long")
    return read(reply)
