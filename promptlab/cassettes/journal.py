"""Replies as they arrive: appended to a file of their own, so that a killed process has lost none.

A line is handed to the operating system before the caller sees the reply. It survives the process,
however that ends; it does not survive a power failure.
"""

import contextlib
import os
from pathlib import Path

import filelock

from promptlab.errors import RecordingError


class Journal:
    """The journal beside a cassette, held by one process at a time.

    Raises:
        RecordingError: it cannot be written, or another process records into it; nothing was asked.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = filelock.FileLock(f"{path}.lock", blocking=False, thread_local=False)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except filelock.Timeout:
            raise RecordingError(
                f"{path}: another process is recording into it. Wait for it or stop it; no call was made"
            ) from None
        except OSError as error:
            self._lock.release()
            raise RecordingError(
                f"{path}: cannot be written, so no call was made: {error.strerror}"
            ) from error
        content = path.read_bytes()
        self._size = content.rfind(b"\n") + 1
        self.torn = self._size < len(content)  # the last line was cut off, and is dropped
        os.ftruncate(self._file, self._size)
        self.lines = content[: self._size].decode("utf-8", "replace").split("\n")[:-1]

    def append(self, line: str) -> None:
        """Write a line, given without its end; RecordingError where that fails, and none of it is kept."""
        data = f"{line}\n".encode()
        left = memoryview(data)
        try:
            while left:
                left = left[os.write(self._file, left) :]
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._size)
            raise RecordingError(
                f"{self.path}: a reply could not be written ({error.strerror}) and the run was stopped. "
                f"The earlier replies are kept: once the file can be written, the same command resumes"
            ) from error
        self._size += len(data)

    def close(self, *, done: bool) -> None:
        """Close the journal; remove it where it is no longer needed, or empty."""
        os.close(self._file)
        if done or not self._size:
            self.path.unlink(missing_ok=True)
        # Removed while it is held: a process that waits for it makes a new one.
        Path(self._lock.lock_file).unlink(missing_ok=True)
        self._lock.release()
