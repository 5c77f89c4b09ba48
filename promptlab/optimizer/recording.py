"""The recording of a script or a notebook: kept, resumed and replayed as those of tests are."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from promptlab import network
from promptlab.cassettes import recorder
from promptlab.cassettes.format import JOURNAL, UNKNOWN, Origin, relative
from promptlab.cassettes.recorder import RECORDING, IndexedCassette, Mode
from promptlab.data.task import Task
from promptlab.models.messages_api import url_of
from promptlab.records import Model
from promptlab.secrets import masked

#: What is asked: calls that are not recorded, all calls, or none; True is "all".
Live = Literal["changed", "all", "replay", True]
MODES: dict[Live, Mode] = {"changed": "changed", "all": "live", True: "live", "replay": "replay"}


@contextlib.contextmanager
def recording(
    function: str,
    task: Task,
    models: Sequence[Model],
    *,
    record: str | Path | None,
    name: str,
    live: Live | None,
    default: str,
) -> Iterator[IndexedCassette | None]:
    """Replay and record the calls of a block in the folder `record`; without one, make each and keep none.

    The file is named after the task, and `name` or else the default. Where something goes wrong while replies
    are in the journal, the error has a note that says where they are.
    """
    if record is None:
        if name or live is not None:
            raise ValueError(f"name={name!r}, live={live!r}: they need a folder, such as record='cassettes'")
        yield None
        return
    mode, path = mode_of(live), Path(record) / task.name / f"{name or default}.jsonl"
    close = network.only_to if mode in RECORDING else network.not_even_to
    named = f", name={name!r}" if name else ""
    again = f"pl.{function}(..., record={str(record)!r}{named}, live='changed')"
    opened = recorder.use(path, mode=mode, record_with=again, origin=_origin(mode, task))
    with close(asker(), [url_of(model) for model in models]), opened as cassette:
        try:
            yield cassette
        except BaseException as error:
            if cassette.kept:
                kept = f"{cassette.kept} replies are kept in {path}{JOURNAL}"
                error.add_note(masked(f"{kept}; {again} goes on from them"))
            raise
    for note in cassette.notes:
        warnings.warn(note, stacklevel=2)


def mode_of(live: Live | None) -> Mode:
    """Return the record mode; None is "replay" where the environment variable CI is set, else "changed"."""
    if live is None:
        return "replay" if os.environ.get("CI") else "changed"
    if live not in MODES:
        raise ValueError(f"live is {live!r}, expected 'changed', 'all' or 'replay'")
    return MODES[live]


def asker() -> str:
    """Name the test, the script or the notebook that asks."""
    if test := os.environ.get("PYTEST_CURRENT_TEST"):
        return test.rsplit(" (", 1)[0]
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    if "ipykernel" in sys.modules:
        return Path(os.environ.get("JPY_SESSION_NAME", "a notebook")).name
    return relative(Path(script), Path.cwd()) if script else "an interactive session"


def _origin(mode: Mode, task: Task) -> Origin:
    """Say for whom calls are recorded. A prompt is not named: the gate asks for the test of each that is."""
    if mode not in RECORDING:
        return UNKNOWN
    by = os.environ.get("GITHUB_ACTOR") or os.environ.get("USER", "")
    return Origin(by=by, test=asker(), data=tuple(relative(path, Path.cwd()) for path in task.sources))
