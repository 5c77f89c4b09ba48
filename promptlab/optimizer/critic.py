"""The critic: what it is shown, what it is asked for, and how its answers are read and checked.

All calls are over the same context. First the critique: it says what is wrong with the prompt, in claims that
code can check. Then the update: given the claims that hold, it rewrites the prompt. Or it names single rules.
"""

import json
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from promptlab.data.sampling import draw
from promptlab.data.task import Task
from promptlab.errors import RewriteError, shorten
from promptlab.labels.extract import LABEL
from promptlab.optimizer.history import Claim, Critique, Iteration
from promptlab.optimizer.rewrite import REWRITTEN, check_prompt, read_prompt, with_gap, with_rule
from promptlab.records import Model, Prediction, Prompt, Reply, Request, shown
from promptlab.scoring.evaluation import Evaluation

T = TypeVar("T")
Ask = Callable[[Request], Awaitable[Reply]]

NO_LABEL = "no label"  # how the critic reads and writes a missing label
TRIED = 3  # earlier proposals that are shown, the latest

# The critic's prompts are files like any other. On the outline in critic_rewrite.md: a small model that is
# shown its prompt in tags copies it, and one that is shown none forgets half of it; a gap it fills.
SYSTEM, ASK_CLAIMS, ASK_CLAIMS_GRADED, ASK_REWRITE, ASK_EDITS = (
    Path(__file__).with_name(f"critic_{name}.md").read_text(encoding="utf-8").removesuffix("\n")
    for name in ("system", "claims", "graded", "rewrite", "edits")
)
NAME_LABELS = "Name every label ({labels}), ask"  # a graded task has none


def context(
    task: Task,
    seen: Evaluation,
    history: Sequence[Iteration],
    critic: Model,
    *,
    mistakes: int,
    correct: int,
    seed: int,
) -> Request:
    """Lay out what the critic sees: the prompt, how it did, what it got wrong and right, what was tried.

    At most `mistakes` wrong and `correct` right answers of each label are shown. Texts and replies are in
    JSON, one object a line, so that nothing in them can be taken for the layout around them.
    """
    number = len(history) + 1

    def some(rows: Iterable[Prediction], per_label: int) -> list[Prediction]:
        by_id = {row.example.id: row for row in rows}
        examples = [row.example for row in by_id.values()]
        drawn = draw(examples, task.labels, per_label=per_label, seed=seed, iteration=number)
        return [by_id[example.id] for example in drawn]

    wrong = some(seen.mistakes, mistakes)
    right = some((row for row in seen.rows if row.correct), correct)
    tried = []
    for past in history[-TRIED:]:
        tried.append(f"## Iteration {past.number}: {past.verdict}")
        tried += [_written(one.prompt) for one in past.candidates if one.proposer == "rewritten"]
    parts = {
        "What the classifier must decide": task.brief.strip(),
        "The prompt": _written(seen.asked_with),
        "How it did": _counts(task, seen),
        "Mistakes": _by_direction(wrong, task.labels) or "(none)",
        "Correct answers": _by_direction(right, task.labels) or "(none)",
        "Tried before": "\n\n".join(tried) or "(nothing)",
    }
    text = "\n\n".join(f"# {title}\n\n{body}" for title, body in parts.items())
    return Request(critic, SYSTEM, (("user", text),))


def _by_direction(rows: Sequence[Prediction], labels: Sequence[str]) -> str:
    """Show predictions under headings of both labels, or of the score, in order of appearance."""
    groups: dict[str, list[str]] = {}
    for row in rows:
        heading = f"## gold {row.example.label!r}, answered {answered(row)!r}"
        if not labels:
            heading = f"## score {row.score:.2f}"
        groups.setdefault(heading, []).append(_shown(row))
    return "\n\n".join("\n".join([heading, *shown]) for heading, shown in groups.items())


