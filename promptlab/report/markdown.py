"""Markdown for GitHub: the summary of a job, and one comment on a pull request.

Texts of models, prompts and data are hostile input: they become entities, so that none of them opens
a tag, leaves its cell, makes a link or mentions a person.
"""

import html
import re
from collections.abc import Iterator, Sequence

from promptlab.errors import shorten
from promptlab.gate.decide import Decision, Failure, Line, false_alarm
from promptlab.gate.migration import Migration
from promptlab.gate.unjudged import Unjudged
from promptlab.records import shown
from promptlab.report.changes import changed_files, diff
from promptlab.report.terminal import provenance
from promptlab.report.withheld import shown_files
from promptlab.scoring.comparison import Comparison, Flip
from promptlab.scoring.evaluation import Evaluation
from promptlab.secrets import masked

MARKER = "<!-- promptlab: prompts against their base -->"  # by it the comment is found and updated

TRUST = "a recording is as trustworthy as whoever pushed it: replies can be written by hand"

LIMIT = 60_000  # bytes: a comment holds 65,536 characters; a job's summary 1 MiB
SHORTEST = 500  # bytes for each prompt; with less, only the list of verdicts is shown
WHY = 1_000  # characters of why a prompt could not be evaluated
CUT = 300  # characters of a text or a reply that are shown
PART = 6_000  # bytes of a prompt's difference that are shown
CHANGED = 20  # relabelled examples, or replies read differently, that are shown
MOST_LABELS = 20  # of which the F1 is shown
SIGNS = {
    "broken": "❌",
    "worse": "❌",
    "leaks": "❌",
    "contested": "⚠️",
    "unreadable": "❌",
    "incomplete": "❌",
    "inconclusive": "⚠️",
    "cannot tell": "➖",
    "better": "✅",
    "no worse": "✅",
    "unchanged": "➖",
    "new": "➖",
}


def document(
    decisions: Sequence[Decision],
    failures: Sequence[Failure] = (),
    ledger: Sequence[str] = (),
    missed: Sequence[Unjudged] = (),
    limit: int = LIMIT,
    *,
    migrations: Sequence[Migration] = (),
    texts: bool = True,
) -> str:
    """Return the whole text, `limit` bytes of UTF-8 at most: verdicts first, the longest parts last.

    `failures` are the evaluations that could not be made, `ledger` says how often test splits were looked at,
    and `missed` are the recordings that no test judged. Without `texts`, demonstrations are not shown.
    """
    titles = [
        f"❌ {literal(title)}: **not evaluated**: {_with_command(Line(why.text[:WHY], why.command[:WHY]))}"
        for title, why in failures
    ]
    titles += [f"❌ {literal(one.why)}" for one in missed]
    titles += [f"{_sign(one)} {literal(one.pair.title)}: **{one.called}**" for one in decisions]
    head = "\n".join(
        [MARKER, f"## promptlab: {_headline(decisions, failures, missed)}", "", *_listed(titles, limit)]
    )
    notes = [alarm, *ledger] if (alarm := false_alarm(decisions)) else [*ledger]
    foot = "\n".join(["", *(f"- {literal(line)}" for line in (*notes, TRUST))])
    each = (limit - _size(head) - _size(foot)) // max(1, len(decisions) + len(migrations))
    sections = [_section(one, each, texts) for one in decisions] if each > SHORTEST else []
    sections += [_migration(one, each) for one in migrations] if each > SHORTEST else []
    return "\n".join([head, *sections, foot if sections or not decisions else ""]) + "\n"


#: What Markdown may take for more than text: in a line, at its start, and in addresses.
MEANT = r"[&<>|`*_~\[\]\\#@!$^{}]|^[-+=]|(?<=^\d)[.)]|:(?=//)|(?<=www)\."


#: Controls that make text read otherwise than it is written (Boucher and Anderson, Trojan Source, 2021).
TURNING = "[\u202a-\u202e\u2066-\u2069]"


def literal(text: str) -> str:
    """Write a text on one line, so that Markdown and GitHub take it for nothing but text."""
    shown = unlinked(" ".join(masked(text).split()))
    return re.sub(MEANT, lambda sign: f"&#{ord(sign[0])};", shown)


