"""Lines on the terminal; on GitHub, none of them is taken for a command of the workflow."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterable, Iterator

import pytest


def say(config: pytest.Config, line: str, verbosity: int) -> None:
    """Show a line at once, whatever is being captured; pytest's own output stays whole."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    capture = config.pluginmanager.get_plugin("capturemanager")
    if reporter is None or config.get_verbosity() < verbosity:
        return
    with capture.global_and_fixture_disabled() if capture else contextlib.nullcontext():
        reporter.ensure_newline()
        reporter.write_line(harmless(line))


def shielded(lines: Iterable[str]) -> Iterator[str]:
    """Yield lines for a terminal; on GitHub, none of them is taken for a command of the workflow."""
    if os.environ.get("GITHUB_ACTIONS") != "true":
        yield from lines
        return
    token = secrets.token_hex(16)  # not known to whoever wrote the texts
    yield f"::stop-commands::{token}"
    yield from lines
    yield f"::{token}::"


def harmless(line: str) -> str:
    """Return a line that GitHub does not take for a command of the workflow; elsewhere, as it is."""
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return line
    return re.sub(r"^(\s*):", "\\1\u200b:", line).replace("##[", "##\u200b[")
