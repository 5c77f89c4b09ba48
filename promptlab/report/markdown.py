"""What GitHub shows of a pull request: Markdown for the job's summary and for one comment.

Texts of models, prompts and data are hostile input: they become entities, so that none of them opens
a tag, leaves its cell, makes a link or calls for a person.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from types import MappingProxyType

from promptlab.errors import shorten
from promptlab.gate.decide import Ruling
from promptlab.records import Prompt
from promptlab.report.literals import literal, unlinked, with_command
from promptlab.report.terminal import provenance
from promptlab.report.words import diff
from promptlab.scoring.comparison import Flip
from promptlab.scoring.evaluation import Evaluation
from promptlab.scoring.paired import Difference
from promptlab.secrets import masked

MARKER = "<!-- promptlab: prompts against their base -->"  # by it the comment is found and updated

LIMIT = 60_000  # bytes: a comment holds 65,536 characters; a job's summary 1 MiB
SHORTEST = 500  # bytes for each prompt, below which the list of verdicts is all there is
WHY = 1_000  # characters of why a prompt could not be evaluated
CUT = 300  # characters of a text or a reply that are shown
PART = 6_000  # bytes of a prompt's difference that are shown
MOST_LABELS = 20  # of which the F1 is shown
SIGNS = {
    "worse": "❌",
    "incomplete": "❌",
    "inconclusive": "⚠️",
    "better": "✅",
    "unchanged": "➖",
    "new": "➖",
}


def document(
    rulings: Sequence[Ruling],
    failed: Mapping[str, str] = MappingProxyType({}),
    ledger: Sequence[str] = (),
    limit: int = LIMIT,
) -> str:
    """Return the whole text, `limit` bytes of UTF-8 at most: verdicts first, what takes room last.

    Args:
        rulings: the prompts that were judged.
        failed: what could not be evaluated, by title: why.
        ledger: lines about how often test splits were looked at.
        limit: bytes.
    """
    titles = [
        f"❌ {literal(title)}: **not evaluated**: {with_command(why[:WHY])}" for title, why in failed.items()
    ]
    titles += [f"{_sign(one)} {literal(one.pair.title)}: **{one.verdict}**" for one in rulings]
    head = "\n".join([MARKER, f"## promptlab: {_headline(rulings, failed)}", "", *_listed(titles, limit)])
    foot = "\n".join(["", *(f"- {literal(line)}" for line in ledger)])
    each = (limit - _size(head) - _size(foot)) // max(1, len(rulings))
    sections = [_section(one, each) for one in rulings] if each > SHORTEST else []
    return masked("\n".join([head, *sections, foot if sections or not rulings else ""]) + "\n")


def _listed(titles: Sequence[str], limit: int) -> Iterator[str]:
    """Yield the entries of a list, in half the room at most."""
    room = limit // 2
    for number, title in enumerate(titles):
        room -= _size(title) + 3
        if room < 0:
            yield f"- and {len(titles) - number} more; the terminal's output has all"
            return
        yield f"- {title}"


def _headline(rulings: Sequence[Ruling], broken: Mapping[str, str]) -> str:
    failed = sum(one.failed for one in rulings) + len(broken)
    if failed:
        return f"{failed} of {len(rulings) + len(broken)} evaluations fail"
    if not rulings:
        return "no prompt was judged"
    counted = {name: sum(one.verdict == name for one in rulings) for name in SIGNS}
    return ", ".join(f"{count} {name}" for name, count in counted.items() if count)


def _sign(ruling: Ruling) -> str:
    if ruling.verdict == "unchanged" and ruling.pair.notes:
        return "⚠️"  # what was changed with it may matter more
    return "❌" if ruling.failed else SIGNS[ruling.verdict]


def _section(one: Ruling, room: int) -> str:
    """Return what is said of one ruling in so many bytes: figures, then the prompt, then as many flips as fit."""
    blocks = [
        "",
        f"### {_sign(one)} {literal(one.pair.title)}: {one.verdict}",
        "",
        *_told(one),
        *_figures(one),
    ]
    text = "\n".join(blocks)
    if _size(text) > room:
        return ""  # the list at the top has its verdict
    for block in (_words(one), _flips(one, room - _size(text) - PART - 500), _from(one)):
        if _size(text) + _size(block) < room:
            text += block
    return text


def _figures(one: Ruling) -> Iterator[str]:
    """Yield the table: a row a figure, base beside new, and the change of the one that is judged."""
    found = one.comparison
    if found is None or not (found.difference or found.flips):
        sides, change, judged = [one.pair.whole], "", ""
        yield f"| | prompt {one.pair.whole.prompt.id} (95%) |\n|---|---:|"
    else:
        sides = [found.base, found.new]
        change = _change(found.difference) if found.difference else ""
        beyond = f" ({100 * (1 - found.confidence):.2g}% beyond each end)" if change else ""
        judged = found.new.primary_name if found.difference and found.difference.bootstrap else "accuracy"
        yield f"| | base {found.base.prompt.id} (95%) | new {found.new.prompt.id} (95%) | change{beyond} |\n|---|---:|---:|---:|"
    for name, *cells in _rows(sides):
        last = [change if name == judged else ""] if len(sides) > 1 else []
        yield f"| {' | '.join([literal(name), *cells, *last])} |"
    yield f"\nAsked of the new prompt: {_asked(one.pair.whole)}\n"


def _change(found: Difference) -> str:
    return f"**{found.point:+.3f}** ({found.low:+.3f} to {found.high:+.3f})"


def _asked(result: Evaluation) -> str:
    rows = {row.example.id: row.reply for row in (*result.rows, *result.clear_cut)}.values()
    read, written = sum(one.input_tokens for one in rows), sum(one.output_tokens for one in rows)
    return f"{len(rows):,} calls, {read:,} tokens read, {written:,} written, {result.tokens_per_call:,.0f} per call"


def _rows(sides: Sequence[Evaluation]) -> Iterator[tuple[str, ...]]:
    """Yield a figure's name and its value for each evaluation, row by row."""
    first = sides[0]
    yield first.primary_name, *(one.primary_interval.around(one.primary) for one in sides)
    for name, shown in (("macro_f1", "macro F1"), ("accuracy", "accuracy")):
        if name != first.metric:
            yield shown, *(getattr(one.intervals, name).around(getattr(one, name)) for one in sides)
    yield "without a label", *(one.intervals.without_label.around(one.without_label) for one in sides)
    for reason in first.missing:
        if any(one.missing[reason] for one in sides):
            yield f"of these {reason}", *(f"{one.missing[reason]:.3f}" for one in sides)
    if all(one.clear_cut for one in sides):
        yield (
            "canonical right",
            *(f"{sum(row.correct for row in one.clear_cut)} of {len(one.clear_cut)}" for one in sides),
        )
    for number, label in enumerate(first.labels[:MOST_LABELS]):
        yield f"F1 of {label}", *(_f1(one, number) for one in sides)