def unlinked(text: str) -> str:
    """Break what GitHub would turn into a link to a person or a thread; name what turns letters around."""
    text = re.sub(TURNING, lambda sign: f"(U+{ord(sign[0]):04X})", text)
    return re.sub(r"(@|#(?=\d)|(?i:gh-)(?=\d))", "\\1\u200b", text)


def _with_command(line: Line) -> str:
    return literal(line.text) + (f" <code>{literal(line.command)}</code>" if line.command else "")


def _listed(titles: Sequence[str], limit: int) -> Iterator[str]:
    """Yield the entries of a list, in at most half of the limit."""
    room = limit // 2
    for number, title in enumerate(titles):
        room -= _size(title) + 3
        if room < 0:
            yield f"- and {len(titles) - number} more, listed in the terminal output"
            return
        yield f"- {title}"


def _headline(decisions: Sequence[Decision], failures: Sequence[Failure], missed: Sequence[Unjudged]) -> str:
    failed = sum(one.failed for one in decisions) + len(failures)
    if failed or missed:
        prompts = f"{failed} of {len(decisions) + len(failures)} evaluations fail"
        return f"{prompts}, {len(missed)} recorded prompts are not judged" if missed else prompts
    if not decisions:
        return "no prompt was judged"
    counted = {name: sum(one.called == name for one in decisions) for name in SIGNS}
    return ", ".join(f"{count} {name}" for name, count in counted.items() if count)


def _sign(decision: Decision) -> str:
    if decision.verdict == "unchanged" and decision.pair.changes:
        return "⚠️"  # what was changed with it may matter more
    return "❌" if decision.failed else SIGNS[decision.called]


def _section(one: Decision, room: int, texts: bool) -> str:
    """Return the section on one prompt: figures, then the prompt, then as many flips as fit."""
    title = f"### {_sign(one)} {literal(one.pair.title)}: {one.called}"
    lines = (f"- {_with_command(line)}" for line in one.lines)
    text = "\n".join(["", title, "", *lines, "", *_figures(one)])
    if _size(text) > room:
        return ""  # the list at the top has its verdict
    base, new = (literal(provenance(header)) for header in one.pair.provenance)
    answered = f"\n<sub>base: {base}; new: {new}</sub>\n"
    for block in (
        _relabelled(one),
        _words(one, texts),
        _flips(one.comparison, room - _size(text) - PART - 500),
        answered,
    ):
        if _size(text) + _size(block) < room:
            text += block
    return text


def _migration(one: Migration, room: int) -> str:
    """Return the section on a model migration: its lines, the figures of both models, the flips."""
    lines = (
        f"- {literal(line)}" for line in [*one.comparison.lines(verbose=True, examples=False), *one.costs]
    )
    names = (literal(side.classifier.name if side.classifier else "") for side in one.sides)
    table = [f"| | {' | '.join(names)} |\n|---|---:|---:|"]
    table += [f"| {' | '.join([literal(name), *cells])} |" for name, *cells in _rows(one.sides)]
    title = f"### Model migration: {literal(one.title)}: {one.verdict}"
    text = "\n".join(["", title, "", *lines, "", *table, ""])
    return text + _flips(one.comparison, room - _size(text)) if _size(text) < room else ""


def _figures(one: Decision) -> Iterator[str]:
    """Yield the table of figures: base, new, and the change of the judged one."""
    found = one.comparison
    if found is None or not (found.difference or found.flips):
        sides, change, judged = [one.pair.whole], "", ""
        yield f"| | {literal(one.pair.whole.subject)} (95%) |\n|---|---:|"
    else:
        sides = [found.base, found.new]
        change = ""
        if by := found.difference:
            change = f"**{by.point:+.3f}** ({by.low:+.3f} to {by.high:+.3f})"
        beyond = f" ({100 * (1 - found.confidence):.2g}% risk beyond each end)" if change else ""
        judged = found.new.primary_name
        base, new = (f"{literal(side.subject)} (95%)" for side in sides)
        yield f"| | base {base} | new {new} | change{beyond} |\n|---|---:|---:|---:|"
    for name, *cells in _rows(sides):
        last = [change if name == judged else ""] if len(sides) > 1 else []
        yield f"| {' | '.join([literal(name), *cells, *last])} |"
    yield f"\nUsage of the new prompt: {_asked(one.pair.whole)}\n"


