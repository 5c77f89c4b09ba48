"""Is a model needed at all? What TF-IDF with logistic regression, and the most frequent label, get."""

import functools
from collections import Counter

from promptlab.data.task import Task
from promptlab.errors import PromptlabError
from promptlab.records import Prediction, Reply
from promptlab.scoring.evaluation import Evaluation, evaluation_of

TFIDF, MAJORITY = "TF-IDF with logistic regression", "the majority label"


def baseline(task: Task, *, split: str = "test", majority: bool = False) -> Evaluation:
    """Label a split without a model: fitted on train, free and offline.

    The features are scikit-learn's TF-IDF of single words and pairs of words, the classifier is its logistic
    regression, with the labels weighted as if they were equally frequent.

    Args:
        task: a classification task.
        split: "validation" or "test"; figures on train would be those of what was fitted.
        majority: give each example the most frequent label of train instead.

    Returns:
        An Evaluation without a prompt, which compares with any other.

    Raises:
        PromptlabError: the task is graded.
    """
    if not task.labels:
        raise PromptlabError(f"task {task.name!r} is graded: there are no labels that a baseline could learn")
    train, examples = task.split("train"), task.split(split)
    labels = tuple(str(example.label) for example in train)
    if majority:
        frequent = max(task.labels, key=Counter(labels).__getitem__)
        said: tuple[str, ...] = (frequent,) * len(examples)
    else:
        said = _learned(tuple(e.text for e in train), labels, tuple(e.text for e in examples))
    rows = [
        Prediction(
            example, Reply(label, "end_turn", ("text",), "", 0, 0), label, score=float(label == example.label)
        )
        for example, label in zip(examples, said, strict=True)
    ]
    return evaluation_of(task, split, None, rows, answered_by=MAJORITY if majority else TFIDF)


def baselines(task: Task, split: str) -> tuple[Evaluation, ...]:
    """Return what is shown beside a prompt's figures on a split: both baselines, or none."""
    if not task.labels or split == "train":
        return ()
    return tuple(baseline(task, split=split, majority=majority) for majority in (False, True))


@functools.lru_cache(maxsize=16)
def _learned(texts: tuple[str, ...], labels: tuple[str, ...], asked: tuple[str, ...]) -> tuple[str, ...]:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    # Every text has such a token, so the vocabulary is never empty.
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\w+|[^\w\s]")  # noqa: S106
    model = LogisticRegression(max_iter=1000, class_weight="balanced").fit(words.fit_transform(texts), labels)
    return tuple(map(str, model.predict(words.transform(asked))))
