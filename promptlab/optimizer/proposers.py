"""Proposers: each looks at a round of the search and returns prompts to try.

A proposer is a function of a `Round` that returns prompts, the most promising first, or yields them; it may
be asynchronous, to ask the critic. Proposers take turns until the round has as many candidates as its
calls allow, so one may offer more than will be tried. What they return is checked before a call is paid for
it: nothing may be copied from validation or test, and demonstrations are examples of train.

What they do is known to work: labelled examples as turns (Brown et al., NeurIPS 2020) drawn at random and
selected (BootstrapFewShotWithRandomSearch of DSPy), also those that were answered wrong; a reason before the
answer (Wei et al., NeurIPS 2022); a rewrite from criticized mistakes (ProTeGi: Pryzant et al., EMNLP 2023);
single edits of a prompt (GrIPS: Prasad et al., EACL 2023); crossing (EvoPrompt: Guo et al., ICLR 2024).
"""

import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from promptlab.data.sampling import distinct, draw, rank
from promptlab.data.task import Task
from promptlab.labels.extract import LABEL
from promptlab.optimizer.critic import Critic, edits, rewrite
from promptlab.optimizer.forms import ALONE, LABEL_FIRST, REASON_FIRST, rules, statement, with_form
from promptlab.optimizer.history import Candidate, Iteration
from promptlab.records import Demonstration, Example, Prompt, Reply

SHOTS = 8  # demonstrations of a prompt, and one of each label at least; for small models 8 are better than 16
DRAWS = 50  # different draws that are offered in a round, at most
FOCUSED = 3  # kinds of mistakes that get a rewrite of their own in a round, at most

Prompts = Iterable[Prompt]
Proposer = Callable[["Round"], Prompts | Awaitable[Prompts] | AsyncIterator[Prompt]]


