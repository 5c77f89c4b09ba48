"""Labels in the JSON of a reply, in a code fence, between words, or nearly JSON."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from promptlab.extract import LABEL, Answering
from promptlab.spelling import CURLY, different, key_of, lines_of, normal


@dataclass(frozen=True)
class JsonField(Answering):
    """Read a field of the last JSON object of a reply; see `json_field`."""

    name: str

    @property
    def answer_format(self) -> str:
        """An object with the field alone."""
        return json.dumps({self.name: LABEL}, ensure_ascii=False)

    def answers(self, reply: str) -> tuple[str, ...]:
        """Return the values that the field has in the last object, or list of objects, that has it."""
        text = "\n".join(lines_of(reply))
        # A string ends on its line, so an open one costs no more than that.
        value = r""""((?:[^"\\\n]|\\.)*)"|'((?:[^'\\\n]|\\.)*)'|(true|false|null|-?\d+(?:\.\d+)?)"""
        field = rf"""["']{re.escape(normal(self.name))}["']\s*:\s*(?:{value})"""
        return _in_block(field, text) or _in_block(field, text.translate(CURLY))


def json_field(name: str = "label") -> JsonField:
    """Make an extractor for a field of a JSON object, in a code fence or not."""
    return JsonField(name)


def _in_block(field: str, text: str) -> tuple[str, ...]:
    """Return the different values of a field within the outermost brackets that hold the last one."""
    depth, fresh, block = 0, True, dict[str, str]()
    for one in re.finditer(rf"{field}|[{{\[]|[}}\]]", text, re.IGNORECASE):
        if one[0] in "{[":
            fresh, depth = fresh or not depth, depth + 1
        elif one[0] in "}]":
            depth = max(0, depth - 1)
        else:
            if fresh or not depth:
                block.clear()
            fresh = False
            block[key_of(_plain(one))] = _plain(one)
    return different(block.values())


def _plain(field: re.Match[str]) -> str:
    """Return the value of a JSON field as text."""
    text = next(group for group in field.groups() if group is not None)
    try:
        return str(json.loads(f'"{text}"'))
    except ValueError:
        return text
