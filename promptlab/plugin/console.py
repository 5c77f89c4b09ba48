"""Lines on the terminal; on GitHub, none of them can be taken for a workflow command."""

import contextlib
import os
import re
import secrets
from collections.abc import Iterable, Iterator

import pytest

from promptlab.secrets import masked


class Console:
    """Shows lines while the session runs; without pytest's config it prints them."""

    def __init__(self, config: pytest.Config | None = None) -> None:
        self._config = config

    def progress(self, line: str) -> None:
        """Show a line of progress, with -v."""
        self._write(line, verbosity=1)

    def announce(self, line: str) -> None:
        """Show a line unless pytest is quiet twice over (-qq): it is about money."""
        self._write(line, verbosity=-1)

    def _write(self, line: str, verbosity: int) -> None:
        """Write at once, whatever is being captured; pytest's own output stays whole."""
        if self._config is None:
            print(harmless(masked(line)))  # noqa: T201 - that is what it is for
            return
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        capture = self._config.pluginmanager.get_plugin("capturemanager")
        if reporter is None or self._config.get_verbosity() < verbosity:
            return
        with capture.global_and_fixture_disabled() if capture else contextlib.nullcontext():
            reporter.ensure_newline()
            reporter.write_line(harmless(masked(line)))


def shielded(lines: Iterable[str]) -> Iterator[str]:
    """Yield lines, masked; on GitHub, between marks that stop it from running commands found in them."""
    lines = map(masked, lines)
    if os.environ.get("GITHUB_ACTIONS") != "true":
        yield from lines
        return
    token = secrets.token_hex(16)  # unknown to the authors of the texts
    yield f"::stop-commands::{token}"
    yield from lines
    yield f"::{token}::"


def harmless(line: str) -> str:
    """Return a line that GitHub does not take for a workflow command; elsewhere, as it is."""
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return line
    return re.sub(r"^(\s*):", "\\1\u200b:", line).replace("##[", "##\u200b[")
