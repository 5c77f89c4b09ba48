"""What main's own tests make of the recorded replies: their examples, the labels, and the answers.

`pytest --promptlab-answers=FILE` writes it, a line of JSON for each evaluation of a prompt folder, and
`--promptlab-main=FILE` judges by it: a branch that changes examples, labels or the reading of replies is
judged by main's as well.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from promptlab.data.task import Task
from promptlab.errors import RecordingError
from promptlab.records import Example, Label, Metric, Model, Prediction, Prompt, Reply, shown
from promptlab.scoring.evaluation import Evaluation, by_example, score
from promptlab.secrets import masked, screened

GONE = "not judged any more"  # why a prediction has no label: the branch does not ask about that text
NO_REPLY = Reply("", "", (), "", 0, 0)


class Row(NamedTuple):
    """An answer about an example."""

    id: str
    text: str
    label: Label  # what the example is
    group: str | None
    answer: str | None  # what was read, as people see it; None where there is no label
    missing: str | None
    repeat: int
    score: float
    note: str = ""


@dataclass(frozen=True)
class Answers:
    """An evaluation of a prompt folder; paths are relative to the project's folder."""

    title: str
    recording: str
    prompt: str
    data: tuple[str, ...]  # the files that the examples were read from, overlays included
    examples: str  # the hash of the test split
    labels: tuple[str, ...]
    metric: Metric
    positive: str | None
    rows: tuple[Row, ...]
    canonical: tuple[Row, ...]


class Change(NamedTuple):
    """An example, or a reply to it, that main's tests take for something else."""

    id: str
    text: str
    main: str
    here: str


@dataclass(frozen=True)
class ByMain:
    """Two prompts by main's labels; the base's answers as main reads them."""

    base: Evaluation
    new: Evaluation
    relabelled: tuple[Change, ...]
    reread: tuple[Change, ...]  # the base's replies
    gone: tuple[str, ...]  # ids of the examples of main that are not asked about, or with another text
    others: tuple[str, ...]  # ids of the examples that main does not ask about, or puts into another group

    @property
    def differs(self) -> bool:
        """Whether main's tests judge anything else than the branch's."""
        return any((self.relabelled, self.reread, self.gone, self.others))


def answers(
    title: str, recording: str, prompt: str, data: Iterable[str], task: Task, result: Evaluation
) -> Answers:
    """Return what a task read in an evaluation."""
    rows, canonical = (tuple(map(_row, some)) for some in (result.rows, result.canonical_rows))
    return Answers(
        title,
        recording,
        prompt,
        tuple(data),
        task.test_hash,
        task.labels,
        task.metric,
        task.positive,
        rows,
        canonical,
    )


def _row(row: Prediction) -> Row:
    one = row.example
    answer = None if row.missing else shown(row.label)
    return Row(
        one.id, masked(one.text), one.label, one.group, answer, row.missing, row.repeat, row.score, one.note
    )


