"""The replies of a page: each text once, and what became of every answer."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from promptlab.optimizer.history import Run
from promptlab.records import Prediction, shown
from promptlab.scoring.comparison import Comparison
from promptlab.scoring.evaluation import Evaluation, by_example, majority

#: What readers may filter by: the letter that marks an answer, and its name. The first that occurs is shown.
FILTERS = {"b": "Broken", "f": "Fixed", "w": "Wrong", "n": "Without a label", "d": "Label in doubt"}
OPENS_ON = "bw"
SPLITS = ("test", "validation", "train")


class Group(NamedTuple):
    """Evaluations that readers may choose from, and those of the prompt that answers are compared with."""

    evaluations: tuple[Evaluation, ...]
    base: tuple[Evaluation, ...] = ()
    doubtful: frozenset[str] = frozenset()  # ids of examples whose label is in doubt

    @property
    def titles(self) -> list[str]:
        """The name of each evaluation; of those that would have the same one, with a number."""
        found: list[str] = []
        for one in self.evaluations:
            title = f"{one.subject} on {one.split}, {one.size}"
            number = 1 + sum(other == title or other.startswith(f"{title} (") for other in found)
            found.append(title if number == 1 else f"{title} ({number})")
        return found


def of_run(run: Run) -> Group:
    """Return the distinct evaluations of a run, best and first on test first; none is a part of another."""
    asked: dict[tuple[object, str], list[Evaluation]] = {}
    for one in (run.test, *run.evaluations):
        same = asked.setdefault((one.prompt, one.split), [])
        if not any(_asked(one) <= _asked(other) for other in same):
            same[:] = [*(other for other in same if not _asked(other) <= _asked(one)), one]
    each = [one for some in asked.values() for one in some]
    found = sorted(each, key=lambda one: SPLITS.index(one.split))
    base = tuple(one for one in found if one.prompt == run.first)
    return Group(tuple(found), base, frozenset(one.example.id for one in run.doubts))


def of_comparison(found: Comparison) -> Group:
    """Return the new prompt's answers and the base's."""
    return Group((found.new, found.base), (found.base,))


def _asked(result: Evaluation) -> set[tuple[str, int]]:
    return {(row.example.id, row.repeat) for row in result.rows}


def table(group: Group) -> dict[str, Any]:
    """Return what the page embeds: texts have numbers, so that none is there twice.

    A row has the numbers of its example, reply and answer, the letters that mark it, its score, and which of
    several answers it is.
    """
    examples: dict[str, list[Any]] = {}
    texts, answers = _Numbers(), _Numbers()
    before = {name: majority(rows) for one in group.base for name, rows in by_example(_all(one)).items()}
    places: dict[str, int] = {}
    evaluations: list[list[list[Any]]] = []
    for result in group.evaluations:
        known = {} if any(result is one for one in group.base) else before
        listed = []
        for row, moved in _moved(result, known):
            one = row.example
            examples.setdefault(one.id, [one.id, one.text, shown(one.label), one.note, one.canonical])
            place = places.setdefault(one.id, len(places))
            marks = moved + "".join(_marks(row, group.doubtful))
            numbers = [place, texts[row.reply.text], answers[row.answer]]
            listed.append([*numbers, marks, round(row.score, 6), row.repeat])
        evaluations.append(listed)
    old = {places[name]: [texts[row.reply.text], answers[row.answer]] for name, row in before.items()}
    start = next((mark for mark in OPENS_ON if any(mark in row[3] for row in evaluations[0])), "")
    return {
        "examples": [*examples.values()],
        "texts": [*texts],
        "answers": [*answers],
        "before": old,
        "base": group.base[0].subject if group.base else "",
        "extra": any(len(_all(one)) > len(one.rows) for one in group.evaluations),
        "evaluations": evaluations,
        "marks": ("bf" if group.base else "") + "wn" + ("d" if group.doubtful else ""),
        "start": start,
    }


class _Numbers(dict[str, int]):
    """Gives each new text the next number."""

    def __missing__(self, text: str) -> int:
        return self.setdefault(text, len(self))


def _all(result: Evaluation) -> Sequence[Prediction]:
    """Return the predictions, those for canonical examples of other splits first."""
    known = {row.example.id for row in result.rows}
    return (*(row for row in result.canonical_rows if row.example.id not in known), *result.rows)


def _moved(result: Evaluation, before: dict[str, Prediction]) -> Iterator[tuple[Prediction, str]]:
    """Yield each prediction with "f" if its example was fixed, "b" if it was broken; canonical ones first."""
    each = by_example(_all(result)).values()
    for rows in sorted(each, key=lambda some: not some[0].example.canonical):
        old, now = before.get(rows[0].example.id), majority(rows).score
        moved = "" if old is None or old.score == now else "f" if now > old.score else "b"
        yield from ((row, moved) for row in rows)


def _marks(row: Prediction, doubtful: frozenset[str]) -> Iterator[str]:
    if not row.correct:
        yield "w"
    if row.missing:
        yield "n"
    if row.example.id in doubtful:
        yield "d"