@dataclass(frozen=True)
class Round:
    """What a proposer knows.

    Attributes:
        task: the task; of its examples a proposer uses those of train only.
        number: of the round, from 1.
        seed: that of the run.
        parents: the prompts to improve, the best first, each with its answers about a minibatch of train.
        history: the rounds before.
        critic: asks the critic; what it is shown is about the best parent.
    """

    task: Task
    number: int
    seed: int
    parents: tuple[Candidate, ...]
    history: tuple[Iteration, ...]
    critic: Critic

    @property
    def best(self) -> Prompt:
        """The best prompt so far."""
        return self.parents[0].prompt

    @cached_property
    def allowed(self) -> tuple[Example, ...]:
        """The examples of train that a prompt may show.

        Not those that are canonical or disputed, or nearly the same as one of validation or test.
        """
        given_away = {ours.id for ours, _ in self.task.near_duplicates}
        train = self.task.splits["train"]
        return tuple(e for e in train if not (e.canonical or e.disputed or e.id in given_away))

    @cached_property
    def showable(self) -> tuple[Example, ...]:
        """Of these, the examples that promptlab can write the right reply to."""
        return tuple(one for one in self.allowed if reply_to(self.task, one) is not None)

    @property
    def per_label(self) -> int:
        """How many demonstrations of each label a prompt has; of a graded task, in all."""
        return max(1, SHOTS // max(1, len(self.task.labels)))

    def drawn(self, examples: Sequence[Example], per_label: int, number: object) -> tuple[Example, ...]:
        """Draw so many of each label, for the `number`-th time in this current."""
        seed = f"{self.seed}, {number}"
        labels = self.task.labels
        return draw(examples, labels, per_label=per_label, seed=seed, iteration=self.number)

    def showing(self, prompt: Prompt, examples: Iterable[Example], *, reasons: bool = False) -> Prompt:
        """Return a prompt that asks for the label alone and shows examples, in an order that looks random."""
        mixed = sorted(distinct(examples), key=lambda one: rank(self.seed, self.number, one.id))
        shown = [
            Demonstration(one.text, (f"{one.note}\n" if reasons else "") + f"{reply_to(self.task, one)}")
            for one in mixed
        ]
        form = REASON_FIRST if reasons else ALONE
        return replace(with_form(prompt, self.task, form), demonstrations=tuple(shown))


def reply_to(task: Task, example: Example) -> str | None:
    """Write the reply that scores 1, in the task's form; None where promptlab cannot."""
    form = task.answer_format or ""
    label = example.label
    text = form.replace(LABEL, label) if isinstance(label, str) else json.dumps(label, ensure_ascii=False)
    answer, missing = task.read(Reply(text, "end_turn", ("text",), "", 0, 0))
    return text if not missing and task.grade(example, answer) == 1 else None


def balanced(current: Round) -> Iterator[Prompt]:
    """Show labelled examples, as many of each label: one draw after the other."""
    for number in range(DRAWS if current.showable else 0):
        yield current.showing(current.best, current.drawn(current.showable, current.per_label, number))


def mistaken(current: Round) -> Iterator[Prompt]:
    """Show examples that a parent got wrong: in the place of half of its own, then beside all of them."""
    for parent in current.parents:
        seen = parent.minibatch.mistakes if parent.minibatch else ()
        wrong = [row.example for row in seen if row.example in current.showable]
        own = [one for one in current.task.demonstrated(parent.prompt) if one in current.showable]
        held = current.drawn(wrong, max(1, current.per_label // 2), "mistakes")
        if not held:
            continue
        rest = current.drawn(
            [one for one in own or current.showable if one not in held], current.per_label, "rest"
        )
        yield current.showing(parent.prompt, _filled(held, rest, current.per_label, current.task))
        yield current.showing(parent.prompt, [*held, *(own or rest)])


def _filled(first: Sequence[Example], rest: Sequence[Example], per_label: int, task: Task) -> list[Example]:
    """Take the first examples, and of the rest as many as each label still lacks."""
    found = list(first)
    for one in rest:
        of_label = [other for other in found if other.label == one.label] if task.labels else found
        if len(of_label) < per_label:
            found.append(one)
    return found


def reasoned(current: Round) -> Iterator[Prompt]:
    """Show labelled examples with their notes as reasons, and ask for a reason first."""
    noted = [one for one in current.showable if one.note]
    for number in range(DRAWS if noted else 0):
        drawn = current.drawn(noted, current.per_label, f"noted {number}")
        yield current.showing(current.best, drawn, reasons=True)


def forms(current: Round) -> Iterator[Prompt]:
    """Ask for the label alone, for a reason and then the label, for the label and then a reason."""
    if current.task.answer_format and not current.best.demonstrations:
        for form in (ALONE, REASON_FIRST, LABEL_FIRST):
            yield with_form(current.best, current.task, form)


def crossed(current: Round) -> Iterator[Prompt]:
    """Give one parent's rules to another's demonstrations, and put the demonstrations of two together."""
    for one, other in itertools.permutations(current.parents, 2):
        if other.prompt.demonstrations:
            form = statement(other.prompt, current.task)
            yield replace(other.prompt, system=f"{rules(one.prompt, current.task)}\n\n{form}\n")
        if one.prompt.demonstrations and other.prompt.demonstrations:
            both = dict.fromkeys(one.prompt.demonstrations + other.prompt.demonstrations)
            yield replace(one.prompt, demonstrations=tuple(both))


def shortened(current: Round) -> Iterator[Prompt]:
    """Leave out every second demonstration of a label, or one paragraph of the rules."""
    for parent in current.parents:
        prompt, shown = parent.prompt, parent.prompt.demonstrations
        if len(shown) > max(1, len(current.task.labels)):
            yield replace(prompt, demonstrations=_every_second(shown, current.task))
        paragraphs = rules(prompt, current.task).split("\n\n")
        for left_out in sorted(paragraphs, key=len, reverse=True) if len(paragraphs) > 1 else ():
            system = prompt.system.replace(left_out + "\n\n", "", 1)
            yield replace(prompt, system=system)


def _every_second(shown: Sequence[Demonstration], task: Task) -> tuple[Demonstration, ...]:
    """Keep each second demonstration of a label (the last line of its reply), or of all."""
    counts: dict[str, int] = {}
    kept = []
    for one in shown:
        label = one.reply.rpartition("\n")[2] if task.labels else ""
        counts[label] = counts.get(label, 0) + 1
        kept += [one] if counts[label] % 2 else []
    return tuple(kept)


async def rewritten(current: Round) -> Prompts:
    """Let the critic say what is wrong with the best prompt, and rewrite it: the predecessor's algorithm."""
    critic = current.critic
    critique = await critic.criticize()
    return [
        await rewrite(critic.ask, critic.shown, critique, current.task, current.best, critic.max_characters)
    ]


async def focused(current: Round) -> AsyncIterator[Prompt]:
    """Let the critic rewrite the best prompt against one kind of mistake at a time, three at most."""
    critic = current.critic
    critique = await critic.criticize()
    for claim in critique.claims[:FOCUSED]:
        one = replace(critique, claims=(claim,))
        yield await rewrite(critic.ask, critic.shown, one, current.task, current.best, critic.max_characters)


async def edited(current: Round) -> Prompts:
    """Let the critic name single rules; each is added, put in another's place or removed, one at a time."""
    return await edits(current.critic.ask, current.critic.shown, current.task, current.best)


PROPOSERS: tuple[Proposer, ...] = (
    balanced,
    forms,
    mistaken,
    rewritten,
    reasoned,
    edited,
    focused,
    crossed,
    shortened,
)
ASKING = (rewritten, edited, focused)  # the critic
PREDECESSOR: tuple[Proposer, ...] = (rewritten,)
