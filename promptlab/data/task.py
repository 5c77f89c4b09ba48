"""A task: its examples and how they are split.

Bad data is rejected here, before any call is paid. Every error names the file, the row and the value.
"""

import difflib
import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property

from promptlab.data.sampling import rank
from promptlab.errors import DataError, shorten
from promptlab.labels.extract import Extractor, Tagged, fold
from promptlab.records import METRICS, Example, Metric

SPLITS = ("train", "validation", "test")
FEWEST_PER_LABEL = 5  # examples; below, a split's F1 says nothing
FEW_PER_LABEL = 30  # examples; below, a split's F1 is worth a warning


@dataclass(frozen=True)
class Task:
    """A classification task: what to decide, on which examples, and how to read a reply.

    Attributes:
        name: names the recordings; letters, digits, "-" and "_".
        labels: two or more, in the order in which tables show them.
        positive: the label whose F1 is reported along with the macro F1; None for no such label.
        metric: the primary metric, which prompts are chosen and judged by: "macro_f1", "accuracy", or
            "f1", that of the positive label.
        brief: what the classifier must decide, in words; the first prompt is built from it.
        extract: reads the label out of a reply.
        answer_format: how a reply states its label, with LABEL as the placeholder; None takes it from
            `extract`. Every prompt has to contain it.
        shares: shares of the train, validation and test split; they add up to 1.
        split_seed: changes the split. Fix it at the start of a project; never tune it for a better score.

    Raises:
        DataError: for any label, example or setting that cannot be used, at construction.
    """

    name: str
    examples: tuple[Example, ...] = field(repr=False)
    labels: tuple[str, ...]
    brief: str
    positive: str | None = None
    metric: Metric = "macro_f1"
    extract: Extractor = Tagged("label")  # noqa: RUF009 - frozen
    answer_format: str | None = None
    shares: tuple[float, float, float] = (0.4, 0.2, 0.4)
    split_seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.labels, str):
            raise DataError(f"task {self.name!r}: labels is the string {self.labels!r}, expected a tuple")
        object.__setattr__(self, "examples", tuple(self.examples))
        object.__setattr__(self, "labels", tuple(self.labels))
        if self.answer_format is None:
            object.__setattr__(self, "answer_format", getattr(self.extract, "answer_format", None))
        _check_settings(self)
        _check_examples(self.name, self.examples, self.labels)

    @cached_property
    def data_hash(self) -> str:
        """Sixteen hexadecimal digits that name the examples: ids, texts, labels, notes, order."""
        return _hash(self.examples)

    @cached_property
    def test_hash(self) -> str:
        """The same for the examples of the test split."""
        return _hash(self.splits["test"])

    @cached_property
    def splits(self) -> dict[str, tuple[Example, ...]]:
        """The examples of "train", "validation" and "test", each in the order they were given."""
        pinned = {e.group or e.id for e in self.examples if e.canonical}  # to train, with their groups
        found: dict[str, list[Example]] = {split: [] for split in SPLITS}
        for example in self.examples:  # placed by its group or id alone, so that no other example can move it
            key = example.group or example.id
            u = rank(self.split_seed, key) / 2**64
            train, validation, _ = self.shares
            later = "validation" if u < train + validation else "test"
            found["train" if key in pinned or u < train else later].append(example)
        return {split: tuple(examples) for split, examples in found.items()}

    @cached_property
    def canonical(self) -> tuple[Example, ...]:
        """The examples marked as canonical, in the order they were given; all are in train."""
        return tuple(e for e in self.examples if e.canonical)

    def split(self, name: str) -> tuple[Example, ...]:
        """Return the examples of one split; DataError where a label has too few there."""
        if name not in SPLITS:
            raise DataError(f"split {name!r}: expected one of {', '.join(SPLITS)}")
        counts = self.counts[name]
        for label, count in counts.items():
            if count < FEWEST_PER_LABEL:
                raise DataError(
                    f"task {self.name!r}: the {name} split holds {count} examples of label {label!r}, "
                    f"at least {FEWEST_PER_LABEL} are needed. Add examples of that label "
                    f"(another split_seed would only hide the problem)."
                )
        return self.splits[name]

    @cached_property
    def counts(self) -> dict[str, dict[str, int]]:
        """How many examples of each label each split has; labels in the task's order."""
        found = {split: Counter(e.label for e in examples) for split, examples in self.splits.items()}
        return {split: {label: of[label] for label in self.labels} for split, of in found.items()}

    def notice(self, name: str) -> str | None:
        """Warn of a split that is too small for reliable figures; None where it is large enough."""
        fewest = min(self.counts[name].values())
        if fewest >= FEW_PER_LABEL:
            return None
        return (
            f"the {name} split has only {fewest} examples of a label; "
            f"below {FEW_PER_LABEL}, its scores are noisy"
        )

    @property
    def notices(self) -> tuple[str, ...]:
        """Reasons not to trust figures on these examples, a sentence each."""
        return tuple(notice for name in SPLITS if (notice := self.notice(name)))


