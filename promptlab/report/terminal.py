"""Lines for a terminal: an iteration as it ends, the table of a run, an evaluation."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from types import MappingProxyType
from typing import Any

from promptlab.data.task import Task
from promptlab.errors import bare, one_line, shorten
from promptlab.models.spending import Spent
from promptlab.optimizer.history import Candidate, Iteration, Run
from promptlab.records import Prediction, Prompt, Usage, metric_name, shown
from promptlab.report.changes import in_words
from promptlab.scoring.comparison import compare
from promptlab.scoring.comparison import detectable as detectable_difference
from promptlab.scoring.evaluation import Evaluation, Figure, by_example, majority

OUTSIDE = "outside the set"  # why there is no label: the answer is none of the task's
ANSWERS = 3  # such answers that are named
CONFUSIONS = 3  # pairs of label and answer that are shown, the commonest
EACH = 2  # examples of each
DOUBTS = 3  # labels worth a second look that are shown


#: What promptlab's own proposers propose, for people.
WORDS = {
    "balanced": "labelled examples, as many of each label",
    "forms": "another form of the answer",
    "mistaken": "labelled examples, some of them answered wrong before",
    "rewritten": "the critic's rewrite",
    "reasoned": "labelled examples with their reasons",
    "edited": "a rule of the critic's",
    "focused": "the critic's rewrite against one kind of mistake",
    "crossed": "two prompts put together",
    "shortened": "a shorter prompt",
}


def iteration(step: Iteration, of: int) -> str:
    """Say in one line what an iteration did."""
    spent = f"{step.usage.calls} calls  {step.usage.input_tokens + step.usage.output_tokens:,} tokens"
    new = f"{len(step.candidates)} new prompt{'' if len(step.candidates) == 1 else 's'}"
    return f"iteration {step.number}/{of}  {new}  {came(step)}  {spent}"


def came(step: Iteration) -> str:
    """Say what came of an iteration, as Iteration.verdict does, by the names that people know."""
    return step.verdict.replace(step.best.prompt.id, step.best.subject, 1)


def run(
    run: Run,
    seconds: Mapping[int, float],
    baselines: Mapping[str, Sequence[Evaluation]],
    *,
    verbose: bool = False,
) -> Iterator[str]:
    """Yield what a run has won and what it cost; `verbose` adds the statistics and the table of all prompts.

    `seconds` is how long each iteration took this time, by its number; under 0, the whole run. `baselines`
    are the results without a model on "validation" and "test".
    """
    yield from won(run, verbose=verbose)
    if verbose:
        yield from _in_full(run, seconds, baselines)
    else:
        yield f"  {cost(run.spent)}"
    yield from (f"note: {notice}" for notice in run.notices)
    yield from doubts(run)


def _in_full(
    run: Run, seconds: Mapping[int, float], baselines: Mapping[str, Sequence[Evaluation]]
) -> Iterator[str]:
    yield ""
    yield from _aligned("<<<><<>>>>", [_head(run), *_rows(run, seconds, baselines["validation"])])
    yield ""
    for step in run.history:
        yield f"iteration {step.number}: {came(step)}"
        yield from (f"  {one.proposer}: no proposal: {one.why}" for one in step.refused)
    yield ""
    splits = ((split, *map(str, of.values())) for split, of in run.counts.items())
    labels = tuple(run.counts["test"])
    yield from _aligned("<" + ">" * len(labels), [("examples", *labels), *splits])
    for result in (run.test_first,) if run.best == run.first else (run.test_first, run.test):
        yield ""
        yield from evaluation(result, baselines["test"], verbose=True, spent=False)
    yield ""
    yield from map(str, run.spent)


def won(run: Run, *, verbose: bool = False) -> Iterator[str]:
    """Say first what was won: the conclusion, both prompts, what changed, and the comparison on test."""
    yield conclusion(run)
    if run.best == run.first:
        return
    found = run.comparison
    yield f"  {found.counts} of {found.new.examples} test examples, which the search never saw"
    proposer = run.finalists[0].proposer
    by = f", proposed by {proposer}{f' ({WORDS[proposer]})' if proposer in WORDS else ''}"
    for result, how in ((run.test_first, ""), (run.test, by)):
        yield f"  {result.subject}: {_size(result.asked_with)}{how}"
    yield from (f"    {line}" for line in in_words(run.first, run.best))
    _verdict, _figures, *statistics = (*found.lines(verbose=True), "")
    yield from filter(None, statistics if verbose else ())


def _size(prompt: Prompt) -> str:
    shows = f" and {len(prompt.demonstrations)} demonstrations" if prompt.demonstrations else ""
    return f"{len(replace(prompt, demonstrations=()))} characters{shows}"


def cost(spent: Sequence[Spent]) -> str:
    """Say in a line what all calls took."""
    usage = sum((one.usage for one in spent), Usage())
    dollars = [one.dollars for one in spent]
    price = "price unknown" if None in dollars else f"${sum(filter(None, dollars)):.4f}"
    models = " and ".join(dict.fromkeys(one.model for one in spent))
    tokens = f"{usage.input_tokens:,} tokens in, {usage.output_tokens:,} out"
    return f"{usage.calls:,} calls to {models}, {tokens}, {price}"


def doubts(run: Run) -> Iterator[str]:
    """Say which labels are worth a second look, the first three of them; nothing where there are none."""
    if not run.doubts:
        return
    yield (
        f"note: labels worth a second look, since all prompts, three or more, gave the same other answer: "
        f"{len(run.doubts)}. Correct what is wrong, mark as disputed what can be argued about"
    )
    for one in run.doubts[:DOUBTS]:
        said = f"label {bare(shown(one.example.label))}, answered {bare(one.answer)}"
        yield f"  {bare(one.example.id)}: {one_line(one.example.text)}: {said}"
    if (more := len(run.doubts) - DOUBTS) > 0:
        yield f"  and {more} more, in the report"


def conclusion(run: Run) -> str:
    """Say in a sentence what a run has shown."""
    if run.best == run.first:
        return "no better prompt was found: the first is still the best"
    name, first, best = run.test.primary_name, run.test_first.primary, run.test.primary
    figures = f"{name} on test {first:.3f} -> {best:.3f}"
    return {
        "better": f"the prompt was improved: {figures}",
        "worse": f"the prompt was made worse: {figures}",
        "inconclusive": f"no improvement is shown: {figures}, and test cannot tell the two apart",
    }[run.comparison.verdict]


def detectable(task: Task, split: str = "test") -> str:
    """Say what difference between two prompts a split can show."""
    share = 0.15  # of the answers: what a rewritten prompt commonly flips
    least = detectable_difference(task, discordance=share, split=split)
    shows = "is too small to show any loss"
    if least is not None:
        shows = f"shows a loss of {least:.2f} in {metric_name(task.metric, task.positive)} with 80% power"
    return f"{split} ({len(task.split(split))} examples) {shows}, if {share:.0%} of the answers flip"


def beside(result: Evaluation, baselines: Sequence[Evaluation], *, verbose: bool = True) -> str:
    """Say what is reached without a model, and whether the prompt is better; "" where there is nothing."""
    if not baselines:
        return ""
    figures = ", ".join(
        f"{one.subject} {_off(one) if verbose else f'{one.primary:.3f}'}" for one in baselines
    )
    best = max(baselines, key=lambda one: one.primary)
    better = "better" if compare(best, result).verdict in ("better", "broken") else "not shown to be better"
    verdict = f"{result.subject} is {better} than {best.subject}"
    return f"without a model: {result.primary_name} of {figures}; {verdict}"


def evaluation(
    result: Evaluation,
    baselines: Sequence[Evaluation],
    *,
    verbose: bool = False,
    spent: bool = True,
    outside: Mapping[str, int] = MappingProxyType({}),
) -> Iterator[str]:
    """Yield the figures of an evaluation, and the mistakes; `verbose`, with intervals and label by label.

    `outside` counts the answers that are no label of the task, see `outside_the_set`.
    """
    *figures, missing = result.figures
    listed = ", ".join(map(str, (*figures, missing))) if verbose else ", ".join(map(_plain, figures))
    yield f"{result.subject} on {result.split} ({result.size}): {listed}{', 95% intervals' * verbose}"
    if reasons := [_reason(name, share, outside) for name, share in result.missing.items() if share]:
        yield f"  {_plain(missing)}: {', '.join(reasons)}"
    if verbose and (rest := result.undisputed):
        yield f"  without the {result.examples - rest.examples} disputed: {rest.figures[0]}"
    if result.canonical_rows:
        right = [row.correct for row in result.canonical.rows]
        yield f"  canonical: {sum(right)} of {len(right)} right"
    if verbose and result.labels:
        yield from _by_label(result)
    yield from (f"  {line}" for line in (mistakes(result) if spent else ()))
    if line := beside(result, baselines, verbose=verbose):
        yield f"  {line}"
    if spent and result.spent:
        yield from (f"  {one}" for one in (result.spent if verbose else [cost(result.spent)]))


def _plain(one: Figure) -> str:
    return f"{one.name} {one.value:.3f}"


def _reason(name: str, share: float, outside: Mapping[str, int]) -> str:
    if name != OUTSIDE or not outside:
        return f"{name} {share:.3f}"
    ranked = sorted(outside.items(), key=lambda one: (-one[1], one[0]))
    often = {1: "once", 2: "twice"}
    said = [f"{shorten(one, 40)} {often.get(count, f'{count} times')}" for one, count in ranked[:ANSWERS]]
    said += [f"{len(ranked) - ANSWERS} more"] if len(ranked) > ANSWERS else []
    return f"{name} {share:.3f} ({', '.join(said)})"


def outside_the_set(task: Task, result: Evaluation) -> Counter[str]:
    """Count the answers that are no label of the task; the task's extractor reads them again."""
    rows = (row for row in result.rows if row.missing == OUTSIDE)
    found = (task.found(row.reply, result.prompt or Prompt()) for row in rows)
    return Counter(" ".join(str(one).split()) for one in found)