def _f1(result: Evaluation, number: int) -> str:
    return result.intervals.labels[number].f1.around(result.scores.labels[number].f1)


def _told(one: Ruling) -> Iterator[str]:
    """Yield the explanation, a line of the terminal's text each."""
    yield from (f"- {with_command(line.strip())}" for line in one.explained.splitlines())
    yield ""


def _words(one: Ruling) -> str:
    """Return the prompt's difference word by word, folded open; nothing where it is the same."""
    if one.comparison is None or one.comparison.base.prompt == one.comparison.new.prompt:
        return ""
    old, new = one.comparison.base.prompt, one.comparison.new.prompt
    parts = [name for name in _parts() if getattr(old, name) != getattr(new, name)]
    shown = "\n".join(
        f"<b>{name}.md</b>\n{_marked(getattr(old, name), getattr(new, name))}" for name in parts
    )
    if _size(shown) > PART:
        return f"\nThe prompt differs in {', '.join(f'{name}.md' for name in parts)}, too much to be shown here.\n"
    return f"\n<details open><summary>The prompt, word by word</summary>\n\n<pre>\n{shown}\n</pre>\n\n</details>\n"


def _marked(old: str, new: str) -> str:
    tags = {"same": "{}", "removed": "<del>{}</del>", "added": "<ins>{}</ins>"}
    return "".join(tags[kind].format(unlinked(html.escape(text))) for kind, text in diff(old, new))


def _flips(one: Ruling, room: int) -> str:
    """Return the answers that changed between right and wrong, folded; as many as there is room for."""
    flips = one.comparison.flips if one.comparison else ()
    if not flips or one.comparison is None:
        return ""
    start = (
        f"\n<details><summary>{len(one.comparison.fixed)} fixed, {len(one.comparison.broken)} broken</summary>\n\n"
        "| | example | text | label | base | new | the new reply |\n|---|---|---|---|---|---|---|\n"
    )
    rows, size = [], _size(start)
    for flip in sorted(flips, key=lambda flip: flip.fixed):  # what is broken comes first
        rows.append(_row(flip))
        size += _size(rows[-1])
        if size > room:
            rows[-1] = f"\nand {len(flips) - len(rows) + 1} more, in the report\n"
            break
    return f"{start}{''.join(rows)}\n</details>\n"


def _row(flip: Flip) -> str:
    label, base, new = (
        literal(shorten(one)[1:-1]) for one in (flip.example.label, flip.base.answer, flip.new.answer)
    )
    text, reply = (literal(_cut(one)) for one in (flip.example.text, flip.new.reply.text))
    sign = "fixed" if flip.fixed else "**broken**"
    return f"| {sign} | {literal(flip.example.id)} | {text} | {label} | {base} | {new} | {reply} |\n"


def _from(one: Ruling) -> str:
    base, new = (literal(provenance(header)) for header in one.pair.provenance)
    return f"\n<sub>base: {base}; new: {new}</sub>\n"


def _parts() -> tuple[str, ...]:
    return tuple(part.name for part in fields(Prompt))


def _cut(text: str) -> str:
    return text if len(text) <= CUT else text[: CUT - 1] + "…"


def _size(text: str) -> int:
    return len(text.encode("utf-8", errors="replace"))
