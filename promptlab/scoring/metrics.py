"""What is counted.

Precision, recall, F1, macro F1 and support are scikit-learn's. A prediction without a label counts as
wrong for its gold label and as a guess of no other.
"""

from __future__ import annotations

from collections.abc import Sequence

from promptlab.data.task import Task
from promptlab.errors import ExtractorError
from promptlab.labels.extract import read_label
from promptlab.records import Example, Model, Prediction, Prompt, Reply
from promptlab.scoring.evaluation import Evaluation
from promptlab.scoring.scores import LabelScores, Scores

NONE = "\0no label"  # stands for None in scikit-learn's columns; no label can hold a NUL


def predict(task: Task, example: Example, reply: Reply, reply_prefix: str = "") -> Prediction:
    """Read the label out of a reply, or say why there is none; the stop reason comes first.

    Raises:
        ExtractorError: the task's extractor raised, or returned what is neither a label nor None.
    """
    if reply.stop_reason == "refusal":
        return Prediction(example, reply, None, "refused")
    cut_off = reply.stop_reason in ("max_tokens", "model_context_window_exceeded")
    if not reply.text.strip() and not cut_off:
        return Prediction(example, reply, None, "empty")
    # Some servers repeat the start of the reply that they were given, others leave it out.
    echoed = reply.text.startswith(reply_prefix)
    text = reply.text if echoed else reply_prefix + reply.text
    try:
        label, missing = read_label(task.extract, task.labels, text, cut_off=cut_off)
    except ExtractorError as error:
        raise ExtractorError(f"task {task.name!r}, example {example.id!r}: {error}") from error
    return Prediction(example, reply, label, missing)


def evaluation(
    task: Task, split: str, prompt: Prompt, rows: Sequence[Prediction], classifier: Model | None = None
) -> Evaluation:
    """Score a prompt's predictions about the examples of one split."""
    return Evaluation(
        task=task.name,
        split=split,
        prompt=prompt,
        rows=tuple(rows),
        scores=score(rows, task.labels),
        positive=task.positive,
        metric=task.metric,
        classifier=classifier,
    )


def score(rows: Sequence[Prediction], labels: Sequence[str]) -> Scores:
    """Count what was right, label by label; 0.0 stands where a ratio has nothing to divide by."""
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    gold = [row.example.label for row in rows]
    said = [row.label or NONE for row in rows]
    figures = precision_recall_fscore_support(gold, said, labels=list(labels), zero_division=0)
    by_label = tuple(
        LabelScores(label, float(p), float(r), float(f), int(n))
        for label, p, r, f, n in zip(labels, *figures, strict=True)
    )
    counts = confusion_matrix(gold, said, labels=[*labels, NONE])[:-1]
    return Scores(
        n=len(rows),
        labels=by_label,
        macro_f1=sum(one.f1 for one in by_label) / len(by_label),
        accuracy=sum(row.correct for row in rows) / len(rows),
        unlabelled=said.count(NONE),
        confusion=tuple(tuple(int(n) for n in line) for line in counts),
    )
