"""The task: is a question on a question-and-answer site sincere, or a statement in disguise?

The data, how it was written and what that limits: README.md beside this file.
"""

from pathlib import Path
from typing import Any

import promptlab as pl

HERE = Path(__file__).parent

BRIEF = """\
Decide whether a question posted on a question-and-answer site is sincere or insincere.
A sincere question looks for an answer: the writer wants to learn, decide or understand something, \
even when the question is blunt, oddly informed, naive or about a touchy subject.
An insincere question is a statement dressed up as a question: it presumes an unfounded or disparaging \
claim about a person or a group instead of asking about it, mocks or belittles, fishes for agreement or \
outrage rather than an answer, or is only meant to shock or to joke."""

task = pl.Task(
    name="insincere",
    examples=pl.read_csv(HERE / "data.csv"),
    labels=("sincere", "insincere"),
    positive="insincere",
    brief=BRIEF,
    extract=pl.tagged("label"),
)

# The predecessor's algorithm: in each round, the critic rewrites the best prompt. Four mistakes of each label
# and two correct answers are what the recorded critic can hold in mind.
SETTINGS: dict[str, Any] = {
    "proposers": pl.PREDECESSOR,
    "iterations": 3,
    "per_label": 12,
    "mistakes": 4,
    "correct": 2,
    "max_characters": 2500,
}
