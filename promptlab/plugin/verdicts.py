"""What a pytest session does with the rulings: test reports, warnings, GitHub's files and annotations."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from promptlab.gate.base import Pair
    from promptlab.gate.decide import Ruling

STEP_LIMIT = 1_000_000  # bytes of a step's summary; GitHub drops one above 1 MiB


NOTHING = "no prompt was judged: no test that was run gives lab.evaluate the folder of one"


class PromptWarning(UserWarning):
    """A prompt changed, and its examples cannot tell whether it got better or worse."""


def judge(
    session: pytest.Session,
    pairs: Iterable[Pair],
    failed: Mapping[str, str],
    folder: Path,
    ledger: Sequence[str],
) -> list[str]:
    """Judge the session's prompts, report each as a test of its own, and write what GitHub shows.

    Args:
        session: the one that ends.
        pairs: the prompts to be judged.
        failed: what could not be evaluated, by title: why.
        folder: where the comment is written.
        ledger: lines about how often test splits were looked at.

    Returns:
        Lines for the summary.
    """
    from promptlab.gate.decide import rule
    from promptlab.report import markdown

    rulings = rule(
        sorted(pairs, key=lambda pair: pair.title), strict=session.config.getoption("promptlab_strict")
    )
    for one in rulings:
        if one.failed or one.verdict not in ("unchanged", "new"):
            _report(session, one)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".gitignore").write_text("*\n")
    comment = folder / "comment.md"
    comment.write_text(markdown.document(rulings, failed, ledger), encoding="utf-8", errors="replace")
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(summary).open("a", encoding="utf-8", errors="replace") as file:
            file.write(markdown.document(rulings, failed, ledger, STEP_LIMIT))
    told = [f"{title}: not evaluated: {why}" for title, why in failed.items()]
    if not rulings and not failed:
        told.append(NOTHING)
        if session.config.getoption("promptlab_strict"):
            _pass_on(session, "promptlab::a prompt is judged", NOTHING, [])
    told += [line for one in rulings for line in (f"{one.pair.title}: {one.explained}", "")]
    session.config.stash[ANNOTATIONS] = [line for one in rulings for line in _annotations(one)]
    return [*"\n".join(told).splitlines(), f"for a pull request: {comment}"]


ANNOTATIONS = pytest.StashKey[list[str]]()  # commands for GitHub, printed at the very end


def _report(session: pytest.Session, one: Ruling) -> None:
    """Report a ruling as a test, with its figures."""
    nodeid = f"{one.pair.place.test.partition('::')[0]}::prompt[{one.pair.title}]"
    _pass_on(session, nodeid, one.explained if one.failed else None, list(_properties(one)))
    if one.verdict == "inconclusive" and not one.failed:
        _warn(session, nodeid, one)


def _pass_on(
    session: pytest.Session, nodeid: str, failure: str | None, figures: list[tuple[str, object]]
) -> None:
    """Pass the report of a test on, so that it is counted, listed and kept as any other."""
    file, _, name = nodeid.partition("::")
    session.testscollected += 1
    for when in ("call", "teardown"):
        failed = failure is not None and when == "call"
        report = pytest.TestReport(
            nodeid=nodeid,
            location=(file, None, name),
            keywords={},
            outcome="failed" if failed else "passed",
            longrepr=failure if failed else None,
            when=when,
            user_properties=figures,
        )
        session.config.hook.pytest_runtest_logreport(report=report)


def _warn(session: pytest.Session, nodeid: str, one: Ruling) -> None:
    """Show a warning in pytest's list; a filter that makes errors of warnings has no say here."""
    message = PromptWarning(one.brief)
    record = warnings.WarningMessage(message, PromptWarning, one.pair.folder, 1)
    session.config.hook.pytest_warning_recorded.call_historic(
        kwargs={"warning_message": record, "when": "runtest", "nodeid": nodeid, "location": None}
    )


def _properties(one: Ruling) -> Iterator[tuple[str, object]]:
    yield "promptlab.verdict", one.verdict
    if one.comparison is None:
        return
    yield "promptlab.compared", len(one.comparison.new.rows)
    yield "promptlab.fixed", len(one.comparison.fixed)
    yield "promptlab.broken", len(one.comparison.broken)
    if found := one.comparison.difference:
        yield "promptlab.metric", found.metric
        yield from (
            (f"promptlab.{name}", round(getattr(found, name), 6)) for name in ("point", "low", "high")
        )


def _annotations(one: Ruling) -> Iterator[str]:
    """Yield a command of GitHub's for each file of the prompt that changed, at its first line that did."""
    if one.verdict in ("unchanged", "new") or one.comparison is None:
        return
    kind = "error" if one.failed else {"better": "notice"}.get(one.verdict, "warning")
    text = _escaped(one.explained)
    old, new = one.comparison.base.prompt, one.comparison.new.prompt
    for part in ("system", "prefix", "suffix", "reply_prefix"):
        before, after = getattr(old, part), getattr(new, part)
        if before != after:
            file = _escaped(f"{one.pair.folder}/{part}.md", ":,")
            title = _escaped(f"{one.pair.title}: {one.verdict}", ":,")
            yield f"::{kind} file={file},line={_first_difference(before, after)},title={title}::{text}"


def _first_difference(old: str, new: str) -> int:
    same = next(
        (n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new))
    )
    return 1 + old[:same].count("\n")


def _escaped(text: str, more: str = "") -> str:
    for sign in "%\r\n" + more:
        text = text.replace(sign, f"%{ord(sign):02X}")
    return text
