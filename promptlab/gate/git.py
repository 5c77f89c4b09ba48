"""The project at another commit, read from git: nothing is checked out, nothing is run."""

import os
import subprocess
import tempfile
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

from promptlab.errors import PromptlabError

SHORT = 8  # hexadecimal digits of a commit that people read
POINTER = b"version https://git-lfs.github.com/spec/"  # how a file begins whose content is in Git LFS
#: Variables that name a repository, as a hook sets them: the one that counts is that of the folder.
ELSEWHERE = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
)


REFS = ("refs/tags", "refs/heads", "refs/remotes")  # where a name may be: git takes the first


class BaseError(PromptlabError):
    """The commit to judge against cannot be read."""


@dataclass(frozen=True)
class Commit:
    """A commit of the repository that holds a folder."""

    name: str  # as it was asked for, such as "origin/main"
    id: str  # forty hexadecimal digits
    top: Path  # the repository's own folder
    copies: tempfile.TemporaryDirectory[str] = field(repr=False, compare=False)  # what was extracted

    def __str__(self) -> str:
        """Name the commit for people."""
        return self.id[:SHORT] if self.name == self.id else f"{self.name} ({self.id[:SHORT]})"

    def extract(self, path: Path) -> Path:
        """Copy a file, or a folder, out of the commit; return where its copy is, if the commit has it.

        BaseError for a file whose content git does not have.
        """
        inside = self.inside(path)
        for name in self.names(path):
            copy = Path(self.copies.name) / name
            if not copy.exists():
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(self.content(name))
        return Path(self.copies.name) / inside

    def there(self, copy: Path) -> Path:
        """Return the path in the repository of what was extracted."""
        return self.top / copy.relative_to(self.copies.name)

    def names(self, path: Path) -> list[str]:
        """Return the paths, in the repository, of a file or of all files in a folder; none if it has none."""
        inside = self.inside(path)
        return [
            *filter(
                None, self._fields("ls-tree", "-r", "-z", "--name-only", "--full-tree", self.id, "--", inside)
            )
        ]

    def content(self, name: str) -> bytes:
        """Return a file's bytes as a checkout has them: with its ends of lines, and from Git LFS.

        BaseError where git does not have them.
        """
        content = self.git("cat-file", "--filters", f"{self.id}:{name}")
        if content.startswith(POINTER):
            raise BaseError(
                f"{self.name}:{name} is in Git LFS, and git has only a pointer to it here: install git-lfs, "
                f"then git lfs install; git lfs fetch origin {self.id[:SHORT]}"
            )
        return content

    def origin(self, folder: Path) -> Path:
        """Return the folder that was renamed to this one since, as git sees it; else the folder itself."""
        if self.names(folder):
            return folder
        now = PurePosixPath(self.inside(folder))
        found = {
            PurePosixPath(old).parent
            for old, new in self.renames().items()
            if PurePosixPath(new).parent == now
        }
        return self.top / found.pop() if len(found) == 1 else folder

    def renames(self, other: "Commit | None" = None) -> dict[str, str]:
        """Return the files that git sees as renamed in another commit, or the working tree: old path, new."""
        options = ("--find-renames", "--diff-filter=R", "--name-status", "-z")
        fields = self._fields("diff", *options, self.id, *([other.id] if other else []), "--")
        return dict(zip(fields[1::3], fields[2::3], strict=False))

    def diff(self, other: "Commit") -> dict[str, str]:
        """Return the files that differ in another commit, and their modes there."""
        fields = self._fields("diff", "--raw", "--no-renames", "-z", self.id, other.id, "--")
        return {name: about.split()[1] for about, name in zip(fields[::2], fields[1::2], strict=False)}

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
        return sorted(filter(None, self._fields("diff", "--name-only", "--no-renames", "-z", self.id, "--")))

    def _fields(self, *arguments: str) -> list[str]:
        return [os.fsdecode(one) for one in self.git(*arguments).split(b"\0")]

    def git(self, *arguments: str) -> bytes:
        """Run git in the repository; BaseError where it fails."""
        return _git(self.top, *arguments)


def commit(folder: Path, name: str, option: str = "") -> Commit:
    """Find a commit; for the option "base", the one where the working tree of `folder` diverged from it.

    BaseError says what is wrong with what names it.
    """
    top = top_of(folder)
    shallow = _git(top, "rev-parse", "--is-shallow-repository").strip() == b"true"
    asked = f"--promptlab-{option}={name}" if option else name
    known = _git(top, "for-each-ref", "--format=%(refname)", *(f"{kind}/{name}" for kind in REFS))
    if len(refs := known.decode(errors="replace").split()) > 1:
        raise BaseError(f"{asked}: could be any of {', '.join(refs)}: give the whole name")
    try:
        there = _git(top, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        if option == "base":
            there = _git(top, "merge-base", there.decode().strip(), "HEAD")
    except BaseError:
        if shallow:
            raise BaseError(
                f"{asked}: this clone is shallow and lacks the history: "
                f"check out with `fetch-depth: 0` (git fetch --unshallow)"
            ) from None
        raise BaseError(
            f"{asked}: git knows no such commit, or it has no common ancestor with HEAD. "
            f"Expected a branch or a commit such as origin/main; run git fetch to get remote branches"
        ) from None
    copies = tempfile.TemporaryDirectory(prefix="promptlab-base-")
    return Commit(name, there.decode().strip(), top, copies)


def top_of(folder: Path) -> Path:
    """Return the repository's own folder; BaseError where `folder` is in none."""
    return Path(_git(folder, "rev-parse", "--show-toplevel").decode().strip()).resolve()


def uncommitted(folder: Path, names: Collection[str]) -> list[str]:
    """Return changed files that no commit has; of new ones, those with one of some names in their path."""
    found = _git(folder, "status", "--porcelain", "-z", "--no-renames", "--untracked-files=all")
    lines = [line for line in found.decode(errors="replace").split("\0") if line]
    ours = (line for line in lines if not line.startswith("??") or {*Path(line[3:]).parts} & {*names})
    return [line[3:] for line in ours]


def sides(path: Path) -> tuple[bytes, bytes]:
    """Return the two sides of a file that git could not merge, ours and theirs; BaseError where it could."""
    try:
        ours, theirs = (_git(path.parent, "cat-file", "blob", f":{stage}:./{path.name}") for stage in (2, 3))
    except BaseError as error:
        raise BaseError(f"{path}: git has no two sides of it: name the other recording ({error})") from None
    return ours, theirs


def author(folder: Path) -> str:
    """Return the name under which git commits in a folder; "" where it has none."""
    try:
        return _git(folder, "config", "user.name").decode(errors="replace").strip()
    except BaseError:
        return ""


def _git(folder: Path, *arguments: str) -> bytes:
    command = ["git", *arguments]
    own = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
    try:
        done = subprocess.run(command, cwd=folder, env=own, capture_output=True, check=False)  # noqa: S603
    except OSError as error:
        raise BaseError(
            f"git cannot be run ({error.strerror}), and --promptlab-base reads from it"
        ) from error
    if done.returncode:
        why = done.stderr.decode(errors="replace").strip().splitlines()
        raise BaseError(f"git {arguments[0]} failed in {folder}: {why[-1] if why else done.returncode}")
    return done.stdout
