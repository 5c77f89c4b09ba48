"""What an extractor finds, looked up in a task's labels: a label, or why there is none."""

from __future__ import annotations

import re
from collections.abc import Sequence

from promptlab.errors import ExtractorError, PromptlabError, shorten
from promptlab.labels.answer_lines import BEFORE
from promptlab.labels.extract import Extractor
from promptlab.labels.naming import named
from promptlab.labels.spelling import exact, key_of, loose_key_of, normal, undecorated
from promptlab.records import Missing


def read(extract: Extractor, labels: Sequence[str], reply: str) -> tuple[str | None, Missing | None]:
    """Read a reply's label, or None and why there is none.

    Raises:
        ExtractorError: the extractor raised, or returned something else than text or None.
    """
    try:
        found = extract(reply)
        several = getattr(extract, "answers", None) if found is None else None
        contradictory = several is not None and len(several(reply)) > 1
    except PromptlabError:
        raise  # such as the guard's, where an extractor reaches for the network
    except Exception as error:
        raise ExtractorError(f"the extractor raised {error!r} on the reply {shorten(reply)}") from error
    if found is None:
        return None, "contradictory" if contradictory else "absent"
    if not isinstance(found, str):
        raise ExtractorError(
            f"the extractor returned {shorten(found)} for the reply {shorten(reply)}, expected a label or None"
        )
    for key in KEYS:
        sought = key(found)
        alike = [label for label in labels if key(label) == sought]
        if len(alike) == 1:
            return alike[0], None
    several_named = {one.label for one in named(normal(found), labels)}
    return None, "contradictory" if len(several_named) > 1 else "outside the set"


def _bare(answer: str) -> str:
    """Return what is left of an answer without what announces it, and what decorates it."""
    return loose_key_of(undecorated(re.sub(BEFORE, "", answer, count=1, flags=re.IGNORECASE)))


KEYS = (exact, key_of, loose_key_of, _bare)  # from the strictest on: how two spellings may be alike
