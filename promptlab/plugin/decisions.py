"""The decisions on the prompts of a session: tests, warnings, GitHub's files and annotations."""

import functools
import itertools
import os
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from promptlab.gate.answers import read_notes
from promptlab.gate.decide import Decision, decide, false_alarm
from promptlab.gate.git import Commit
from promptlab.gate.unjudged import unjudged
from promptlab.models.prompts import files_of
from promptlab.plugin import options
from promptlab.plugin.main import Main
from promptlab.plugin.results import Results
from promptlab.report import html, markdown
from promptlab.report.changes import changed_files
from promptlab.report.terminal import provenance
from promptlab.report.withheld import labels_of, withheld
from promptlab.secrets import masked

STEP_LIMIT = 1_000_000  # bytes of a step's summary; GitHub drops one above 1 MiB
CODE = {
    True: "judged by main's code",
    False: "judged by the author's code; `promptlab gate` judges by main's",
}
NOTHING = "no prompt was judged: no test that ran passes a prompt folder to lab.evaluate"


class PromptWarning(UserWarning):
    """A prompt changed, and its examples cannot tell whether it got better or worse."""


class PromptTest(pytest.Item):
    """The test that a decision is, so that it is counted, listed and kept like any other."""

    failure: str | None = None
    warning: str | None = None

    def runtest(self) -> None:
        """Fail, warn, or pass."""
        if self.failure is not None:
            raise AssertionError(self.failure)
        if self.warning is not None:
            # A filter that turns warnings into errors must not turn "cannot tell" into "worse". pytest
            # restores its filters after each test.
            warnings.simplefilter("always", PromptWarning)
            warnings.warn(PromptWarning(self.warning), stacklevel=1)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], *_: Any, **__: Any) -> str:
        """Show the explanation alone."""
        return str(excinfo.value)

    def reportinfo(self) -> tuple[str, None, str]:
        """Name the file of the test that evaluated the prompt."""
        return self.nodeid.partition("::")[0], None, self.name


def report(session: pytest.Session, results: Results, folder: Path, base: Commit, main: Main) -> list[str]:
    """Judge the prompts, run a test for each, and write what GitHub shows; return the summary's lines."""
    config = session.config
    strict, texts = config.getoption("promptlab_strict"), options.publishes_texts(config)
    decisions = decide(sorted(results.pairs, key=lambda pair: pair.title), strict=strict)
    published = decisions if texts else tuple(withheld(one, labels_of(one)) for one in decisions)
    for one in published:
        if one.outcome != "no test":
            nodeid = f"{one.pair.place.test.partition('::')[0]}::prompt[{one.pair.title}]"
            failure = one.headline if one.outcome == "fails" else None
            warning = one.brief if one.outcome == "warns" else None
            _run(session, nodeid, failure, warning, *_properties(one))
    profile, retired = options.profile(config).name, config.getoption("promptlab_retired")
    file = config.getoption("promptlab_main")
    asked = None if file else options.asked(config)
    known = main.answers.values()
    lacking = {title for title, why in results.failures if why.command}
    missed = [
        one._replace(lacking=one.title in lacking)
        for one in unjudged(config.rootpath, base, profile, results.pairs, retired, known, asked)
    ]
    if main.problem:
        _run(session, "promptlab::main", *((main.problem, None) if strict else (None, main.problem)))
    for lost in missed:
        _run(session, f"promptlab::recorded[{lost.recording}]", lost.why, None)
    notes = [CODE[file is not None], *(read_notes(Path(file)) if file else ())]
    notes += [f"retired on the command line, so that no test has to judge it: {one}" for one in retired]
    migrations = results.migrations
    if not texts:
        migrations = [withheld(one, one.comparison.new.labels) for one in migrations]
    failures = results.failures if texts else [one.withheld for one in results.failures]
    ledger = [*results.ledger, *notes]
    document = functools.partial(
        markdown.document, published, failures, ledger, missed, migrations=migrations, texts=texts
    )
    comment = _write(document, published, folder)
    pages = _pages(decisions, folder, texts=texts)
    lines = [*notes, *(one.why for one in missed)]
    for title, why in results.failures:  # what a command ends is a miss, which the tests have shown
        lines.append(f"{title}: not evaluated: {'not recorded, see above' if why.command else why}")
    if not decisions and not results.failures and not missed:
        lines.append(NOTHING)
        if strict:
            _run(session, "promptlab::a prompt is judged", NOTHING, None)
    verbose = config.get_verbosity() > 0
    for one in decisions:
        head, *rest = map(str, one.said(verbose=verbose, examples=True))
        lines += [f"{one.pair.title}: {head}", *rest, ""]
    lines += [alarm] if verbose and (alarm := false_alarm(decisions)) else []
    lines += [f"report: {page}" for page in pages]
    return [*"\n".join(lines).splitlines(), f"pull request comment: {comment}"]