def _shown(row: Prediction) -> str:
    fields = {"id": row.example.id, "text": row.example.text, "gold": row.example.label}
    fields |= {"answered": answered(row), "reply": row.reply.text}
    if row.example.note:
        fields["note"] = row.example.note
    return json.dumps(fields, ensure_ascii=False)


def answered(row: Prediction) -> str:
    """Name a prediction as the critic reads it: the label, or why there is none."""
    if row.label is not None:
        return shown(row.label)
    return NO_LABEL if row.missing in (None, "absent") else row.missing


def _written(prompt: Prompt) -> str:
    """Show the parts as they are: in JSON, their line ends would come back as backslashes."""
    return "\n\n".join(f"### {part}\n{getattr(prompt, part).strip()}" for part in REWRITTEN)


def _counts(task: Task, seen: Evaluation) -> str:
    columns = (*task.labels, NO_LABEL)
    lines = [
        f"gold {label}: " + ", ".join(f"{n} answered {c}" for n, c in zip(row, columns, strict=True))
        for label, row in zip(task.labels, seen.scores.confusion, strict=True)
    ]
    return "\n".join([f"{seen.primary_name} {seen.primary:.3f} on {seen.scores.n} texts", *lines])


class Critic:
    """The critic in one round, as proposers use it.

    Attributes:
        ask: sends a request to the critic and returns its reply.
        shown: what it sees, without a question: add yours with `with_question`.
        critique: what it said is wrong, once it was asked; None before.
        max_characters: longest prompt that it may write.
        another: whether it is another model than the classifier; if so, every second turn is its own.
    """

    def __init__(
        self, ask: Ask, shown: Request, seen: Evaluation, max_characters: int, another: bool
    ) -> None:
        self.ask, self.shown, self.max_characters, self.another = ask, shown, max_characters, another
        self.critique: Critique | None = None
        self._seen = seen

    async def criticize(self) -> Critique:
        """Return its critique; it is asked once a round. RewriteError where its answer cannot be used."""
        if self.critique is None:
            self.critique = await criticize(self.ask, self.shown, self._seen)
        return self.critique


async def criticize(ask: Ask, context: Request, seen: Evaluation) -> Critique:
    """Ask for claims and discard those that the predictions contradict; there may be none left."""
    if not seen.mistakes:
        raise RewriteError("the prompt made no mistake on the minibatch")
    request = with_question(context, ASK_CLAIMS if seen.labels else ASK_CLAIMS_GRADED)
    return await _with_one_repair(ask, request, lambda reply: read_claims(reply.text, seen))


def with_question(context: Request, question: str) -> Request:
    """Put a question to the critic behind what it is shown."""
    ((role, text),) = context.messages
    return replace(context, messages=((role, f"{text}\n\n# Your task\n\n{question}"),))


def read_claims(text: str, seen: Evaluation) -> Critique:
    """Read the claims of an answer; of each, keep the ids that the predictions confirm."""
    wrong = {row.example.id: row for row in seen.mistakes}
    claims: list[Claim] = []
    discarded: list[tuple[str, str]] = []
    for found in _objects(text):
        try:
            said = _claim(json.loads(found), graded=not seen.labels)
        except (ValueError, KeyError, TypeError) as error:
            discarded.append((found, f"{shorten(found)} cannot be read: {error!r}"))
            continue
        false = {one: why for one in said.ids if (why := _objection(one, said, wrong))}
        discarded += [(found, why) for why in false.values()]
        if true := tuple(one for one in said.ids if one not in false):
            claims.append(replace(said, ids=true))
    return Critique(text, tuple(claims), tuple(discarded))


def _objects(text: str) -> Iterator[str]:
    """Yield what is written in braces, JSON objects whole, even if their texts hold braces."""
    decoder, start = json.JSONDecoder(), text.find("{")
    while start >= 0:
        try:
            end = decoder.raw_decode(text, start)[1]
        except (json.JSONDecodeError, RecursionError):
            inner, closing = text.find("{", start + 1), text.find("}", start)
            broken = closing >= 0 and not start < inner < closing  # nothing else begins in between
            end = closing + 1 if broken else start + 1
            if broken:
                yield text[start:end]
        else:
            yield text[start:end]
        start = text.find("{", end)


