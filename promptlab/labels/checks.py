"""Whether an extractor can be trusted, in the manner of scikit-learn's check_estimator."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from promptlab.errors import ExtractorError
from promptlab.labels.extract import LABEL, Extractor
from promptlab.labels.reading import read

if TYPE_CHECKING:
    from promptlab.labels.strategies import Style

EXAMPLES = 300  # replies tried for each property
LARGEST = 1_000_000  # characters of the longest reply that is timed
STEEPEST = 24.0  # times as long for eight times the length; linear is 8, quadratic 64


def check_extractor(
    extract: Extractor, labels: Sequence[str], *, answer_format: str | None = None, examples: int = EXAMPLES
) -> None:
    """Try an extractor on replies as models give them; as a test, this is one line.

    It must never raise, give a label or nothing, read the right label in every clean form, none in
    contradictory and negated ones, stay unmoved by what is quoted before the answer, not fall back on an
    answer that a later one, left open, takes back, always give the same for the same reply, and take
    time in proportion to the reply's length.

    Args:
        extract: reply -> label or None.
        labels: the task's.
        answer_format: how a reply states its label, with LABEL in its place; None takes the extractor's.
        examples: replies tried for each property.

    Raises:
        AssertionError: with the smallest reply found that breaks it, to be pasted into a test.
    """
    checked = _Checked(extract, tuple(labels), _style(extract, answer_format))
    for one in checked.labels:
        checked.expect("it reads the plain answer", checked.state(one), one)
    for check in _properties(checked, examples):
        check()
    _check_time(checked)


@dataclass(frozen=True)
class _Checked:
    extract: Extractor
    labels: tuple[str, ...]
    style: Style

    def state(self, label: str) -> str:
        """Write down a plain answer."""
        from promptlab.labels.strategies import stated

        return stated(self.style, label)

    def expect(self, what: str, reply: str, label: str | None) -> None:
        """Read a reply; AssertionError where another label is found."""
        if (found := self.label_of(reply)) != label:
            raise _broken(what, reply, repr(label), repr(found))

    def label_of(self, reply: str) -> str | None:
        """Read a reply twice; AssertionError where that raises, or differs."""
        try:
            first, again = (read(self.extract, self.labels, reply)[0] for _ in range(2))
        except ExtractorError as error:
            raise _broken("it never raises", reply, "a label or None", str(error)) from error
        if first != again:
            raise _broken("it gives the same for the same reply", reply, repr(first), repr(again))
        return first


def _properties(checked: _Checked, examples: int) -> list[Callable[[], None]]:
    """Return the properties, to be called; Hypothesis draws the replies and makes them small."""
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import strategies as st

    from promptlab.labels.strategies import Told, replies

    labels, style, state = checked.labels, checked.style, checked.state
    after = state(labels[0]) != labels[0]  # an answer without marks of its own has to be the end

    def never_raises(reply: str) -> None:
        checked.label_of(reply)

    def reads_clean_forms(told: Told) -> None:
        checked.expect("it reads the label in every clean form", told.text, told.label)

    def reads_none(told: Told) -> None:
        checked.expect("it reads no label where the reply states none", told.text, None)

    def ignores_quotes(quoted: str, label: str) -> None:
        checked.expect("what is quoted before the answer changes nothing", f"{quoted}\n{state(label)}", label)

    def falls_back_on_nothing(earlier: str, later: str) -> None:
        reply = f"{state(earlier)}\nNo, wait:\n{_open(state(later), later)}"
        if checked.label_of(reply) not in (None, later):
            checked.expect("an answer that is left open undoes the one before", reply, None)

    known = st.sampled_from(labels)
    properties: list[tuple[Callable[..., None], Any]] = [
        (never_raises, given(st.text(st.characters(exclude_categories=[])))),
        (ignores_quotes, given(st.lists(known.map(state), max_size=12).map("\n".join) | st.text(), known)),
        (falls_back_on_nothing, given(known, known)),
        (reads_none, given(replies(labels, None, style).filter(lambda told: told.stop_reason == "end_turn"))),
        (reads_clean_forms, given(known.flatmap(lambda one: replies(labels, one, style, after=after)))),
    ]
    own = settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        print_blob=False,
        report_multiple_bugs=False,
    )
    return [own(drawn(check)) for check, drawn in properties]


def _open(answer: str, label: str) -> str:
    """Cut off what stands behind the label, where that has a sign of its own, as "</label>" has."""
    start, found, end = answer.rpartition(label)
    return start + found if any(char.isalnum() for char in end) else answer


def _style(extract: Extractor, answer_format: str | None) -> Style:
    found: Style | None = (
        answer_format or getattr(extract, "answer_format", None) or getattr(extract, "state", None)
    )
    if found is None:
        raise TypeError(
            f"check_extractor({extract!r}): the function does not say how a reply states its label: "
            f"give answer_format='...{LABEL}...', for example '<label>{LABEL}</label>'"
        )
    return found


def _check_time(checked: _Checked) -> None:
    """Compare a reply with one of eight times its length, made of what may trip a search, up to 1 MB."""
    answer = checked.state(checked.labels[0])
    half = len(answer) // 2
    for piece in (answer, answer[:half] or "a", answer[half:], *'<{" \n=_', "a\u0301\u0323"):
        for size in (LARGEST // 512, LARGEST // 64, LARGEST // 8):  # what is too slow shows at small sizes
            texts = tuple(piece * (n // len(piece)) for n in (size, 8 * size))
            ratio = _steepness(checked.extract, texts, best_of=1)
            if ratio > STEEPEST and (ratio := _steepness(checked.extract, texts, best_of=5)) > STEEPEST:
                raise AssertionError(
                    f"broken: its time grows in proportion to the reply: eight times as much takes "
                    f"{ratio:.0f} times as long\n\n    reply = {piece!r} * {8 * size // len(piece)}"
                )


def _steepness(extract: Extractor, texts: tuple[str, ...], best_of: int) -> float:
    """Compare the CPU time of a reply with that of a longer one; 0.0 where both are too short to tell."""
    times = [min(_seconds(extract, text) for _ in range(best_of)) for text in texts]
    return times[1] / max(times[0], 1e-6) if times[1] > 0.01 else 0.0


def _seconds(extract: Extractor, reply: str) -> float:
    started = time.process_time()
    extract(reply)
    return time.process_time() - started


def _broken(property_: str, reply: str, expected: str, found: str) -> AssertionError:
    return AssertionError(
        f"broken: {property_}\n\n    reply = {reply!r}\n    # expected {expected}, found {found}"
    )