def _by_label(result: Evaluation) -> Iterator[str]:
    rows = [("", "precision", "recall", "F1", "support")]
    for one, ends in zip(result.scores.labels, result.intervals.labels, strict=True):
        cells = (getattr(ends, name).around(getattr(one, name)) for name in ("precision", "recall", "f1"))
        rows.append((f"  {one.label}", *cells, str(one.support)))
    yield from _aligned("<<<<>", rows)


def mistakes(result: Evaluation) -> Iterator[str]:
    """Yield canonical mistakes, then a few of each of the commonest confusions, with their texts."""
    marked = [row for row in result.canonical.rows if not row.correct] if result.canonical_rows else []
    yield from _few("canonical, but wrong", marked, 0, labelled=True)
    support = Counter(shown(rows[0].example.label) for rows in by_example(result.rows).values())
    groups: dict[tuple[str, str], list[Prediction]] = {}
    for row in map(majority, by_example(result.rows).values()):
        if not row.correct:
            key = (shown(row.example.label), row.answer) if result.labels else ("", "")
            groups.setdefault(key, []).append(row)
    ranked = sorted(groups.items(), key=lambda one: -len(one[1]))
    for (label, answer), rows in ranked[:CONFUSIONS]:
        name = f"{bare(label)}, answered {bare(answer)}" if result.labels else "below a score of 1"
        of = support[label] if result.labels else result.examples
        first = sorted(rows, key=lambda row: not row.example.canonical)
        yield from _few(name, first, of, labelled=not result.labels)
    if rest := sum(len(rows) for _, rows in ranked[CONFUSIONS:]):
        yield f"and {rest} more mistakes of other kinds"