def _asked(result: Evaluation) -> str:
    rows = {(r.example.id, r.repeat): r.reply for r in (*result.rows, *result.canonical_rows)}.values()
    read, written = sum(one.input_tokens for one in rows), sum(one.output_tokens for one in rows)
    tokens = (
        f"{read:,} input tokens, {written:,} output tokens, {result.tokens_per_call:,.0f} tokens per call"
    )
    return f"{len(rows):,} calls, {tokens}"


def _rows(sides: Sequence[Evaluation]) -> Iterator[tuple[str, ...]]:
    """Yield a figure's name and its value for each evaluation, row by row."""
    first = sides[0]
    yield first.primary_name, *(one.primary_interval.around(one.primary) for one in sides)
    for row in zip(*(one.figures for one in sides), strict=True):
        if row[0].key != first.metric:
            yield row[0].name, *(one.interval.around(one.value) for one in row)
    for reason in {name: None for one in sides for name in one.missing}:
        if any(one.missing.get(reason) for one in sides):
            yield f"of these: {reason}", *(f"{one.missing.get(reason, 0):.3f}" for one in sides)
    if all(one.canonical_rows for one in sides):
        right = [[row.correct for row in one.canonical.rows] for one in sides]
        yield "canonical right", *(f"{sum(each)} of {len(each)}" for each in right)
    for number, label in enumerate(first.labels[:MOST_LABELS]):
        f1s = ((one.intervals.labels[number].f1, one.scores.labels[number].f1) for one in sides)
        yield f"F1 of {label}", *(interval.around(f1) for interval, f1 in f1s)


def _words(one: Decision, texts: bool) -> str:
    """Return the prompt's difference word by word, folded open; nothing where it is the same."""
    if one.comparison is None or one.comparison.base.prompt == one.comparison.new.prompt:
        return ""
    sides = [side.asked_with for side in (one.comparison.base, one.comparison.new)]
    changed = changed_files(*sides)
    old, new = (shown_files(side, texts=texts) for side in sides)
    text = "\n".join(f"<b>{name}</b>\n{_marked(old.get(name, ''), new.get(name, ''))}" for name in changed)
    if _size(text) > PART:
        return f"\nThe prompt differs in {', '.join(changed)}; the diff is too long to show here.\n"
    title = "<summary>Prompt diff, word by word</summary>"
    return f"\n<details open>{title}\n\n<pre>\n{text}\n</pre>\n\n</details>\n"


def _marked(old: str, new: str) -> str:
    tags = {"same": "{}", "removed": "<del>{}</del>", "added": "<ins>{}</ins>"}
    return "".join(
        tags[kind].format(unlinked(html.escape(text))) for kind, text in diff(masked(old), masked(new))
    )


def _relabelled(one: Decision) -> str:
    """Return tables of the examples that the branch relabels and the replies that it reads differently."""
    main, text = one.pair.main, ""
    for title, some in (("Relabelled", main.relabelled), ("Read differently", main.reread)) if main else ():
        rows = [
            "| {} | {} | {} | {} |".format(*map(literal, (at.id, _cut(at.text), at.main, at.here)))
            for at in some[:CHANGED]
        ]
        rows += [f"\nand {len(some) - CHANGED} more"] if len(some) > CHANGED else []
        head = f"\n{title}:\n\n| example | text | main's | this branch's |\n|---|---|---|---|"
        text += "\n".join([head, *rows, ""]) if some else ""
    return text


def _cut(text: str) -> str:
    return text if len(text) <= CUT else f"{text[: CUT - 1]}…"


def _flips(found: Comparison | None, room: int) -> str:
    """Return the answers that changed between right and wrong, folded; as many as fit."""
    flips = found.flips if found else ()
    if not flips or found is None:
        return ""
    start = (
        f"\n<details><summary>{len(found.fixed)} fixed, {len(found.broken)} broken"
        "</summary>\n\n"
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
    answers = (shown(flip.example.label), flip.base.answer, flip.new.answer)
    label, base, new = (literal(shorten(one)[1:-1]) for one in answers)
    texts = (flip.example.text, flip.new.reply.text)
    text, reply = (literal(_cut(one)) for one in texts)
    sign = "fixed" if flip.fixed else "**broken**"
    return f"| {sign} | {literal(flip.example.id)} | {text} | {label} | {base} | {new} | {reply} |\n"


def _size(text: str) -> int:
    return len(text.encode("utf-8", errors="replace"))
