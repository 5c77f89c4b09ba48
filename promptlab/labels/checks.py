"""Whether an extractor can be trusted, in the manner of scikit-learn's check_estimator."""

from __future__ import annotations

import functools
import time
import timeit
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING

from promptlab.errors import ExtractorError
from promptlab.labels.extract import LABEL, Extractor, read_answer

if TYPE_CHECKING:
    from promptlab.labels.strategies import DrawnReply, Form

EXAMPLES = 300  # replies tried for each property
LARGEST = 1_000_000  # characters of the longest reply that is timed
STEEPEST = 24.0  # times as long for eight times the length; linear is 8, quadratic 64

#: What models write behind an answer, or in its place.
EXPLANATIONS = (
    "I hope this helps!", "A text that is {other} would say more.", "It is not {other}.",
    "I also considered {other}, but rejected it.", "This one is borderline: it could be {other}.",
)  # fmt: skip


def check_extractor(
    extract: Extractor, labels: Sequence[str], *, answer_format: str | None = None, examples: int = EXAMPLES
) -> None:
    """Try an extractor on replies as models give them.

    It must never raise, give the same result for the same reply, find the label in every clean form and
    none where none is stated, ignore what is quoted before the answer and what explains it afterwards, and
    take time linear in the reply's length. In free text, where nothing separates an answer from its
    explanation, an extractor may find no label; if it can find the wrong one, there is a warning.

    Args:
        extract: reply -> label or None.
        labels: the task's.
        answer_format: how a reply states its label, with LABEL in its place; None takes the extractor's.
        examples: replies tried for each property.

    Raises:
        AssertionError: with the smallest reply found that breaks a property, ready to paste into a test.
    """
    own = getattr(extract, "answer_format", None) or getattr(extract, "state", None)
    if not (form := answer_format or own) or (isinstance(form, str) and LABEL not in form):
        raise TypeError(
            f"check_extractor({extract!r}): the function does not define its answer format: "
            f"give answer_format='...{LABEL}...', for example '<label>{LABEL}</label>'"
        )
    checked = _Checked(extract, tuple(labels), form)
    for one in checked.labels:
        checked.expect("it reads the plain answer", checked.state(one), one)
    _check_properties(checked, examples)
    if misread := _check_explanations(checked):
        text = f"{extract!r} reads running text and can read the wrong label, as in {misread!r}"
        warnings.warn(f"{text}: ask for tags where you can", stacklevel=2)
    _check_time(checked)


@dataclass(frozen=True)
class _Checked:
    extract: Extractor
    labels: tuple[str, ...]
    form: Form

    def state(self, label: str) -> str:
        from promptlab.labels.strategies import state

        return state(self.form, label)

    def expect(self, what: str, reply: str, label: str | None) -> None:
        if (found := self.label_of(reply)) != label:
            raise _broken(what, reply, repr(label), repr(found))

    def label_of(self, reply: str) -> str | None:
        """Read a reply twice; AssertionError where that raises, or differs."""
        try:
            first, again = (read_answer(self.extract, self.labels, reply)[0] for _ in range(2))
        except ExtractorError as error:
            raise _broken("it never raises", reply, "a label or None", str(error)) from error
        if first != again:
            raise _broken("it gives the same for the same reply", reply, repr(first), repr(again))
        label: str | None = first
        return label


def _check_properties(checked: _Checked, examples: int) -> None:
    """Try replies that Hypothesis draws, and makes small where a property breaks."""
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import strategies as st

    from promptlab.labels.strategies import DrawnReply, replies

    known = st.sampled_from(checked.labels)
    quoted = st.lists(known.map(checked.state), max_size=12).map("\n".join) | st.text()
    behind = st.builds(lambda text, one: DrawnReply(f"{text}\n{checked.state(one)}", one), quoted, known)
    drawn = replies(checked.labels, "any", checked.form)
    properties = {
        "what is quoted before the answer changes nothing": behind,
        "it reads what the form states": drawn.filter(lambda drawn: drawn.stop_reason == "end_turn"),
    }
    tried = settings(
        max_examples=examples, derandomize=True, database=None, deadline=None, print_blob=False,
        phases=(Phase.generate, Phase.shrink), suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )  # fmt: skip

    def holds(what: str) -> Callable[[DrawnReply], None]:
        return lambda drawn: checked.expect(what, drawn.text, drawn.label)

    @tried
    @given(st.text(st.characters(exclude_categories=[])))
    def never_raises(reply: str) -> None:
        checked.label_of(reply)

    never_raises()
    for what, cases in properties.items():
        tried(given(cases)(holds(what)))()


def _check_explanations(checked: _Checked) -> str | None:
    """Explain an answer by the other label; return a reply that is misread, if its form is running text."""
    for label, other in permutations(checked.labels, 2):
        for text in EXPLANATIONS:
            said = text.format(other=other)
            for reply, stated in ((f"{checked.state(label)}\n{said}", label), (said, None)):
                if checked.state(label) != label:  # marks, such as tags, set an answer apart
                    checked.expect("an explanation is no answer", reply, stated)
                elif checked.label_of(reply) not in (stated, None):
                    return reply
    return None


def _check_time(checked: _Checked) -> None:
    """Compare a reply with one of eight times its length, made of what may trip a search, up to 1 MB."""
    answer = checked.state(checked.labels[0])
    half = len(answer) // 2
    for piece in (answer, answer[:half] or "a", answer[half:], *'<{" \n=_', "a\u0301\u0323"):
        for size in (LARGEST // 512, LARGEST // 64, LARGEST // 8):  # what is too slow shows at small sizes
            short, long = (piece * (n // len(piece)) for n in (size, 8 * size))
            if all(_too_slow(checked, short, long, best_of) for best_of in (1, 5)):
                raise AssertionError(
                    f"broken: its time grows faster than the reply: eight times the length takes more than "
                    f"{STEEPEST:g} times as long\n\n    reply = {piece!r} * {len(long) // len(piece)}"
                )


def _too_slow(checked: _Checked, short: str, long: str, best_of: int) -> bool:
    def seconds(reply: str) -> float:
        read = functools.partial(read_answer, checked.extract, checked.labels, reply)
        return min(timeit.repeat(read, number=1, repeat=best_of, timer=time.process_time))

    return seconds(long) > max(0.01, STEEPEST * seconds(short))  # the clock cannot tell below 10 ms


def _broken(what: str, reply: str, expected: str, found: str) -> AssertionError:
    shown = f"    reply = {reply!r}\n    # expected {expected}, found {found}"
    return AssertionError(f"broken: {what}\n\n{shown}")
