"""The verdict that protects main: its code on a branch's data; nothing of the branch is imported or run."""

import contextlib
import functools
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path, PurePosixPath

from promptlab.errors import PromptlabError
from promptlab.gate import answers
from promptlab.gate.git import BaseError, Commit, commit, uncommitted
from promptlab.gate.worktree import Laid, lay, merged, run_tests, worktree
from promptlab.models.prompts import FILES

RAN = (0, 1)  # exit statuses of pytest: all tests passed, some failed
SHOWN = 20  # files that are named


def judge(
    project: Path,
    base: str,
    head: str,
    options: Sequence[str],
    tests: Sequence[str],
    retired: Sequence[str],
    write: Callable[[str], object],
    *,
    live: bool = False,
) -> int:
    """Judge the data of a branch by the tests of its base; return the exit status.

    Main's tests run twice: as main has everything, for its labels and its reading of its replies; then with
    the branch's data, judged against main.

    Args:
        project: the project's folder in a repository that has both commits.
        base: main, whose code is trusted.
        head: the branch, whose data are judged as a merge with main would have them.
        options: pytest's, for judging.
        tests: which tests, and other arguments of pytest's.
        retired: folders of prompts, or recordings, that the branch may remove, relative to the project.
        write: shows a text.
        live: ask the model what the branch's data lack, without using the branch's recordings, and keep what
            is recorded in the project's folder.

    Raises:
        PromptlabError: the commits, or the data, cannot be used.
    """
    with contextlib.ExitStack() as stack:
        main, branch = (
            stack.enter_context(contextlib.closing(commit(project, name))) for name in (base, head)
        )
        branch = merged(main, branch)
        tree = stack.enter_context(worktree(main))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="promptlab-gate-")))
        there, file = tree / main.inside(project), folder / "answers.jsonl"
        laid = _laid(main, branch, tree, project, _known(there, file, base, tests), retired, file, live=live)
        write(f"promptlab: {len(laid.taken)} files of {head} are judged by the tests of {base}\n")
        given = [f"--promptlab-base={main.id}", f"--promptlab-main={file}", *options, *tests]
        given += [f"--promptlab-retired={one}" for one in retired]
        if not live:
            return run_tests(there, given)[0]
        try:  # what is paid for is kept, however the tests end
            return run_tests(there, ["--promptlab-live-changed", *given], live=True)[0]
        finally:
            _keep(there / "cassettes", project / "cassettes")


def _laid(
    main: Commit,
    branch: Commit,
    tree: Path,
    project: Path,
    known: Sequence[answers.Answers],
    retired: Sequence[str],
    file: Path,
    *,
    live: bool,
) -> Laid:
    """Lay the branch's data over a worktree of main, and note beside main's answers what is not judged."""
    inside = functools.partial(_inside, main, project)
    data = {inside(name) for one in known for name in (*one.data, one.prompt)}
    gone = [one for one in known if {one.prompt, one.recording} & {path.rstrip("/") for path in retired}]
    kept = {inside(name) for one in gone for name in (one.prompt, one.recording)}
    laid = lay(main, branch, tree, project, data, kept, recordings=not live)
    notes = (*_uncommitted(project), *_unjudged(laid, {inside(one.prompt) for one in known}))
    answers.write_notes(file, notes)
    return laid


def _uncommitted(project: Path) -> Iterator[str]:
    """Say what is in the working tree alone, where somebody may have forgotten to commit it."""
    if names := uncommitted(project, (*FILES, "cassettes")):
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        yield f"not committed, so not judged: {', '.join(names[:SHOWN])}{more}"


def _unjudged(laid: Laid, prompts: Collection[str]) -> Iterator[str]:
    """Say what a branch changes that main's tests do not judge, and what they judge in another place."""
    for old, new in sorted(laid.moved.items()):
        yield f"renamed, and judged in its old place: {old} -> {new}"
    folders = {str(PurePosixPath(name).parent) for name in laid.taken if PurePosixPath(name).name in FILES}
    for what, names in (
        (
            "prompts that no test of main evaluates, changed or new",
            sorted(folders - {*prompts, *laid.moved.values()}),
        ),
        ("not judged, since it is no data that main's tests read", laid.left),
    ):
        if names:
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            yield f"{what}: {', '.join(names[:SHOWN])}{more}"


def _keep(new: Path, cassettes: Path) -> None:
    """Copy recordings, journals of unfinished ones and the ledger, where they differ."""
    for path in sorted(new.rglob("*")):
        there = cassettes / path.relative_to(new)
        if path.is_file() and not (there.exists() and there.read_bytes() == path.read_bytes()):
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, there)


def _inside(main: Commit, project: Path, name: str) -> str:
    """Return the path in the repository of a file of the project; "" where it lies outside."""
    with contextlib.suppress(BaseError):
        return main.inside(project / name)
    return ""


def _known(project: Path, file: Path, base: str, tests: Sequence[str]) -> list[answers.Answers]:
    """Run main's tests as main has everything; PromptlabError where they judge no prompt."""
    options = (f"--promptlab-answers={file}", f"--promptlab-report={file.parent}")
    status, said = run_tests(project, [*options, *tests], quiet=True)
    found = list(answers.read(file).values()) if status in RAN else []
    if not found:
        why = "passed no prompt folder to lab.evaluate" if status in RAN else "could not be run"
        raise PromptlabError(
            f"the tests of {base} {why}, so there is nothing to judge a branch by (exit status {status}):\n"
            f"{said.strip()}"
        )
    return found
