"""What changed from one prompt to another, in words."""

import difflib
import re
from collections.abc import Iterator

from promptlab.errors import shorten
from promptlab.models.prompts import files_of
from promptlab.records import Prompt

WORDS = r"\s+|\S+"
PARAGRAPHS = r"(?s).+?(?:\n\n|\Z)"
IN_COMMON = 0.4  # share of two texts that is the same; below, one is shown after the other


def diff(old: str, new: str, pieces: str = WORDS) -> Iterator[tuple[str, str]]:
    """Yield the words of two texts as ("same" | "removed" | "added", text), in reading order.

    Two texts with little in common follow one another as wholes, instead of being interwoven.
    """
    a, b = (re.findall(pieces, text) for text in (old, new))
    matcher = difflib.SequenceMatcher(None, a, b, autojunk=False)
    same = sum(len("".join(a[i : i + n]).split()) for i, _, n in matcher.get_matching_blocks())
    if pieces == WORDS and 2 * same < IN_COMMON * (len(old.split()) + len(new.split())):
        yield from ((kind, text) for kind, text in (("removed", old), ("added", new)) if text)
        return
    for kind, i, j, k, m in matcher.get_opcodes():
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