def _claim(fields: dict[str, Any], *, graded: bool) -> Claim:
    ids = fields["ids"] if isinstance(fields["ids"], list) else [fields["ids"]]
    return Claim(
        ids=tuple(dict.fromkeys(str(one) for one in ids)),
        gold="" if graded else str(fields["gold"]),
        predicted="" if graded else str(fields["answered"]),
        why=str(fields["why"]).strip(),
    )


def _objection(one: str, claim: Claim, wrong: Mapping[str, Prediction]) -> str | None:
    """Say why a claim is false of one id; None where it is true."""
    if one not in wrong:
        return f"{one!r} is not the id of a mistake"
    gold, said = wrong[one].example.label, answered(wrong[one])
    if claim.gold and (claim.gold, claim.predicted) != (gold, said):
        return f"{one!r} is {gold!r} and was answered {said!r}"
    return None


async def rewrite(
    ask: Ask, context: Request, critique: Critique, task: Task, parent: Prompt, max_characters: int
) -> Prompt:
    """Ask for a new prompt and check it before it is used; RewriteError where that fails twice."""

    def read(reply: Reply) -> Prompt:
        prompt = read_prompt(reply.text, parent)
        check_prompt(prompt, task, parent, max_characters=max_characters)
        return prompt

    form = task.answer_format or LABEL
    template = ASK_REWRITE if task.labels else ASK_REWRITE.replace(NAME_LABELS, "Ask")
    asked = template.format(
        causes="\n".join(f"- {claim.why}" for claim in critique.claims) or "(see the mistakes)",
        labels=", ".join(task.labels),
        forms=" or ".join(form.replace(LABEL, one) for one in task.labels) or form,
        max_characters=max_characters,
        system=with_gap(parent.system, task),
        prefix=parent.prefix.strip(),
        suffix=parent.suffix.strip(),
    )
    return await _with_one_repair(ask, with_question(context, asked), read)


async def edits(ask: Ask, context: Request, task: Task, parent: Prompt) -> tuple[Prompt, ...]:
    """Ask for single rules, and make each change to the system part alone; RewriteError if there are none.

    A rule is added before the paragraph on the form or put in the place of a sentence, or that is removed.
    """

    def read(reply: Reply) -> tuple[Prompt, ...]:
        found = [one for one in (_edit(text, task, parent) for text in _objects(reply.text)) if one]
        if not found:
            raise RewriteError("there is no line with a rule in the form asked for")
        return tuple(dict.fromkeys(found))

    return await _with_one_repair(ask, with_question(context, ASK_EDITS), read)


def _edit(text: str, task: Task, parent: Prompt) -> Prompt | None:
    try:
        said = json.loads(text)
        rule, old = str(said["rule"]).strip(), str(said.get("instead_of") or "").strip()
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    if old and old in parent.system:
        return replace(parent, system=parent.system.replace(old, rule, 1).lstrip())
    return replace(parent, system=with_rule(parent.system, rule, task)) if rule else None


async def _with_one_repair(ask: Ask, request: Request, read: Callable[[Reply], T]) -> T:
    """Ask; where the answer cannot be used, ask once more and say why.

    The second request does not show the first answer: with it in view, a small model repeats it.
    """
    try:
        return _used(await ask(request), read)
    except RewriteError as error:
        ((role, text),) = request.messages
        again = f"{text}\n\nAn earlier answer could not be used: {error}. Answer anew, in the form asked for."
        return _used(await ask(replace(request, messages=((role, again),))), read)


def _used(reply: Reply, read: Callable[[Reply], T]) -> T:
    if reply.stop_reason == "refusal":
        raise RewriteError("the answer was refused")
    if reply.stop_reason == "max_tokens":
        raise RewriteError("the answer was cut off: it was too long")
    return read(reply)
