"""What changed from one prompt to another, in words."""

import difflib
import re
from collections.abc import Iterator

from promptlab.errors import shorten
from promptlab.models.prompts import files_of
from promptlab.records import Prompt


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


def changed_files(old: Prompt, new: Prompt) -> list[str]:
    """Return the names of the files that differ between two prompts."""
    before, after = files_of(old), files_of(new)
    return [name for name in before | after if before.get(name) != after.get(name)]


def in_words(old: Prompt, new: Prompt) -> Iterator[str]:
    """Yield a line for each file of a prompt that changed: words that came and went, or demonstrations."""
    before, after = files_of(old), files_of(new)
    for name in changed_files(old, new):
        texts = before.get(name, ""), after.get(name, "")
        if name == "demonstrations.jsonl":
            yield f"{name}: {_demonstrations(old, new)}"
            continue
        words = (
            f"{kind} {shorten(text.strip())}"
            for kind, text in diff(*texts)
            if kind != "same" and text.strip()
        )
        yield f"{name}: {', '.join(words) or 'white space'}"


def _demonstrations(old: Prompt, new: Prompt) -> str:
    added = [one for one in new.demonstrations if one not in old.demonstrations]
    removed = len([one for one in old.demonstrations if one not in new.demonstrations])
    counts = [f"{len(added)} added"] if added else []
    counts += [f"{removed} removed"] if removed else []
    example = f", such as {shorten(added[0].text)}: {shorten(added[0].reply)}" if added else ""
    return (", ".join(counts) or "another order") + example
