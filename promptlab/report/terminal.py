"""Lines for a terminal: an iteration as it ends, the table of a run, an evaluation."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from promptlab.data.task import Task
from promptlab.optimizer.history import Candidate, Iteration, Run
from promptlab.records import Usage, metric_name
from promptlab.scoring.comparison import compare
from promptlab.scoring.comparison import detectable as detectable_difference
from promptlab.scoring.evaluation import Evaluation


def iteration(step: Iteration, of: int) -> str:
    """Say in one line what an iteration did."""
    old, new = step.parent, step.candidate
    name = old.minibatch.primary_name
    minibatch = f"{_f1(old.minibatch)} -> {_f1(new.minibatch if new else None)}"
    validation = f"{_f1(old.validation)} -> {_f1(new.validation if new else None)}"
    spent = f"{step.usage.calls} calls  {step.usage.input_tokens + step.usage.output_tokens:,} tokens"
    return (
        f"iteration {step.number}/{of}  {name}: minibatch {minibatch}  validation {validation}  "
        f"{_outcome(step)}  {spent}"
    )


def run(
    run: Run, seconds: Mapping[int, float], baselines: Mapping[str, Sequence[Evaluation]]
) -> Iterator[str]:
    """Yield the table of a run, prompt by prompt, the examples, and the results on test.

    `seconds` is how long each iteration took this time, by its number; under 0, the whole run. `baselines`
    are the results without a model on "validation" and "test".
    """
    yield from _aligned("<<<<>>>>", [_head(run), *_rows(run, seconds, baselines["validation"])])
    yield ""
    yield from (f"iteration {step.number}: {step.verdict}" for step in run.history)
    yield ""
    splits = ((split, *map(str, of.values())) for split, of in run.counts.items())
    labels = tuple(run.counts["test"])
    yield from _aligned("<" + ">" * len(labels), [("examples", *labels), *splits])
    for result in (run.test_first,) if run.best == run.first else (run.test_first, run.test):
        yield ""
        yield from evaluation(result, baselines["test"])
    if run.best != run.first:
        yield ""
        yield f"best prompt {run.best.id} against first {run.first.id} on test"
        yield from str(run.comparison).splitlines()
    yield ""
    yield conclusion(run)
    yield from (f"note: {notice}" for notice in run.notices)


def conclusion(run: Run) -> str:
    """Say in a sentence what a run has shown."""
    if run.best == run.first:
        return "the critic found no better prompt: the first is still the best"
    name, first, best = run.test.primary_name, run.test_first.primary, run.test.primary
    figures = f"{name} on test {first:.3f} -> {best:.3f}"
    return {
        "better": f"the critic improved the prompt: {figures}",
        "worse": f"the critic made the prompt worse: {figures}",
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


def evaluation(result: Evaluation, baselines: Sequence[Evaluation]) -> Iterator[str]:
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
    first = run.history[0].parent
    sizes = [f" (n = {result.scores.n})" if result else "" for result in (first.minibatch, first.validation)]
    splits = (f"minibatch{sizes[0]}", f"validation{sizes[1]}")
    usage = ("calls", "tokens in", "tokens out", "seconds")
    return (f"{run.test.primary_name} of prompt", *splits, "verdict", *usage)


def _rows(
    run: Run, seconds: Mapping[int, float], baselines: Sequence[Evaluation]
) -> Iterator[tuple[str, ...]]:
    if baselines:
        yield ("TF-IDF", "-", _off(baselines[0]), "no model", "", "", "", "")
    yield (f"0 {run.first.id}", *_scored(run.history[0].parent, run), "first", "", "", "", "")
    for step in run.history:
        name = f"{step.number} {step.candidate.prompt.id}" if step.candidate else f"{step.number} -"
        spent = (*_cells(step.usage), f"{seconds[step.number]:.1f}")
        yield (name, *_scored(step.candidate, run), _outcome(step), *spent)
    yield ("total, with test", "", "", "", *_cells(run.usage), f"{seconds[0]:.1f}")


def _scored(candidate: Candidate | None, run: Run) -> tuple[str, str]:
    """Show a prompt's figures; those of the best prompt are marked as the ones it was selected by."""
    if candidate is None:
        return "-", "-"
    if candidate.validation is None:
        return _off(candidate.minibatch), "-"
    chosen = " selected, optimistic" if candidate.prompt == run.best else ""
    return _off(candidate.minibatch), _off(candidate.validation) + chosen


def _off(result: Evaluation) -> str:
    return result.primary_interval.around(result.primary)


def _aligned(sides: str, rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Align rows in columns, each to the left ("<") or to the right (">")."""
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(len(sides))]
    for row in rows:
        cells = zip(sides, row, widths, strict=True)
        yield "  ".join(f"{cell:{side}{width}}" for side, cell, width in cells).rstrip()


def _outcome(step: Iteration) -> str:
    return "accepted" if step.accepted else "rejected" if step.candidate else "no proposal"


def _cells(usage: Usage) -> tuple[str, str, str]:
    return str(usage.calls), f"{usage.input_tokens:,}", f"{usage.output_tokens:,}"


def _f1(result: Evaluation | None) -> str:
    return f"{result.primary:.3f}" if result else "-"


def figures(outcome: Run | Evaluation) -> dict[str, float]:
    """Name the figures of a result for JUnit; the task's own metric is among them."""
    found: dict[str, float] = {}
    if isinstance(outcome, Evaluation):
        found = {one.key: one.value for one in outcome.figures} | {outcome.metric: outcome.primary}
        found |= {reason.replace(" ", "_"): share for reason, share in outcome.missing.items()}
        return found | {"n": outcome.scores.n}
    best = outcome.history[-1].best.validation
    for metric in (outcome.test.figures[0].key, outcome.test.metric):
        found[f"test_{metric}"] = getattr(outcome.test, metric)
        found[f"test_{metric}_of_first"] = getattr(outcome.test_first, metric)
        found[f"validation_{metric}_selected"] = getattr(best, metric) if best else 0.0
    return found | asdict(outcome.usage)