def _few(name: str, rows: Sequence[Prediction], of: int, *, labelled: bool) -> Iterator[str]:
    if not rows:
        return
    yield f"{name}: {len(rows)}{f' of {of}' if of else ''}"
    for row in rows[:EACH]:
        said = f": label {bare(shown(row.example.label))}, answered {bare(row.answer)}" if labelled else ""
        yield f"  {bare(row.example.id)}: {one_line(row.example.text)}{said}"
    if (more := len(rows) - EACH) > 0:
        yield f"  and {more} more"


def orphans(count: int, *, pruned: bool) -> str:
    """Say how many recorded calls were not asked for, and whether they were removed."""
    what = "they were deleted" if pruned else "promptlab cassettes prune deletes them"
    return f"recorded calls that were not replayed: {count}; {what}"


def provenance(header: Mapping[str, Any]) -> str:
    """Say who answered the recorded calls, where and when."""
    if not header:
        return "not recorded"
    servers = " and ".join(header["server"])
    return f"recorded {header['recorded']} from {', '.join(header['answered_by'])} at {servers}"


def _head(run: Run) -> tuple[str, ...]:
    usage = ("calls", "tokens in", "tokens out", "seconds")
    figure = f"{run.test.primary_name} on validation"
    return ("round", "prompt", "proposed by", "characters", figure, "outcome", *usage)


