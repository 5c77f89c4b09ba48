"""The difference of two texts, word by word."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator


def diff(old: str, new: str) -> Iterator[tuple[str, str]]:
    """Yield the words of two texts as ("same" | "removed" | "added", text), in reading order."""
    a, b = (re.findall(r"\s+|[^\s]+", text) for text in (old, new))
    for kind, i, j, k, m in difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if kind == "equal":
            yield "same", "".join(a[i:j])
            continue
        if i < j:
            yield "removed", "".join(a[i:j])
        if k < m:
            yield "added", "".join(b[k:m])
