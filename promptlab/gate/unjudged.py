"""What is recorded for a prompt, at the base or here, and no test has judged: it must not go in silence."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from promptlab.cassettes import format as files
from promptlab.gate.answers import Answers
from promptlab.gate.base import Pair, profile_at
from promptlab.gate.git import Commit

HERE = "this branch"


class Unjudged(NamedTuple):
    """A recording whose header names a prompt that no test of the session has judged."""

    recording: str  # both relative to the project's folder
    prompt: str
    where: str  # who has it, as people read it
    lacking: bool = False  # whether its test has run, and missed answers

    @property
    def title(self) -> str:
        """The title of the evaluation that it is of."""
        path = PurePosixPath(self.recording)
        return f"{path.parent.name}: {path.stem}"

    @property
    def why(self) -> str:
        """Say what is missing, and what to do."""
        if self.lacking:
            return (
                f"{self.recording}: lacks answers to the prompt {self.prompt}. On the branch, record them "
                f"(pytest --live-changed) and commit cassettes"
            )
        return (
            f"{self.recording}: {self.where} has it recorded for the prompt {self.prompt}, and no test "
            f"that ran judges that one. Run its test again, and record what it lacks "
            f"(pytest --live-changed); if the prompt may go: --promptlab-retired={self.prompt}, or with "
            f"promptlab gate --retired={self.prompt}"
        )


def unjudged(
    root: Path,
    commit: Commit,
    profile: str,
    pairs: Sequence[Pair],
    retired: Sequence[str],
    main: Iterable[Answers],
    asked: Sequence[str] | None,
) -> Iterator[Unjudged]:
    """Yield the recordings of a profile, of the base first, that name a prompt and were not judged.

    Args:
        root: the project's folder.
        commit: the base.
        profile: the name of the session's profile.
        pairs: what was judged.
        retired: folders of prompts, or recordings, that may go.
        main: what the base's own tests evaluate, if they were run.
        asked: the files and folders whose tests ran, relative to the project, so that a recording of another
            test is not missed; empty for all tests, None for those of `main` alone.
    """
    judged = {name for pair in pairs if not pair.anchor for name in pair.judged}
    evaluated = {pair.place.cassette.resolve() for pair in pairs}
    gone = {one.rstrip("/") for one in retired}
    known = set[str]()
    for one in _named(root, commit, profile, main, asked):
        recording, prompt, where, _ = one
        if recording in known or {recording, prompt} & gone:
            continue
        here = where == HERE
        if (root / recording).resolve() in evaluated if here else commit.inside(root / recording) in judged:
            continue
        known.add(recording)
        yield one


def _named(
    root: Path, commit: Commit, profile: str, main: Iterable[Answers], asked: Sequence[str] | None
) -> Iterator[Unjudged]:
    """Yield the recordings that name a prompt: what the base's tests evaluate, and headers there and here."""
    yield from (Unjudged(one.recording, one.prompt, str(commit)) for one in main)
    if asked is None:
        return
    folder = root / "cassettes" / profile_at(commit, root, profile).name
    for name in commit.names(folder):
        path = commit.top / name
        if files.is_recording(path) and (prompt := _prompt_of(commit.extract(path), asked)):
            yield Unjudged(path.relative_to(root.resolve()).as_posix(), prompt, str(commit))
    for path in files.recordings(root / "cassettes" / profile):
        if prompt := _prompt_of(path, asked):
            yield Unjudged(path.relative_to(root).as_posix(), prompt, HERE)


def _prompt_of(recording: Path, asked: Sequence[str]) -> str:
    """Return the prompt that a recording names; "" where it names none, or its test was not asked for."""
    origin = files.read_header(recording).get("origin") or {}
    test = PurePosixPath(str(origin.get("test", "")).partition("::")[0])
    wanted = not asked or any(test.is_relative_to(one) for one in asked)
    return str(origin.get("prompt", "")) if wanted else ""
