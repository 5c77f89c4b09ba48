"""The syntax of a reply: from its text to a label, or None.

An extractor is any function `reply -> label or None`. It need not know the labels: what it finds is
looked up in the task's, whatever the case, and anything else counts as "outside the set".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

#: reply text -> label, or None when the reply states none
Extractor = Callable[[str], str | None]

#: stands for the label in an extractor's `answer_format`
LABEL = "LABEL"


@dataclass(frozen=True)
class Tagged:
    """Read the last complete <name>...</name> of a reply; see `tagged`."""

    name: str

    @property
    def answer_format(self) -> str:
        """How a reply has to state the label, for the prompt."""
        return f"<{self.name}>{LABEL}</{self.name}>"

    def __call__(self, reply: str) -> str | None:
        """Return what stands in the last complete tag, or None when there is none."""
        # [^<]* cannot run over the next tag, so the search is linear in the length of the reply.
        found = re.findall(rf"<{self.name}>([^<]*)</{self.name}>", reply, re.IGNORECASE)
        return found[-1].strip() or None if found else None


def tagged(name: str = "label") -> Tagged:
    """Make an extractor for labels in tags, such as <label>sincere</label>.

    The last complete tag wins: earlier ones may be quoted from the instructions or from the text.
    """
    if not re.fullmatch(r"[A-Za-z][\w-]*", name):
        raise ValueError(f"tagged({name!r}): expected a tag name such as 'label', without < and >")
    return Tagged(name)
