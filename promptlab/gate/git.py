"""The project at another commit, read from git: nothing is checked out, nothing is run."""

import subprocess
import tempfile
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from promptlab.errors import PromptlabError

SHORT = 8  # hexadecimal digits of a commit that people read


class BaseError(PromptlabError):
    """The commit to judge against cannot be read."""


@dataclass(frozen=True)
class Commit:
    """A commit of the repository that holds a folder."""

    name: str  # as it was asked for, such as "origin/main"
    id: str  # forty hexadecimal digits
    top: Path  # the repository's own folder
    copies: tempfile.TemporaryDirectory[str] = field(repr=False, compare=False)  # what was extracted

    def extract(self, path: Path) -> Path:
        """Copy a file, or a folder, out of the commit; return where its copy is, if the commit has it."""
        inside = self.inside(path)
        target = Path(self.copies.name) / inside
        if not target.exists():
            for name in self._git("ls-tree", "-r", "-z", "--name-only", self.id, "--", inside).split(b"\0"):
                if name:
                    copy = Path(self.copies.name) / name.decode()
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    copy.write_bytes(self._git("cat-file", "blob", f"{self.id}:{name.decode()}"))
        return target

    def close(self) -> None:
        """Remove what was extracted."""
        self.copies.cleanup()

    def inside(self, path: Path) -> str:
        """Return a path relative to the repository; BaseError where it lies outside."""
        try:
            return path.resolve().relative_to(self.top).as_posix()
        except ValueError:
            raise BaseError(
                f"{path}: lies outside the repository {self.top}, so {self.name} does not have it"
            ) from None

    @cached_property
    def changed(self) -> list[str]:
        """The paths of the files that differ from the working tree, sorted."""
        names = self._git("diff", "--name-only", "--no-renames", "-z", self.id, "--").split(b"\0")
        return sorted(name.decode() for name in names if name)

    def _git(self, *arguments: str) -> bytes:
        return _git(self.top, *arguments)


def commit(folder: Path, name: str, option: str = "base") -> Commit:
    """Find a commit; for a base, the one where the working tree of `folder` diverged from it.

    BaseError says what is wrong with the option that names it.
    """
    top = Path(_git(folder, "rev-parse", "--show-toplevel").decode().strip()).resolve()
    shallow = _git(top, "rev-parse", "--is-shallow-repository").strip() == b"true"
    try:
        there = _git(top, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        if option == "base":
            there = _git(top, "merge-base", there.decode().strip(), "HEAD")
    except BaseError:
        if shallow:
            raise BaseError(
                f"--promptlab-{option}={name}: this clone is shallow and lacks the history: "
                f"check out with `fetch-depth: 0` (git fetch --unshallow)"
            ) from None
        raise BaseError(
            f"--promptlab-{option}={name}: git knows no such commit, or it has no common ancestor with HEAD. "
            f"Expected a branch or a commit such as origin/main; run git fetch to get remote branches"
        ) from None
    copies = tempfile.TemporaryDirectory(prefix="promptlab-base-")
    return Commit(name, there.decode().strip(), top, copies)


def author(folder: Path) -> str:
    """Return the name under which git commits in a folder; "" where it has none."""
    try:
        return _git(folder, "config", "user.name").decode(errors="replace").strip()
    except BaseError:
        return ""


def _git(folder: Path, *arguments: str) -> bytes:
    try:
        command = ["git", *arguments]
        done = subprocess.run(command, cwd=folder, capture_output=True, check=False)  # noqa: S603
    except OSError as error:
        raise BaseError(
            f"git cannot be run ({error.strerror}), and --promptlab-base reads from it"
        ) from error
    if done.returncode:
        why = done.stderr.decode(errors="replace").strip().splitlines()
        raise BaseError(f"git {arguments[0]} failed in {folder}: {why[-1] if why else done.returncode}")
    return done.stdout
