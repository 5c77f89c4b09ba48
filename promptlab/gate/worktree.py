"""Main's code on a branch's data: a worktree of the base, and over it the branch's data.

Data are the files of prompt folders, recordings, and the files that main's tests read examples from: plain
files all. Nothing else of the branch gets there, so nothing of it is imported or run.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from promptlab.gate.git import BaseError, Commit
from promptlab.models.prompts import FILES

ALWAYS = ("-o", "promptlab_block_network=session", "-p", "no:cacheprovider")
ABSENT, PLAIN = "000000", ("100644", "100755")  # git's modes of no file, and of files that are no links


@contextlib.contextmanager
def worktree(commit: Commit) -> Iterator[Path]:
    """Check a commit out into a folder of its own, without running hooks; it is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="promptlab-main-") as folder:
        tree = Path(folder).resolve() / "main"
        hooks = ("-c", f"core.hooksPath={os.devnull}")
        commit.git(*hooks, "worktree", "add", "--quiet", "--detach", str(tree), commit.id)
        try:
            yield tree
        finally:
            commit.git("worktree", "remove", "--force", str(tree))


def run_tests(
    project: Path, arguments: Sequence[str], *, quiet: bool = False, live: bool = False
) -> tuple[int, str]:
    """Run pytest in a process of its own, on what lies in a folder; return its exit status and what it said.

    The folder's own modules are found before installed ones. The network stays closed, and credentials are
    hidden, unless `live`.
    """
    hidden = ("PYTEST_",) if live else ("PYTEST_", "ANTHROPIC_")
    own = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    paths = [str(path) for path in (project, project / "src") if path.is_dir()]
    own["PYTHONPATH"] = os.pathsep.join([*paths, *filter(None, [os.environ.get("PYTHONPATH")])])
    output, errors = (subprocess.PIPE, subprocess.STDOUT) if quiet else (None, None)
    alone = ["-n0"] if importlib.util.find_spec("xdist") else []  # readings are told apart by their order
    command = [sys.executable, "-m", "pytest", *ALWAYS, *arguments, *alone]
    done = subprocess.run(  # noqa: S603 - the user's own tests
        command, cwd=project, env=own, stdout=output, stderr=errors, text=True, check=False
    )
    return done.returncode, done.stdout or ""


def merged(base: Commit, head: Commit) -> Commit:
    """Return what a merge of two commits makes; BaseError where they conflict."""
    try:
        tree = base.git("merge-tree", "--write-tree", base.id, head.id).decode().split("\n")[0]
    except BaseError as error:
        if "usage: git merge-tree" in str(error):
            raise BaseError("promptlab gate needs git 2.38 or newer: `git merge-tree` cannot merge") from None
        raise BaseError(
            f"{head.name} cannot be merged into {base.name}: on the branch, git merge {base.name}; join each "
            f"recording that conflicts (promptlab cassettes merge FILE), record what is lacking (pytest "
            f"--live-changed), git add and commit ({error})"
        ) from None
    return replace(head, id=tree)


class Laid(NamedTuple):
    """What a branch changes, by path in the repository."""

    taken: tuple[str, ...]
    left: tuple[str, ...]  # what is no data
    moved: dict[str, str]  # folders of prompts, and data, that were renamed: old path to new


def lay(
    base: Commit,
    branch: Commit,
    target: Path,
    project: Path,
    data: Collection[str],
    kept: Collection[str],
    *,
    recordings: bool = True,
) -> Laid:
    """Put the data of a branch over a worktree of the base.

    Args:
        base: the commit that is checked out there.
        branch: the branch, merged with the base.
        target: the worktree.
        project: the project's folder in the repository.
        data: paths in the repository of the files that main's tests read examples from, and of the folders
            of prompts that they evaluate.
        kept: paths in the repository that stay where the branch removes them.
        recordings: whether the branch's recordings are taken.

    Raises:
        BaseError: for a link, or a file whose content git does not have.
    """
    cassettes = PurePosixPath(base.inside(project), "cassettes")

    def is_data(name: str) -> bool:
        path = PurePosixPath(name)
        recorded = recordings and cassettes in path.parents and path.suffix == ".jsonl"
        looks = path == cassettes / "ledger.csv"  # main's own count as well, whatever the branch leaves
        part = str(path.parent) in data and path.suffix in (".md", ".jsonl")  # or none, which is an error
        return path.name in FILES or recorded or looks or name in data or part

    changes = base.diff(branch)
    for name, mode in changes.items():
        if not is_data(name):
            continue
        if mode == ABSENT:
            if name not in kept and str(PurePosixPath(name).parent) not in kept:
                _place(target, name).unlink(missing_ok=True)
        elif mode in PLAIN:
            _place(target, name).write_bytes(branch.content(name))
        else:
            raise BaseError(f"{name}: is no plain file in {branch.name}, and data have to be plain files")
    moved = {old: new for old, new in _moved(base, branch).items() if is_data(old) and old in changes}
    for old, new in moved.items():
        _place(target, old).write_bytes(branch.content(new))
    left = tuple(name for name in changes if not is_data(name))
    return Laid(tuple(filter(is_data, changes)), left, dict(map(_whole, moved.items())))


def _moved(base: Commit, branch: Commit) -> dict[str, str]:
    """Return the files that a branch renamed, as git sees it: old path to new; prompt folders as a whole."""
    moved = base.renames(branch)
    for old, new in list(moved.items()):
        was, now = PurePosixPath(old), PurePosixPath(new)
        if was.name in FILES:
            del moved[old]
            gone = not any(PurePosixPath(name).name in FILES for name in branch.names(base.top / was.parent))
            parts = [one for one in branch.names(base.top / now.parent) if PurePosixPath(one).name in FILES]
            moved |= {str(was.parent / PurePosixPath(one).name): one for one in parts if gone}
    return moved


def _whole(moved: tuple[str, str]) -> tuple[str, str]:
    """Return folders, where a part of a prompt was renamed."""
    old, new = map(PurePosixPath, moved)
    return (str(old.parent), str(new.parent)) if old.name in FILES else moved


def _place(target: Path, name: str) -> Path:
    """Return where to write a file; BaseError where a link leads elsewhere."""
    place = target / name
    if place.parent.resolve() != place.parent or place.is_symlink():
        raise BaseError(f"{name}: lies behind a link, and data have to be plain files in plain folders")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BaseError(
            f"{name}: cannot be laid over main, which has a file there: {error.strerror}"
        ) from None
    return place
