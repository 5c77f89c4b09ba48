"""How far calls are: a line that moves on a terminal and in a notebook, elsewhere one now and then."""

from __future__ import annotations

import os
import shutil
import sys
import time
import warnings
from collections import deque
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from promptlab.models.spending import dollars, percentiles
from promptlab.records import Model, Reply

if TYPE_CHECKING:
    from tqdm import tqdm

EVERY = 30.0  # seconds between two lines where nothing can move
MOVES = 0.1  # seconds between two states of a line that moves
RECENT = 1_000  # calls whose seconds are shown


class Output:
    """Where progress is shown: on the standard error of a script, or in the cell of a notebook."""

    @property
    def moves(self) -> bool:
        """Whether a line can be written over, and somebody looks at it."""
        return not os.environ.get("CI") and (sys.stderr.isatty() or "ipykernel" in sys.modules)

    @property
    def stream(self) -> Any:
        """Where a line that moves is written; None leaves it to tqdm."""
        return None

    def line(self, text: str) -> None:
        """Write a line that stays."""
        sys.stderr.write(f"{text}\n")


#: Who shows progress; a test session has a terminal of its own.
output: ContextVar[Output] = ContextVar("output", default=Output())  # noqa: B039 - it holds no state


class Progress:
    """Counts the calls that are made, and shows it.

    Attributes:
        stage: what is being done, such as "iteration 1".
    """

    def __init__(self, title: str, planned: int | None) -> None:
        self.stage = ""
        self._title, self._fixed, self._planned = title, planned is not None, planned or 0
        self._calls, self._dollars = 0, dict[str, float | None]()
        self._seconds = deque[float](maxlen=RECENT)
        self._began = self._shown = 0.0
        self._bar: tqdm[Any] | None = None

    def expect(self, calls: int) -> None:
        """Add calls that will be made, where nobody has said how many there are at most."""
        self._planned += 0 if self._fixed else calls

    def begin(self) -> None:
        """Start the clock, with the first call."""
        if self._began:
            return
        self._began = self._shown = time.monotonic()
        if output.get().moves:
            with warnings.catch_warnings(action="ignore"):  # a notebook without widgets gets a line of text
                from tqdm.auto import tqdm
            tqdm.monitor_interval = 0  # no thread of its own
            stream = output.get().stream
            width = shutil.get_terminal_size().columns if stream else None
            fits: dict[str, Any] = {"ncols": width} if width else {"dynamic_ncols": True}
            self._bar = tqdm(
                desc=self._head,
                total=self._planned,
                unit="call",
                file=stream,
                leave=False,
                miniters=1,
                **fits,
            )

    def made(self, role: str, model: Model, reply: Reply) -> None:
        """Count a call that was made, and show it."""
        self._calls += 1
        cost, before = dollars(model, reply), self._dollars.get(role, 0.0)
        self._dollars[role] = None if cost is None or before is None else before + cost
        if reply.seconds is not None:  # a call of a batch has no time of its own
            self._seconds.append(reply.seconds)
        now = time.monotonic()
        if self._bar is not None and (now - self._shown > MOVES or self._calls >= self._planned):
            self._shown = now
            self._bar.total = max(self._planned, self._calls)
            self._bar.set_description(self._head, refresh=False)
            self._bar.set_postfix_str(self._tail, refresh=False)
            self._bar.update(self._calls - self._bar.n)
        elif self._bar is None and reply.seconds is not None and now - self._shown > EVERY:
            # Of a batch, whose replies have no time, something else says how far it is.
            self._shown = now
            output.get().line(self._line)

    def refresh(self) -> None:
        """Show a new stage, where a line moves."""
        if self._bar is not None:
            self._bar.update(self._calls - self._bar.n)
            self._bar.set_description(self._head)

    def line(self, text: str) -> None:
        """Write a line that stays, above the one that moves."""
        if self._bar is not None:
            self._bar.write(text, file=output.get().stream or sys.stderr)
        else:
            output.get().line(text)

    def close(self) -> None:
        """Take the line away."""
        if self._bar is not None:
            self._bar.close()

    @property
    def _head(self) -> str:
        return ", ".join(filter(None, (self._title, self.stage)))

    @property
    def _tail(self) -> str:
        """Dollars by role, and seconds a call."""
        known = [f"{role} ${cost:.4f}" for role, cost in sorted(self._dollars.items()) if cost is not None]
        if self._seconds:
            median, high = percentiles(sorted(self._seconds))
            known.append(f"{median:.2f} s a call, 95% under {high:.2f} s")
        return ", ".join(known)

    @property
    def _line(self) -> str:
        rate = self._calls / (time.monotonic() - self._began)
        planned = max(self._planned, self._calls)
        left = (planned - self._calls) / rate
        most = "at most " if self._fixed else ""
        return (
            f"{self._head}: {self._calls:,} of {most}{planned:,} calls, {rate:.1f} a second, "
            f"{self._tail}{', ' if self._tail else ''}{left:.0f} s left"
        )
