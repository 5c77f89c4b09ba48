"""The task: do two questions that users asked in a help forum need the same answer?

The data, how it was written and what that limits: README.md beside this file.
"""

from dataclasses import replace
from pathlib import Path

import promptlab as pl

HERE = Path(__file__).parent

BRIEF = """\
Two questions that users asked in the help forum of a mapping and hiking app are duplicates if one answer \
would serve both askers. Decide whether the two questions are the same or different."""


def pairs(template: str) -> tuple[pl.Example, ...]:
    """Read the pairs, laid out as the template says."""
    return pl.read_csv(HERE / "data.csv", text=("question1", "question2"), template=template)


task = pl.Task(
    name="duplicates",
    examples=pairs("First: {question1}\nSecond: {question2}"),
    labels=("same", "different"),
    brief=BRIEF,
    extract=pl.first_of(pl.tagged("label"), pl.last_line()),  # small models often leave out the tag
)

#: The same pairs, the other question first.
swapped = replace(task, examples=pairs("First: {question2}\nSecond: {question1}"))
