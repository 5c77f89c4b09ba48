"""What an extractor finds, looked up in a task's labels: a label, or why there is none."""

from __future__ import annotations

from collections.abc import Sequence

from promptlab.errors import ExtractorError, PromptlabError, shorten
from promptlab.extract import Extractor, Missing
from promptlab.spelling import exact, key_of, mentions, normal


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
    for key in (exact, key_of):
        for label in labels:
            if key(label) == key(found):
                return label, None
    named = {label for label, _ in mentions(normal(found), labels)}
    return None, "contradictory" if len(named) > 1 else "outside the set"
