"""Lines for a terminal: an iteration as it ends, the table of a run, an evaluation."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from promptlab.data.task import Task
from promptlab.models.spending import Spent
from promptlab.optimizer.history import Candidate, Iteration, Run
from promptlab.records import Usage, metric_name, shown
from promptlab.report.changes import in_words
from promptlab.scoring.comparison import compare
from promptlab.scoring.comparison import detectable as detectable_difference
from promptlab.scoring.evaluation import Evaluation


def iteration(step: Iteration, of: int) -> str:
    """Say in one line what an iteration did."""
    spent = f"{step.usage.calls} calls  {step.usage.input_tokens + step.usage.output_tokens:,} tokens"
    return f"iteration {step.number}/{of}  {_count(step)}  {step.verdict}  {spent}"


def _count(step: Iteration) -> str:
    return f"{len(step.candidates)} new prompt{'' if len(step.candidates) == 1 else 's'}"


def run(
    run: Run, seconds: Mapping[int, float], baselines: Mapping[str, Sequence[Evaluation]]
) -> Iterator[str]:
    """Yield the table of a run, prompt by prompt, the examples, and the results on test.

    `seconds` is how long each iteration took this time, by its number; under 0, the whole run. `baselines`
    are the results without a model on "validation" and "test".
    """
    yield from won(run)
    yield ""
    yield from _aligned("<<><<>>>>", [_head(run), *_rows(run, seconds, baselines["validation"])])
    yield ""
    for step in run.history:
        yield f"iteration {step.number}: {step.verdict}"
        yield from (f"  {one.proposer}: no proposal: {one.why}" for one in step.refused)
    yield ""
    splits = ((split, *map(str, of.values())) for split, of in run.counts.items())
    labels = tuple(run.counts["test"])
    yield from _aligned("<" + ">" * len(labels), [("examples", *labels), *splits])
    for result in (run.test_first,) if run.best == run.first else (run.test_first, run.test):
        yield ""
        yield from evaluation(result, baselines["test"], spent=False)
    yield ""
    yield from map(str, run.spent)
    yield from (f"note: {notice}" for notice in (*run.notices, *doubts(run)))


def won(run: Run) -> Iterator[str]:
    """Say first what was won: the conclusion, both prompts, what changed, and the comparison on test."""
    yield conclusion(run)
    if run.best == run.first:
        return
    for name, prompt in (("first", run.first), ("best", run.best)):
        shows = f" and {len(prompt.demonstrations)} demonstrations" if prompt.demonstrations else ""
        by = f", proposed by {run.finalists[0].proposer}" if prompt == run.best else ""
        yield f"  {name} prompt {prompt.id}: {len(replace(prompt, demonstrations=()))} characters{shows}{by}"
    yield from (f"    {line}" for line in in_words(run.first, run.best))
    yield from str(run.comparison).splitlines()


def doubts(run: Run) -> Iterator[str]:
    """Say which labels are worth a second look, the first ten of them; nothing where there are none."""
    if not run.doubts:
        return
    named = ", ".join(
        f"{one.example.id} ({shown(one.example.label)}, answered {one.answer})" for one in run.doubts[:10]
    )
    yield (
        f"labels worth a second look, because all prompts gave the same other answer, three or more: "
        f"{len(run.doubts)}: {named}{', ...' if len(run.doubts) > 10 else ''}; the report has the replies. "
        f"Correct what is wrong, mark as disputed what can be argued about"
    )


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


def beside(result: Evaluation, baselines: Sequence[Evaluation]) -> str:
    """Say what is reached without a model, and whether the prompt is better; "" where there is nothing."""
    if not baselines:
        return ""
    figures = ", ".join(f"{one.subject} {_off(one)}" for one in baselines)
    best = max(baselines, key=lambda one: one.primary)
    better = "better" if compare(best, result).verdict in ("better", "broken") else "not shown to be better"
    verdict = f"{result.subject} is {better} than {best.subject}"
    return f"without a model: {result.primary_name} of {figures}; {verdict}"


def evaluation(result: Evaluation, baselines: Sequence[Evaluation], *, spent: bool = True) -> Iterator[str]:
    """Yield the figures of an evaluation with their 95% intervals, label by label."""
    figures = result.figures
    shown = ", ".join(map(str, figures))
    yield f"{result.subject} on {result.split} ({result.size}): {shown}, 95% intervals"
    reasons = [f"{reason} {share:.3f}" for reason, share in result.missing.items() if share]
    if reasons:
        yield f"  {figures[-1].name}: {', '.join(reasons)}"
    if rest := result.undisputed:
        yield f"  without the {result.examples - rest.examples} disputed: {rest.figures[0]}"
    if result.canonical_rows:
        marked = result.canonical.rows
        wrong = [row.example.id for row in marked if not row.correct]
        named = f"; wrong: {', '.join(wrong)}" if wrong else ""
        yield f"  canonical: {len(marked) - len(wrong)} of {len(marked)} right{named}"
    rows = [("", "precision", "recall", "F1", "support")]
    for one, ends in zip(result.scores.labels, result.intervals.labels, strict=True):
        cells = (getattr(ends, name).around(getattr(one, name)) for name in ("precision", "recall", "f1"))
        rows.append((f"  {one.label}", *cells, str(one.support)))
    yield from _aligned("<<<<>", rows if result.labels else [])
    if line := beside(result, baselines):
        yield f"  {line}"
    yield from (f"  {one}" for one in result.spent if spent)


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
    return (
        "prompt",
        "proposed by",
        "characters",
        f"{run.test.primary_name} on validation",
        "outcome",
        *usage,
    )


def _rows(
    run: Run, seconds: Mapping[int, float], baselines: Sequence[Evaluation]
) -> Iterator[tuple[str, ...]]:
    nothing = ("", "", "", "")
    for baseline in baselines[:1]:
        yield ("TF-IDF", "", "", f"{_off(baseline)} (n = {baseline.examples})", "no model", *nothing)
    yield _row(0, run.history[0].parents[0], nothing)
    for step in run.history:
        spent = (*_cells(step.usage), f"{seconds[step.number]:.1f}")
        for one in step.candidates:
            yield _row(step.number, one, spent)
            spent = nothing
        if not step.candidates:
            yield (f"{step.number} -", "", "", "-", "no proposal", *spent)
    for one in run.finalists:
        chosen = "selected, optimistic" if one.prompt == run.best else one.left
        yield _row("final", replace(one, left=chosen), nothing)
    yield ("total, with test", "", "", "", "", *_cells(run.usage), f"{seconds[0]:.1f}")


def _row(stage: int | str, one: Candidate, spent: tuple[str, ...]) -> tuple[str, ...]:
    """Show how far a prompt came, and its figure there."""
    figure = f"{_off(one.validation)} (n = {one.answered})" if one.validation else "-"
    return (
        f"{stage} {one.prompt.id}",
        one.proposer,
        str(len(one.prompt)),
        figure,
        one.left or "kept",
        *spent,
    )


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