def _run(
    session: pytest.Session,
    nodeid: str,
    failure: str | None,
    warning: str | None,
    *figures: tuple[str, object],
) -> None:
    """Run a test after the others, through pytest's own protocol."""
    item = PromptTest.from_parent(session, name=nodeid.partition("::")[2], nodeid=nodeid)
    item.failure, item.warning = failure, warning
    item.user_properties.extend(figures)
    session.items.append(item)
    session.testscollected += 1
    session.config.hook.pytest_runtest_protocol(item=item, nextitem=None)


def _write(document: Callable[..., str], decisions: Sequence[Decision], folder: Path) -> Path:
    """Write the comment and GitHub's annotations, and on GitHub the summary of the job.

    Annotations are commands in the log of a job, which texts of models must not give: a step that runs no
    code of the project checks them and prints them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".gitignore").write_text("*\n")
    comment = folder / "comment.md"
    comment.write_text(document(), encoding="utf-8", errors="replace")
    commands = "".join(f"{line}\n" for one in decisions for line in _annotations(one))
    (folder / "annotations.txt").write_text(commands, encoding="utf-8", errors="replace")
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(summary).open("a", encoding="utf-8", errors="replace") as file:
            file.write(document(limit=STEP_LIMIT))
    return comment


def _pages(decisions: Sequence[Decision], folder: Path, *, texts: bool) -> list[Path]:
    """Write a page for each prompt that differs from its base; return their paths."""
    found: dict[Path, Decision] = {}
    for one in decisions:
        stem, number = re.sub(r"[^\w.-]+", "-", one.pair.title) + "-against-base", 1
        while (path := folder / f"{stem}{f'-{number}' if number > 1 else ''}.html") in found:
            number += 1
        if one.comparison and one.verdict != "unchanged":
            found[path] = one
    for path, one in found.items():
        base, new = map(provenance, one.pair.provenance)
        html.write(path, one, f"Base: {base}; new: {new}", texts=texts)
    return [*found]


def _properties(one: Decision) -> Iterator[tuple[str, object]]:
    yield "promptlab.verdict", one.verdict
    if one.comparison is None:
        return
    yield "promptlab.compared", one.comparison.new.examples
    yield "promptlab.fixed", len(one.comparison.fixed)
    yield "promptlab.broken", len(one.comparison.broken)
    if found := one.comparison.difference:
        yield "promptlab.metric", one.comparison.new.metric
        for name in ("point", "low", "high"):
            yield f"promptlab.{name}", round(getattr(found, name), 6)


def _annotations(one: Decision) -> Iterator[str]:
    """Yield a command of GitHub's for each file of the prompt that changed, at its first line that did."""
    if one.verdict in ("unchanged", "new") or one.comparison is None:
        return
    kind = "error" if one.failed else {"better": "notice", "no worse": "notice"}.get(one.called, "warning")
    text = _escaped(one.explanation)
    old, new = (files_of(side.asked_with) for side in (one.comparison.base, one.comparison.new))
    for name in changed_files(one.comparison.base.asked_with, one.comparison.new.asked_with):
        file = _escaped(f"{one.pair.folder}/{name}", ":,")
        title = _escaped(f"{one.pair.title}: {one.verdict}", ":,")
        both = zip(old.get(name, ""), new.get(name, ""), strict=False)
        line = 1 + sum(a == "\n" for a, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], both))
        yield f"::{kind} file={file},line={line},title={title}::{text}"


def _escaped(text: str, more: str = "") -> str:
    text = masked(text)
    for sign in "%\r\n" + more:
        text = text.replace(sign, f"%{ord(sign):02X}")
    return text
