"""Work that several processes of one session need is done by one of them: the workers of pytest-xdist."""

import contextlib
import hashlib
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock


@dataclass
class Slot:
    """The result of a piece of work; None until one of the processes has done it."""

    value: Any = None


@contextlib.contextmanager
def turn(folder: Path | None, name: str) -> Iterator[Slot]:
    """Take turns at a piece of work: whoever finds the slot empty does it and fills the slot.

    What the block raises is not shared: each process raises its own. The folder is private to the session,
    since its files are trusted; None where there is one process.
    """
    if folder is None:
        yield Slot()
        return
    path = folder / hashlib.blake2b(name.encode(), digest_size=16).hexdigest()
    with filelock.FileLock(path.with_suffix(".lock")):
        slot = Slot(pickle.loads(path.read_bytes()) if path.exists() else None)  # noqa: S301 - written below
        empty = slot.value is None
        yield slot
        if empty and slot.value is not None:
            path.write_bytes(pickle.dumps(slot.value))
