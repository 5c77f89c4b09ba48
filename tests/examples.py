"""A small task for tests: is a sentence about the weather or about food?"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from promptlab.data.task import Task
from promptlab.records import Example, Model

LABELS = ("weather", "food")


def examples(count: int = 80) -> tuple[Example, ...]:
    """Make examples that alternate between the labels."""
    return tuple(
        Example(f"e{n:03}", f"Sentence {n} about the {LABELS[n % 2]} of day {n}.", LABELS[n % 2])
        for n in range(count)
    )


def task(count: int = 80, **fields: Any) -> Task:
    """Make a task with enough examples for every split."""
    return Task(
        **{"name": "topics", "examples": examples(count), "labels": LABELS, "brief": "Weather or food?"}
        | fields
    )


def model(url: str, name: str = "synthetic") -> Model:
    """Name a model of a test server."""
    return Model(name, base_url=url)


CLAIM = '{"ids": ["%s"], "gold": "%s", "answered": "%s", "why": "the prompt does not say it"}'


def answer(body: dict[str, Any]) -> str:
    """Answer as a classifier that is right only if the prompt says "Better", or as a critic."""
    turn = body["messages"][-1]["content"]
    if "improve the prompt" not in body.get("system", ""):
        number = int(re.search(r"Sentence (\d+)", turn)[1])
        label = LABELS[number % 2]
        return f"<label>{label if 'Better' in body.get('system', '') or number % 3 else LABELS[0]}</label>"
    if "Rewrite the prompt" in turn:
        text = "Better: say weather or food, as <label>weather</label> or <label>food</label>."
        return f"<system>\n{text}\n</system>\n<prefix>\n</prefix>\n<suffix>\n<label></label>\n</suffix>"
    one = re.search(
        r'# Mistakes\n\n## [^\n]*\n\{"id": "(\w+)".*?"gold": "(\w+)", "answered": "([\w ]+)"', turn
    )
    return CLAIM % one.groups() if one else "I have said it all."


def connect(folder: Path, url: str) -> None:
    """Name a server in the profile of a user's project."""
    (folder / "pyproject.toml").write_text(
        f"""
[tool.promptlab]
replay = "local"
live = "local"

[tool.promptlab.profiles.local]
base_url = "{url}"
classifier = {{ name = "small" }}
critic = {{ name = "large" }}
"""
    )
