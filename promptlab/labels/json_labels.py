"""Labels in the JSON of a reply, in a code fence, between words, or nearly JSON."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from promptlab.labels.extract import LABEL, Answering
from promptlab.labels.spelling import CURLY, different, key_of, lines_of, normal


@dataclass(frozen=True)
class JsonField(Answering):
    """Read a field of the last JSON object of a reply; see `json_field`."""

    name: str

    @property
    def answer_format(self) -> str:
        """An object with the field alone."""
        return json.dumps({self.name: LABEL}, ensure_ascii=False)

    def answers(self, reply: str) -> tuple[str, ...]:
        """Return the values that the field has in the last object, or list of objects, that has it.

        A value that cannot be read as one is returned as it stands. What is found only once curly
        quotes are straightened contradicts what was found before.
        """
        text = "\n".join(lines_of(reply))
        # A string ends on its line, so an open one costs no more than that.
        string = r'"((?:[^"\\\n]|\\.)*)"|\'((?:[^\'\\\n]|\\.)*)\''
        one = rf"(?:{string}|(true|false|null|-?\d+(?:\.\d+)?))\s*(?=[,}}\]\n]|$)"
        value = rf"{one}|\[\s*(?:{string})\s*\]|([^}}\n]{{1,200}})"
        name = re.escape(normal(self.name))
        field = rf"""(?:["']{name}["']|(?<=[{{,])\s*{name})\s*[:=]\s*(?:{value})"""
        return different([*_in_block(field, text), *_in_block(field, text.translate(CURLY))])


def json_field(name: str = "label") -> JsonField:
    """Make an extractor for a field of a JSON object, in a code fence or not."""
    return JsonField(name)


def _in_block(field: str, text: str) -> tuple[str, ...]:
    """Return the different values of a field within the outermost brackets that hold the last one.

    One outside all brackets contradicts those within; without any brackets, the last one counts.
    """
    depth, fresh, brackets, block = 0, True, False, dict[str, str]()
    for one in re.finditer(rf"{field}|[{{\[]|[}}\]]", text, re.IGNORECASE):
        if one[0] in "{[":
            fresh, depth, brackets = fresh or not depth, depth + 1, True
        elif one[0] in "}]":
            depth = max(0, depth - 1)
        else:
            if (fresh and depth) or not brackets:
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