def write(path: Path, found: Iterable[Answers]) -> None:
    """Write evaluations, in order of their titles."""
    lines = [
        json.dumps(screened(asdict(one)), ensure_ascii=False)
        for one in sorted(found, key=lambda one: one.title)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", errors="surrogatepass")


def write_notes(path: Path, notes: Iterable[str]) -> None:
    """Write beside such a file what else a report has to say, a line each."""
    lines = (" ".join(note.split()) + "\n" for note in notes)
    path.with_suffix(".notes").write_text("".join(lines), encoding="utf-8", errors="replace")


def read_notes(path: Path) -> list[str]:
    """Return what was written beside such a file; none if nothing was."""
    notes = path.with_suffix(".notes")
    return notes.read_text(encoding="utf-8").splitlines() if notes.exists() else []


def read(path: Path) -> dict[str, Answers]:
    """Read evaluations, by their titles; RecordingError where the file cannot be used."""
    try:
        lines = path.read_text(encoding="utf-8", errors="surrogatepass").split("\n")
        found = [_parsed(json.loads(line)) for line in lines if line]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RecordingError(f"{path}: expected what --promptlab-answers writes: {error}") from error
    return {one.title: one for one in found}


def _parsed(given: Mapping[str, Any]) -> Answers:
    rows, canonical = (tuple(Row(*row) for row in given[name]) for name in ("rows", "canonical"))
    lists = {name: tuple(given[name]) for name in ("data", "labels")}
    return Answers(**{**given, **lists, "rows": rows, "canonical": canonical})


def by_main(
    main: Answers, task: Task, base: Prompt, classifier: Model, old: Sequence[Prediction], result: Evaluation
) -> ByMain | None:
    """Judge an evaluation by main's labels, beside the base's answers as main reads them.

    Args:
        main: what main's tests made of the base's replies.
        task: as the branch has it.
        base: the base's prompt.
        classifier: who answered for the base.
        old: the base's answers as the branch reads them.
        result: the new prompt's. An example of main that the branch does not ask about any more counts as
            wrong, since the branch chose to leave it out; with the same prompt it is left out.

    Returns:
        None where nothing that main asked about is left.
    """
    asked, ours, same = _by_id(main.rows), by_example(result.rows), result.prompt == base
    kept = {name for name, rows in asked.items() if name in ours and _text(ours[name]) == _text(rows)}
    before = [row for name, rows in asked.items() if name in kept or not same for row in rows]
    if not before:
        return None
    after = [
        row
        for name, rows in asked.items()
        if name in kept or not same
        for row in _regraded(task, ours[name] if name in kept else (), rows[0].example)
    ]
    marked, again = _by_id(main.canonical), by_example(result.canonical_rows)
    asked_again = {
        name for name, rows in marked.items() if name in again and _text(again[name]) == _text(rows)
    }
    counted = [name for name in marked if name in asked_again or not same]
    canonical = [row for name in counted for row in marked[name]]
    new = [
        one
        for name in counted
        for one in _regraded(task, again[name] if name in asked_again else (), marked[name][0].example)
    ]
    known = {name: rows[0].example.group for name, rows in asked.items() if name in kept}
    return ByMain(
        _evaluation(main, result, base, classifier, before, canonical),
        _evaluation(main, result, result.asked_with, result.classifier, after, new),
        relabelled=(
            *_relabelled(asked, ours, kept, graded=not main.labels),
            *_relabelled(marked, again, asked_again - kept, graded=not main.labels),
        ),
        reread=tuple(_reread(asked, by_example(old), kept)),
        gone=(*(one for one in asked if one not in kept), *(one for one in marked if one not in asked_again)),
        others=tuple(name for name, (row, *_) in ours.items() if known.get(name, "") != row.example.group),
    )


Rows = Mapping[str, tuple[Prediction, ...]]  # by the example's id


def _text(rows: Sequence[Prediction]) -> str:
    return masked(rows[0].example.text)


def _relabelled(asked: Rows, ours: Rows, kept: Collection[str], *, graded: bool) -> Iterator[Change]:
    """Yield the examples that the branch gives another label; of a graded task, another note."""
    for name in (one for one in asked if one in kept):
        was, now = asked[name][0].example, ours[name][0].example
        if was.label != now.label:
            yield Change(name, _text(asked[name]), shown(was.label), shown(now.label))
        elif graded and was.note != now.note:  # a scorer may read it
            yield Change(name, _text(asked[name]), f"note {was.note}", f"note {now.note}")


def _reread(asked: Rows, theirs: Rows, kept: Collection[str]) -> Iterator[Change]:
    """Yield the base's replies that the branch reads otherwise."""
    for name in (one for one in asked if one in kept):
        for was, now in zip(asked[name], theirs.get(name, ()), strict=False):
            if was.answer != now.answer:
                yield Change(name, now.reply.text, was.answer, now.answer)


def _by_id(rows: Sequence[Row]) -> Rows:
    """Return main's answers as predictions, by the example's id; the replies are not part of them."""
    return by_example(
        Prediction(
            Example(row.id, row.text, row.label, row.note, group=row.group),
            NO_REPLY,
            row.answer,
            row.missing,
            row.repeat,
            row.score,
        )
        for row in rows
    )


def _regraded(task: Task, rows: Sequence[Prediction], example: Example) -> list[Prediction]:
    """Return predictions as ones about another example, main's; a wrong one where there are none."""
    if not rows:
        return [Prediction(example, NO_REPLY, None, GONE)]
    grades = (0.0 if row.missing else task.grade(example, row.label) for row in rows)
    return [replace(row, example=example, score=score) for row, score in zip(rows, grades, strict=True)]


def _evaluation(
    main: Answers,
    like: Evaluation,
    prompt: Prompt,
    classifier: Model | None,
    rows: Sequence[Prediction],
    canonical: Sequence[Prediction],
) -> Evaluation:
    return replace(
        like,
        prompt=prompt,
        name=like.name if prompt == like.prompt else "",
        classifier=classifier,
        rows=tuple(rows),
        canonical_rows=tuple(canonical),
        scores=score(rows, main.labels),
        metric=main.metric,
        positive=main.positive,
    )