def _hash(examples: tuple[Example, ...]) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for e in examples:
        digest.update(json.dumps([e.id, e.text, e.label, e.note, e.canonical, e.group]).encode())
    return digest.hexdigest()


def _check_settings(task: Task) -> None:
    name, labels = task.name, task.labels
    if not name or not all(c.isalnum() or c in "-_" for c in name):
        raise DataError(f"Task(name={name!r}): expected letters, digits, '-' and '_' only")
    if len(labels) < 2:
        raise DataError(f"task {name!r}: labels are {labels!r}, expected two or more")
    if task.metric not in METRICS:
        raise DataError(f"task {name!r}: metric is {task.metric!r}, expected one of {', '.join(METRICS)}")
    if task.metric == "f1" and task.positive is None:
        raise DataError(f"task {name!r}: metric 'f1' is that of one label: say which with positive=...")
    seen: dict[str, str] = {}
    for label in labels:
        if not label or label != label.strip():
            raise DataError(f"task {name!r}: label {label!r} is empty or has spaces around it")
        if (twin := seen.setdefault(fold(label), label)) is not label or labels.count(label) > 1:
            raise DataError(
                f"task {name!r}: labels {twin!r} and {label!r} do not differ once case is ignored, "
                f"and models do not preserve case. Rename one."
            )
    if task.positive is not None and task.positive not in labels:
        raise DataError(f"task {name!r}: positive is {task.positive!r}, expected one of {labels!r}")
    if len(task.shares) != 3 or min(task.shares) < 0 or abs(sum(task.shares) - 1) > 1e-9:
        raise DataError(f"task {name!r}: shares are {task.shares!r}, expected three that add up to 1")


def _check_examples(name: str, examples: tuple[Example, ...], labels: tuple[str, ...]) -> None:
    ids: dict[str, Example] = {}
    texts: dict[str, Example] = {}
    for example in examples:
        where: object = example.source or f"task {name!r}, example {example.id!r}"
        if not example.text.strip():
            raise DataError(f"{where}: text is {example.text!r}, expected some text")
        if example.label not in labels:
            close = difflib.get_close_matches(example.label, labels, n=1, cutoff=0.7)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise DataError(
                f"{where}: label is {example.label!r}, expected one of {', '.join(map(repr, labels))}{hint}"
            )
        # Ids first: an id made from the text is twice the same where the text is, so texts say more.
        text = " ".join(example.text.split())
        if (twin := texts.setdefault(text, example)) is not example:
            also = "" if twin.label == example.label else f", labelled {twin.label!r} there"
            raise DataError(
                f"{where}: text {shorten(example.text)} is already in "
                f"{twin.source or repr(twin.id)}{also}. Remove one of them."
            )
        if (twin := ids.setdefault(example.id, example)) is not example:
            raise DataError(
                f"{where}: id {example.id!r} is already in {twin.source or shorten(twin.text)}. "
                f"Ids identify examples in recordings and reports, so they must be unique."
            )
    if len({e.label for e in examples}) < 2:
        raise DataError(
            f"task {name!r}: {len(examples)} examples, all of the same label; expected two labels or more"
        )
