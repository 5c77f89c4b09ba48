"""A search whose truth is known: each prompt is right with a probability of its own. Replies are synthetic."""

from __future__ import annotations

import itertools
import json
import random
import re
from collections import Counter

import pytest

import promptlab as pl
from promptlab.data.sampling import rank
from promptlab.records import Reply

from ..examples import LABELS, task

SEEDS = 100
FORM = "<label>weather</label> or <label>food</label>"
FIRST = pl.Prompt(f"Weather or food?\n\nThink, then say {FORM}")
HOMES = ["train"] * 120 + ["validation"] * 60 + ["test"] * 120
TASK = task(
    examples=[pl.Example(f"e{n}", f"Text {n}.", LABELS[n % 2], split=home) for n, home in enumerate(HOMES)]
)


def searched(seed: int, accuracies: tuple[float, ...]) -> tuple[pl.Run, float]:
    """Run an optimization with a critic that has five ideas, in any order; return it and how good its best is.

    A prompt is as good as the latest idea in it, and with none of them right for 60% of the texts.
    """
    ideas = itertools.count()
    order = random.Random(seed).sample(accuracies, 5)
    labels = {one.text: one.label for one in TASK.examples}

    def next_idea() -> str:
        return f"Idea {next(ideas)}."

    def accuracy(system: str) -> float:
        latest = max(map(int, re.findall(r"Idea (\d+)", system)), default=None)
        return 0.6 if latest is None else order[latest % 5]

    async def reply(client, model, body, headers, *, live):
        turn = body["messages"][-1]["content"]
        if "improve the prompt" in body.get("system", ""):
            if "Rewrite the prompt" in turn:
                text = f"<system>{next_idea()} {FORM}</system><prefix></prefix><suffix></suffix>"
            elif "Which single rules" in turn:
                text = json.dumps({"rule": next_idea(), "instead_of": ""})
            else:
                kinds = re.findall(r"## gold '(\w+)', answered '(\w+)'\n\{\"id\": \"(\w+)\"", turn)
                claims = (
                    {"gold": gold, "answered": said, "ids": [one], "why": "so"} for gold, said, one in kinds
                )
                text = "\n".join(map(json.dumps, claims))
            return Reply(text, "end_turn", ("text",), "synthetic", 1, 1)
        gold = labels[turn]
        right = rank(seed, str(body)) / 2**64 < accuracy(body["system"])
        said = gold if right else {"weather": "food", "food": "weather"}[gold]
        return Reply(f"<label>{said}</label>", "end_turn", ("text",), "synthetic", 1, 1)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("promptlab.models.client.Client._try", reply)
        small, large = (pl.Model(name, base_url="http://127.0.0.1:9") for name in ("small", "large"))
        run = pl.optimize(
            TASK, classifier=small, critic=large, prompt=FIRST, seed=seed, workers=1, api_key="synthetic"
        )
    return run, accuracy(run.best.system)


@pytest.mark.thorough
def test_the_best_of_five_prompts_is_chosen():
    assert 60 == len(TASK.splits["validation"])
    chosen = Counter(searched(seed, (0.85, 0.6, 0.6, 0.6, 0.6))[1] for seed in range(SEEDS))
    assert 95 <= chosen[0.85]


@pytest.mark.thorough
def test_nothing_is_won_where_there_is_nothing_to_win():
    verdicts = Counter(searched(seed, (0.6,) * 5)[0].comparison.verdict for seed in range(SEEDS))
    assert 95 <= SEEDS - verdicts["better"] - verdicts["broken"]
