"""What calls that are not recorded would take: how many, how many tokens, how many dollars."""

from __future__ import annotations

from collections.abc import Sequence

from promptlab.cassettes.estimates import Plan, Usage, cost
from promptlab.data.task import Task
from promptlab.errors import PromptlabError
from promptlab.models import prompts
from promptlab.optimizer.proposers import SHOTS
from promptlab.records import Model, Prompt, Request

AROUND = 60  # characters around a text, where it is shown: the layout, the label
INSTRUCTIONS = 4000  # characters of the critic's own instructions


class Planned(PromptlabError):
    """Calls are not recorded, and they were only planned."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        super().__init__(f"not recorded: at most {plan.calls:,} calls, {cost(plan.dollars)}")


def total(plans: Sequence[Plan]) -> str:
    """Sum up plans in a line."""
    dollars = [one.dollars for one in plans]
    spent = None if None in dollars else sum(filter(None, dollars))
    calls = sum(one.calls for one in plans)
    return (
        f"in all at least {calls:,} calls, {cost(spent)}: each test was skipped at the first call that is "
        f"not recorded, and what comes behind it is not counted"
    )


def of_requests(title: str, requests: Sequence[Request], usage: Usage) -> Plan:
    """Plan requests to one model."""
    lengths = [len(one.system) + sum(len(text) for _, text in one.messages) for one in requests]
    mean = sum(lengths) / len(lengths)
    return Plan(title, (usage.part("classifier", requests[0].model, len(requests), mean),))


def of_run(
    title: str,
    task: Task,
    models: tuple[Model, ...],
    prompt: Prompt | None,
    most: tuple[int, int, int],
    usage: Usage,
) -> Plan:
    """Plan an optimization: as many calls as `loop.most` says, with demonstrations in every prompt."""
    search, critics, test = most
    texts = [len(one.text) for one in task.examples]
    text = sum(texts) / len(texts)
    first = prompt or prompts.first(task)
    asked = len(first) + text + SHOTS * (text + AROUND)
    shown = 15 * max(1, len(task.labels)) * (text + 3 * AROUND) + len(first) + INSTRUCTIONS
    classifier, critic = models
    parts = (
        usage.part("classifier", classifier, search + test, asked),
        usage.part("critic", critic, critics, shown),
    )
    return Plan(title, parts)