def _rows(
    run: Run, seconds: Mapping[int, float], baselines: Sequence[Evaluation]
) -> Iterator[tuple[str, ...]]:
    nothing = ("", "", "", "")
    names = {one.asked_with.id: one.subject for one in run.evaluations}
    for baseline in baselines[:1]:
        yield ("", "TF-IDF", "", "", f"{_off(baseline)} (n = {baseline.examples})", "no model", *nothing)
    yield _row("0", run.history[0].parents[0], names, nothing)
    for step in run.history:
        spent = (*_cells(step.usage), f"{seconds[step.number]:.1f}")
        for one in step.candidates:
            yield _row(str(step.number), one, names, spent)
            spent = nothing
        if not step.candidates:
            yield (str(step.number), "-", "", "", "-", "no proposal", *spent)
    for one in run.finalists:
        chosen = "selected, optimistic" if one.prompt == run.best else one.left
        yield _row("final", replace(one, left=chosen), names, nothing)
    yield ("total", "with test", "", "", "", "", *_cells(run.usage), f"{seconds[0]:.1f}")


def _row(stage: str, one: Candidate, names: Mapping[str, str], spent: tuple[str, ...]) -> tuple[str, ...]:
    """Show how far a prompt came, and its figure there."""
    figure = f"{_off(one.validation)} (n = {one.answered})" if one.validation else "-"
    left = re.sub(r"\b[0-9a-f]{8}\b", lambda found: names.get(found[0], found[0]), one.left or "kept")
    return (stage, one.subject, one.proposer, str(len(one.prompt)), figure, left, *spent)


def _off(result: Evaluation) -> str:
    return result.primary_interval.around(result.primary)


def _aligned(sides: str, rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Align rows in columns, each to the left ("<") or to the right (">")."""
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(len(sides))]
    for row in rows:
        cells = zip(sides, row, widths, strict=True)
        yield "  ".join(f"{cell:{side}{width}}" for side, cell, width in cells).rstrip()


def _cells(usage: Usage) -> tuple[str, str, str]:
    return str(usage.calls), f"{usage.input_tokens:,}", f"{usage.output_tokens:,}"


def figures(outcome: Run | Evaluation) -> dict[str, float]:
    """Name the figures of a result for JUnit; the task's own metric is among them."""
    found: dict[str, float] = {}
    if isinstance(outcome, Evaluation):
        found = {one.key: one.value for one in outcome.figures} | {outcome.metric: outcome.primary}
        found |= {reason.replace(" ", "_"): share for reason, share in outcome.missing.items()}
        return found | {"n": outcome.scores.n} | _costs(outcome.spent)
    best = outcome.finalists[0].validation
    for metric in (outcome.test.figures[0].key, outcome.test.metric):
        found[f"test_{metric}"] = getattr(outcome.test, metric)
        found[f"test_{metric}_of_first"] = getattr(outcome.test_first, metric)
        found[f"validation_{metric}_selected"] = getattr(best, metric) if best else 0.0
    return found | asdict(outcome.usage) | _costs(outcome.spent)


def _costs(spent: Sequence[Spent]) -> dict[str, float]:
    """Name what the calls of each role took; what is not known is left out."""
    found: dict[str, float] = {}
    for one in spent:
        seconds = zip(("median", "95th_percentile"), one.seconds or (), strict=False)
        each = {f"seconds_{name}": round(value, 3) for name, value in seconds} | {"dollars": one.dollars}
        found |= {f"{one.role}_{name}": value for name, value in each.items() if value is not None}
    return found
