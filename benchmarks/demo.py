"""Two acts, replayed from recordings: a prompt is improved, and a pull request that makes one worse is stopped.

Every line is computed while this runs; no call is made. `nox -s demo`, or `python -m benchmarks.demo`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from promptlab.cassettes import format as files
from promptlab.gate import git
from promptlab.gate.decide import Decision, decide
from promptlab.models import profiles
from promptlab.optimizer.history import Run
from promptlab.plugin.console import shielded
from promptlab.plugin.lab import Lab, Settings
from promptlab.plugin.results import Results
from promptlab.records import Source
from promptlab.report import terminal
from promptlab.scoring.comparison import compare

from .duplicates.task import HERE, task
from .short import CLASSIFIER

ROOT = Path(__file__).parents[1]
PAGES = ROOT / ".promptlab"
RECORDED = ROOT / "cassettes/local/duplicates"
OLD, NEW = "eight", "written"  # the prompt on main, and the one of the pull request
CASSETTE = f"cassettes/local/{task.name}/evaluate-test.jsonl"


def lab(root: Path, base: git.Commit | None = None) -> tuple[Lab, Results]:
    """Return what replays the recordings of a folder, and where it puts its results."""
    profile, results = profiles.read(ROOT / "pyproject.toml", live=False, name="local"), Results()
    return Lab(Settings(root, profile, "local", "replay", PAGES, base), results), results


def optimization() -> Run:
    """Replay the optimization of `first/` with seed 0."""
    return lab(ROOT)[0].optimize(
        task, prompt=HERE / "first", classifier=CLASSIFIER, seed=0, name="optimize-0"
    )


def pull_request(folder: Path) -> Decision:
    """Make a repository whose main has one prompt and a branch another, and judge the branch against main."""
    _git(folder, "init", "--quiet", "--initial-branch=main")
    for file in (ROOT / "pyproject.toml", HERE / "data.csv"):
        shutil.copy(file, folder)
    data = Source(str(folder / "data.csv"), 1)
    about = replace(task, examples=tuple(replace(one, source=data) for one in task.examples))
    for branch, prompt in (("main", OLD), ("proposed", NEW)):
        if branch != "main":
            _git(folder, "checkout", "--quiet", "-b", branch)
        shutil.rmtree(folder / "prompt", ignore_errors=True)
        shutil.copytree(HERE / prompt, folder / "prompt")
        recording = files.read(RECORDED / f"{prompt}-test.jsonl")
        recording.header["origin"] = None  # it names this project's files
        files.write(folder / CASSETTE, recording)
        _git(folder, "add", ".")
        _git(folder, "commit", "--quiet", "-m", branch)
    base = git.commit(folder, "main", "base")
    try:
        session, results = lab(folder, base)
        session.evaluate(about, folder / "prompt")
        (decision,) = decide(results.pairs, strict=False)
    finally:
        base.close()
    return decision


def _git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=demo", "-c", "user.email=demo@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True)


def lines(run: Run, decision: Decision) -> Iterator[str]:
    """Yield what is shown."""
    header = files.read_header(RECORDED / "optimize-0.jsonl")
    train, validation, test = (len(task.split(name)) for name in ("train", "validation", "test"))
    yield "promptlab tests prompts as pytest tests code: it improves a prompt on labelled examples, and stops"
    yield "a pull request that makes one worse. Why the figures can be trusted: test examples that the search"
    yield "never saw, and recorded answers that anyone can replay, as this does: pytest benchmarks/duplicates."
    yield f"{terminal.provenance(header).capitalize()}."
    yield ""
    yield "ACT 1. A prompt is improved. Task: would one answer serve both of two questions in a help forum?"
    yield f"{train} examples to learn from, {validation} to choose by, {test} to test on; {run.spent[0].model} answers."
    yield from terminal.won(run)
    found = run.comparison.difference
    if found:
        yield f"  {found.point:+.3f}, plausibly {found.low:+.3f} to {found.high:+.3f} (5% risk beyond each end)"
    yield f"  it took {terminal.cost(run.spent)}"
    yield f"  page: {(PAGES / f'{task.name}-optimize-0.html').relative_to(ROOT)}"
    yield ""
    yield f"ACT 2. A pull request is judged. The same task and test, two other prompts: main has `{OLD}`, which shows"
    yield f"eight examples chosen by hand; the pull request replaces them by rules, `{NEW}`. In a git repository made"
    yield "for this, with what both were recorded to answer:"
    yield from map(str, decision.said(verbose=False, examples=True))
    if decision.failed:
        yield "The check fails, so this pull request is stopped."
    if decision.pair.base:
        by_hand, searched = decision.pair.base.primary, run.test.primary
        apart = compare(decision.pair.base, run.test).verdict
        yield f"(By hand {by_hand:.3f}, by the search of act 1 {searched:.3f}: the difference is {apart}.)"


def main() -> None:
    """Show both acts."""
    with tempfile.TemporaryDirectory(prefix="promptlab-demo-") as folder:
        decision = pull_request(Path(folder))
    for line in shielded(lines(optimization(), decision)):
        sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main()
