"""Texts of others in Markdown: none of them opens a tag, leaves its cell, makes a link or calls for a person."""

from __future__ import annotations

import re

#: What Markdown may take for more than text: in a line, at its start, and in addresses.
MEANT = r"[&<>|`*_~\[\]\\#@!$^{}]|^[-+=]|(?<=^\d)[.)]|:(?=//)|(?<=www)\."


def literal(text: str) -> str:
    """Write a text on one line, so that Markdown and GitHub take it for nothing but text."""
    shown = unlinked(" ".join(text.split()))
    return re.sub(MEANT, lambda sign: f"&#{ord(sign[0])};", shown)


def with_command(text: str) -> str:
    """Write a text, and a command that it ends with as code."""
    said, command, rest = text.partition("pytest --live-changed")
    return literal(said) + (f" <code>{literal(command + rest)}</code>" if command else "")


def unlinked(text: str) -> str:
    """Part what GitHub would make a link to a person or a thread of."""
    return re.sub(r"(@|#(?=\d)|(?i:gh-)(?=\d))", "\\1\u200b", text)
