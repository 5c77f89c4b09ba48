"""Lines on the terminal; on GitHub, none of them can be taken for a workflow command."""

import contextlib
import io
import os
import re
import secrets
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from promptlab.models.progress import Output
from promptlab.secrets import masked


class Console(Output):
    """Shows lines while the session runs; without pytest's config it shows nothing."""

    def __init__(self, config: pytest.Config | None = None) -> None:
        self._config = config
        self._terminal = _Terminal(self)
        self._reporter: Any = config and config.pluginmanager.get_plugin("terminalreporter")

    def progress(self, line: str) -> None:
        """Show a line of progress, with -v."""
        self._write(line, verbosity=1)

    def announce(self, line: str) -> None:
        """Show a line unless pytest is quiet twice over (-qq): it is about money."""
        self._write(line, verbosity=-1)

    def line(self, text: str) -> None:
        """Show how far calls are, where no line can move."""
        self._write(text, verbosity=0)

    @property
    def moves(self) -> bool:
        """Whether there is a terminal, on which a line can be written over."""
        looked_at = self._config and not os.environ.get("CI") and self._config.get_verbosity() >= 0
        return bool(looked_at and self._reporter and self._reporter.isatty)

    @property
    def stream(self) -> Any:
        """The terminal, on a line of its own."""
        with self._uncaptured():
            self._reporter.ensure_newline()
        return self._terminal

    def _write(self, line: str, verbosity: int) -> None:
        """Write at once; pytest's own output stays whole."""
        if self._config and self._reporter and self._config.get_verbosity() >= verbosity:
            with self._without_bar(), self._uncaptured():
                self._reporter.ensure_newline()
                self._reporter.write_line(harmless(printable(masked(line))))

    def _without_bar(self) -> contextlib.AbstractContextManager[None]:
        """Take the line that moves away, if there is one, while another is written."""
        loaded = sys.modules.get("tqdm")
        return loaded.tqdm.external_write_mode(file=self._terminal) if loaded else contextlib.nullcontext()

    def _uncaptured(self) -> contextlib.AbstractContextManager[None]:
        """Let what is written reach the terminal, whatever is being captured."""
        capture = self._config and self._config.pluginmanager.get_plugin("capturemanager")
        return capture.global_and_fixture_disabled() if capture else contextlib.nullcontext()


class _Terminal(io.TextIOBase):
    """Standard error, past what captures it; tqdm writes to it."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return sys.__stderr__.encoding if sys.__stderr__ else "utf-8"

    def write(self, text: str) -> int:
        with self._console._uncaptured():
            sys.stderr.write(text)
            sys.stderr.flush()
        return len(text)


def shielded(lines: Iterable[str]) -> Iterator[str]:
    """Yield lines, masked and printable; on GitHub, between marks so that no command in them is run."""
    lines = (printable(masked(line)) for line in lines)
    if os.environ.get("GITHUB_ACTIONS") != "true":
        yield from lines
        return
    token = secrets.token_hex(16)  # unknown to the authors of the texts
    yield f"::stop-commands::{token}"
    yield from lines
    yield f"::{token}::"


def printable(line: str) -> str:
    """Escape what is no text on a terminal: controls, what turns letters around, halves of characters."""
    if line.isprintable():
        return line
    return "".join(
        one if one.isprintable() or unicodedata.category(one) == "Zs" else repr(one)[1:-1] for one in line
    )


def harmless(line: str) -> str:
    """Return a line that GitHub does not take for a workflow command; elsewhere, as it is."""
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return line
    return re.sub(r"^(\s*):", "\\1\u200b:", line).replace("##[", "##\u200b[")
