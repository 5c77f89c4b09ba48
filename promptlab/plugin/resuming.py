"""A live session that was stopped goes on: the next one does not make again what it has finished."""

import datetime
import hashlib
import json
from pathlib import Path

FILE = "live.json"
LONGEST = datetime.timedelta(days=1)  # what is older is made again


class Resuming:
    """The recordings that a `--live` session has finished, in a file while the session is not at its end."""

    def __init__(self, folder: Path, profile: str, *, afresh: bool) -> None:
        self._path, self._profile = folder / FILE, profile
        self._began = datetime.datetime.now(datetime.UTC)
        self._finished: dict[str, str] = {}
        self.earlier: dict[str, str] = {} if afresh else self._read()

    def _read(self) -> dict[str, str]:
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
            began = datetime.datetime.fromisoformat(found["began"])
            if found["profile"] == self._profile and self._began - began < LONGEST:
                self._began, self._finished = began, dict(found["finished"])
        except (OSError, ValueError, KeyError, TypeError):
            pass  # there was none, or nobody knows any more
        return dict(self._finished)

    def has(self, recording: str, asked: str) -> bool:
        """Whether the session before has finished a recording of the same requests."""
        return self.earlier.get(recording) == _digest(asked)

    def finished(self, recording: str, asked: str) -> None:
        """Note a recording that is finished."""
        self._finished[recording] = _digest(asked)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        (self._path.parent / ".gitignore").write_text("*\n")
        state = {"profile": self._profile, "began": self._began.isoformat(), "finished": self._finished}
        self._path.write_text(json.dumps(state, indent=1), encoding="utf-8")

    def end(self) -> None:
        """Forget everything: the session came to its end."""
        self._path.unlink(missing_ok=True)


def _digest(asked: str) -> str:
    return hashlib.blake2b(asked.encode(errors="surrogatepass"), digest_size=8).hexdigest()
