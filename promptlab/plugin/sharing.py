"""Work that several processes of one session need is done by one of them: pytest-xdist's workers."""

from __future__ import annotations

import fcntl
import hashlib
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def once(folder: Path | None, name: str, work: Callable[[], T]) -> tuple[T, bool]:
    """Return what the work gives, and whether it was done here; other processes wait and take it over.

    What it raises is not shared: each process that asks raises its own.

    Args:
        folder: private to the session, since what stands there is trusted; None where it has one process.
        name: names the work.
        work: done unless another process has.
    """
    if folder is None:
        return work(), True
    path = folder / hashlib.blake2b(name.encode(), digest_size=16).hexdigest()
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():
            known: T = pickle.loads(path.read_bytes())  # noqa: S301 - written below, in a private folder
            return known, False
        done = work()
        path.write_bytes(pickle.dumps(done))
        return done, True
