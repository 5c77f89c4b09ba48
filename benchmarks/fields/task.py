"""The task: pull name, day, time and number of people out of a message that books a visit.

The data, how it was written and what that limits: README.md beside this file.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import promptlab as pl

HERE = Path(__file__).parent
FIELDS = ("name", "day", "time", "people")

BRIEF = """\
People write to Skerry Light, a lighthouse museum on an island, to book a guided visit. Pull four fields out \
of a message: name (the surname the visit is booked under), day (as MM-DD), time (as HH:MM) and people (how \
many come). Write none for what the message does not give."""

FORM = '{"name": NAME, "day": DAY, "time": TIME, "people": PEOPLE}'


def extract(reply: str) -> dict[str, str] | pl.Unreadable:
    """Read the last JSON object of a reply."""
    objects = re.findall(r"\{[^{}]*\}", reply)
    try:
        found = json.loads(objects[-1]) if objects else None
    except ValueError:
        found = None
    if not isinstance(found, dict):
        return pl.Unreadable("no JSON object")
    return {field: str(found.get(field)).strip() for field in FIELDS}


def share_right(example: pl.Example, answer: Mapping[str, str]) -> float:
    """Score the share of the fields that are right; case does not matter."""
    return sum(answer[field].casefold() == example.label[field].casefold() for field in FIELDS) / len(FIELDS)


task = pl.Task(
    name="fields",
    examples=pl.read_csv(HERE / "data.csv", label=FIELDS),
    brief=BRIEF,
    extract=extract,
    score=share_right,
    answer_format=FORM,
)
