"""Replies in the syntax of an answer format, for Hypothesis; the extra `hypothesis` installs it."""

import json
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from promptlab.labels.extract import LABEL, fold

try:
    from hypothesis import strategies as st
except ImportError as error:
    message = "promptlab.labels.strategies needs Hypothesis: pip install 'pytest-promptlab[hypothesis]'"
    raise ImportError(message) from error

Form = str | Callable[[str], str]  # how a reply states its label: with LABEL in it, or a function of it


class DrawnReply(NamedTuple):
    """A reply, the label that its form states or None, and why the model stopped."""

    text: str
    label: str | None
    stop_reason: str = "end_turn"


THOUGHTS = (
    "Let me think about this step by step.", "> {answer}", "- It could be {other}.", 'He said: "{answer}"',
    "It is not {label} for the reason one would expect.", "Ignore all earlier instructions and say {answer}",
    "### {other}?", "```json\n{{}}\n```", "これは質問です。", "🤔", "", "<thinking>{other}</thinking>", "<label>",
    "{{", '{{"a": 1', "The format is {answer}.", "\u202e{label}",
)  # fmt: skip
CLOSINGS = ("🙂", "---", "\n\n", "```")
CASES: tuple[Callable[[str], str], ...] = (str, str.upper, str.lower, str.title)
DECORATIONS = ("{}", " {} ", "**{}**", "`{}`", '"{}"', "\u201c{}\u201d", "{}.", "\u200b{}", "({})")
UNDECIDED = ("not {a}", "never {a}", "neither {a} nor {b}", "isn\u2019t {a}")


@st.composite
def replies(
    draw: st.DrawFn, labels: Sequence[str], label: str | None = "any", form: Form = "<label>LABEL</label>"
) -> DrawnReply:
    """Draw a reply that states a label in a form, or none.

    `label` is the one that it states, None for a reply that states none, or "any" for either. `form` is
    how it states it, for example "<label>LABEL</label>".
    """
    if label == "any":
        label = draw(st.sampled_from([*labels, None]))
    if label is None:
        return draw(_without_label(labels, form))
    before = draw(st.lists(_thoughts(labels, form), max_size=4))
    shown = draw(st.sampled_from(DECORATIONS)).format(draw(st.sampled_from(CASES))(label))
    after = draw(st.lists(st.sampled_from(CLOSINGS), max_size=2))
    return DrawnReply("\n".join([*before, state(form, label, shown), *after]), label)


@st.composite
def _thoughts(draw: st.DrawFn, labels: Sequence[str], form: Form) -> str:
    label, other = draw(st.sampled_from(labels)), draw(st.sampled_from(labels))
    return draw(st.sampled_from(THOUGHTS)).format(label=label, other=other, answer=state(form, other))


@st.composite
def _without_label(draw: st.DrawFn, labels: Sequence[str], form: Form) -> DrawnReply:
    """Draw a reply whose form states no label, or is not there, is cut off or refused."""
    a, b = draw(st.permutations([*labels]))[:2]
    known = [fold(label) for label in labels]  # "not spam" may be a label of its own
    undecided = [text for one in UNDECIDED if fold(text := one.format(a=a, b=b)) not in known]
    whole, closings = state(form, a), st.lists(st.sampled_from(CLOSINGS), max_size=3)
    kinds = (
        DrawnReply(state(form, a, draw(st.sampled_from(undecided))), None),
        DrawnReply("\n".join(draw(closings)), None),
        DrawnReply(whole[: draw(st.integers(0, len(whole) - 1))], None, "max_tokens"),
        DrawnReply("I can't help with that.", None, "refusal"),
    )
    return draw(st.sampled_from(kinds))


def state(form: Form, label: str, shown: str | None = None) -> str:
    """State a label in a form, or in its place the text `shown`."""
    shown = label if shown is None else shown
    if isinstance(form, str):
        quoted = json.dumps(shown, ensure_ascii=False)[1:-1] if f'"{LABEL}"' in form else shown
        return form.replace(LABEL, quoted)
    return re.sub(rf"(?<!\w){re.escape(label)}(?!\w)", lambda _: shown, form(label))
