"""A task: what to decide, on which examples, how a reply is read, and what it scores.

Bad data is rejected here, before any call is paid. Every error names the file, the row and the value.
"""

import difflib
import hashlib
import json
import numbers
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from promptlab.data import overlap
from promptlab.data.sampling import draw
from promptlab.data.splits import FEWEST_PER_LABEL, SHARES, SPLITS, assign, count, shortage
from promptlab.errors import DataError, ScorerError, shorten
from promptlab.labels.extract import Extractor, JsonField, Tagged, fold, read_answer
from promptlab.records import METRICS, REJECTED, Example, Metric, Prompt, Reply

FEW_PER_LABEL = 30  # examples; below, a split's F1 is worth a warning
SHOWN = 10  # labels that a repr names

Scorer = Callable[[Example, Any], float]  # example, what `extract` returned -> 0 to 1
Draw = Callable[[Sequence[Example], Sequence[str], int, int], Sequence[Example]]


@dataclass(frozen=True, kw_only=True, repr=False)
class Task:
    """What to decide, on which examples, how to read a reply, and what an answer scores.

    A classification task has `labels`, and an answer is right or wrong. A graded task has `score` instead.

    Attributes:
        name: names the recordings; letters, digits, "-" and "_".
        examples: as the readers return them; dictionaries are read as `from_dicts` does.
        labels: two or more, in the order in which tables show them; none for a graded task.
        positive: the label whose F1 is reported along with the macro F1; None for no such label.
        metric: the primary metric, which prompts are chosen and judged by: "macro_f1", "accuracy", or
            "f1", that of the positive label. Of a graded task it is "score", the mean of all scores.
        brief: what the classifier must decide, in words; the first prompt is built from it.
        extract: reads the answer out of a reply: a label, or for a graded task any value. What it cannot
            read is None or `Unreadable("why")`, which scores 0 and is counted on its own.
        score: of a graded task: example, answer -> score from 0 to 1.
        answer_format: how a reply states its label, with LABEL as the placeholder; None takes it from
            `extract`. Every prompt has to contain it.
        draw: chooses the examples of a minibatch: train examples, labels, seed, iteration -> examples. None
            draws `per_label` of each label by a hash.
        shares: shares of the train, validation and test split; they add up to 1.
        split_seed: changes the split. Fix it at the start of a project; never tune it for a better score.

    Raises:
        DataError: for any label, example or setting that cannot be used, at construction.
    """

    name: str
    examples: tuple[Example, ...]
    labels: tuple[str, ...] = ()
    brief: str
    positive: str | None = None
    metric: Metric = None  # type: ignore[assignment]  # set below, by the kind of task
    extract: Extractor = Tagged("label")  # noqa: RUF009 - frozen
    score: Scorer | None = None
    answer_format: str | None = None
    draw: Draw | None = None
    shares: tuple[float, float, float] = SHARES
    split_seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.labels, str):
            raise DataError(f"task {self.name!r}: labels is the string {self.labels!r}, expected a tuple")
        given = tuple(self.examples)
        if any(isinstance(one, dict) for one in given):
            from promptlab.data.readers import from_dicts

            given = from_dicts(given)  # type: ignore[arg-type]
        object.__setattr__(self, "examples", given)
        object.__setattr__(self, "labels", tuple(self.labels))
        if self.answer_format is None:
            object.__setattr__(self, "answer_format", getattr(self.extract, "answer_format", None))
        if self.metric is None:
            object.__setattr__(self, "metric", "score" if self.score else "macro_f1")
        _check_settings(self)
        _check_examples(self.name, self.examples, self.labels)
        if any(example.split for example in given):
            self.splits  # noqa: B018 - what the column says is checked

    def __repr__(self) -> str:
        """Name the task, and say how many examples it has of which labels."""
        few = ", ".join(map(shorten, self.labels[:SHOWN])) + (", ..." if len(self.labels) > SHOWN else "")
        return f"<Task {self.name}: {len(self.examples)} examples, {f'labels {few}' if few else 'graded'}>"

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
        return {split: tuple(e for e in self.examples if self._home[e.id] == split) for split in SPLITS}

    @cached_property
    def _home(self) -> dict[str, str]:
        return assign(self.examples, self._stratum, self.shares, self.split_seed)

    def _stratum(self, example: Example) -> str:
        return str(example.label) if self.labels else "all"

    @property
    def held_out(self) -> tuple[Example, ...]:
        """The examples of validation and test: nothing may be learned from them."""
        return self.splits["validation"] + self.splits["test"]

    @cached_property
    def near_duplicates(self) -> tuple[tuple[Example, Example], ...]:
        """The examples of train that are nearly the same as one of validation or test, each with it."""
        return overlap.near_duplicates(self.splits["train"], self.held_out)

    @cached_property
    def canonical(self) -> tuple[Example, ...]:
        """The examples marked as canonical, in the order they were given; all are in train."""
        return tuple(e for e in self.examples if e.canonical)

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON schema of an answer, for `Model(structured=...)`: a reason, then one of the labels.

        DataError where the task has no labels, or `extract` is not `json_field`.
        """
        if not self.labels or not isinstance(self.extract, JsonField):
            raise DataError(
                f"task {self.name!r}: structured outputs need labels and extract=json_field('label'); "
                f"give a schema of your own, Model(..., structured={{...}}), or leave structured out"
            )
        fields = {"reason": {"type": "string"}, self.extract.name: {"enum": list(self.labels)}}
        return {
            "type": "object",
            "properties": fields,
            "required": list(fields),
            "additionalProperties": False,
        }

    @cached_property
    def sources(self) -> tuple[Path, ...]:
        """The files, or other sources, that the examples were read from, without overlays."""
        return tuple(dict.fromkeys(Path(one.source.file) for one in self.examples if one.source))

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """The files that the examples were read from, overlays included."""
        overlays = dict.fromkeys(Path(one.overlay) for one in self.examples if one.overlay)
        return tuple(path for path in (*self.sources, *overlays) if path.is_file())

    def split(self, name: str) -> tuple[Example, ...]:
        """Return the examples of one split; DataError where a label has too few there."""
        if name not in SPLITS:
            raise DataError(f"split {name!r}: expected one of {', '.join(SPLITS)}")
        if min(self.counts[name].values()) < FEWEST_PER_LABEL:
            why = shortage(self.counts, self.shares) or f"share of {name} is 0"
            raise DataError(f"task {self.name!r}: {why} (another split_seed would only hide the problem)")
        return self.splits[name]

    @cached_property
    def counts(self) -> dict[str, dict[str, int]]:
        """How many examples of each label each split has, in the task's order; of a graded task, of "all"."""
        return count(self.examples, self._home, self._stratum, self.labels or ("all",))

    def demonstrated(self, prompt: Prompt) -> tuple[Example, ...]:
        """Return the examples that a prompt shows as demonstrations; they are in train, as their groups are.

        Raises:
            DataError: one is canonical, or in validation or test.
        """
        if not prompt.demonstrations:
            return ()
        shown = {_folded(demonstration.text) for demonstration in prompt.demonstrations}
        found = tuple(example for example in self.examples if _folded(example.text) in shown)
        for example in found:
            if example.canonical or self._home[example.id] != "train":
                where = "canonical" if example.canonical else "in validation or test"
                raise DataError(
                    f"task {self.name!r}, prompt {prompt.id}: the demonstration {shorten(example.text)} is "
                    f"example {example.id!r}, which is {where}: the prompt would be judged on what it knows. "
                    f"Show others"
                )
        return found

    def minibatch(self, prompt: Prompt, *, per_label: int, seed: int, iteration: int) -> tuple[Example, ...]:
        """Draw train examples for an iteration, none that the prompt shows and none that is disputed."""
        shown = self.demonstrated(prompt)
        examples = tuple(e for e in self.split("train") if e not in shown and not e.disputed)
        if self.draw is None:
            return draw(examples, self.labels, per_label=per_label, seed=seed, iteration=iteration)
        drawn = tuple(self.draw(examples, self.labels, seed, iteration))
        if not drawn or len({id(e) for e in drawn} & {id(e) for e in examples}) != len(drawn):
            raise DataError(
                f"task {self.name!r}: draw returned {len(drawn)} examples for iteration {iteration}, "
                f"expected one or more of the {len(examples)} it was given, each once"
            )
        return drawn

    def read(self, reply: Any, prompt: Prompt = Prompt()) -> tuple[Any, str | None]:  # noqa: B008 - frozen
        """Read the answer of a reply to a prompt, as the tests do.

        Args:
            reply: a Reply, or the SDK's Message.
            prompt: the one that was asked with; its reply prefix is part of the answer.

        Returns:
            The label, or for a graded task what `extract` returned, and None; or None and why there is none.

        Raises:
            ExtractorError: the extractor raised, or returned something else.
        """
        text = reply.text if isinstance(reply, Reply) else _text_of(reply)
        if reply.stop_reason == REJECTED:
            return None, REJECTED
        if reply.stop_reason == "refusal":
            return None, "refused"
        cut_off = reply.stop_reason in ("max_tokens", "model_context_window_exceeded")
        if not text.strip():
            return None, "truncated" if cut_off else "empty"
        return read_answer(self.extract, self.labels, _begun(text, prompt), cut_off=cut_off)

    def found(self, reply: Reply, prompt: Prompt) -> Any:
        """Return what `extract` finds in a reply to a prompt, a label or not."""
        return self.extract(_begun(reply.text, prompt))

    def grade(self, example: Example, answer: Any) -> float:
        """Score an answer from 0 to 1: whether it is the label, or what `score` says; ScorerError."""
        if self.score is None:
            return float(answer == example.label)
        try:
            found = self.score(example, answer)
        except Exception as error:
            raise ScorerError(f"score raised {error!r} on the answer {shorten(answer)}") from error
        if not isinstance(found, numbers.Real) or not 0 <= found <= 1:
            raise ScorerError(f"score returned {found!r} for the answer {shorten(answer)}, expected 0 to 1")
        return float(found)

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
        small = tuple(found for name in SPLITS if (found := self.notice(name)))
        return (*small, overlap.notice(self.near_duplicates)) if self.near_duplicates else small


def _hash(examples: tuple[Example, ...]) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for e in examples:
        disputed = [True] if e.disputed else []
        digest.update(json.dumps([e.id, e.text, e.label, e.note, e.canonical, e.group, *disputed]).encode())
    return digest.hexdigest()


def _begun(text: str, prompt: Prompt) -> str:
    """Return an answer with the prompt's reply prefix: some servers repeat it, others leave it out."""
    return text if text.startswith(prompt.reply_prefix) else prompt.reply_prefix + text


def _text_of(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def _words(text: str) -> str:
    return " ".join(text.split())


def _folded(text: str) -> str:
    """Leave only the words of a text, where it has any: case and punctuation make no other text of it."""
    return " ".join(re.findall(r"\w+", text.casefold())) or _words(text)


def _check_settings(task: Task) -> None:
    name = task.name
    if not name or not all(c.isalnum() or c in "-_" for c in name):
        raise DataError(f"Task(name={name!r}): expected letters, digits, '-' and '_' only")
    _check_metric(task)
    _check_labels(task)
    if len(task.shares) != 3 or min(task.shares) < 0 or abs(sum(task.shares) - 1) > 1e-9:
        raise DataError(f"task {name!r}: shares are {task.shares!r}, expected three that add up to 1")


def _check_metric(task: Task) -> None:
    name, labels = task.name, task.labels
    if task.score and (labels or task.positive or task.metric != "score"):
        raise DataError(
            f"task {name!r}: a task with a score has no labels, no positive label and no metric but 'score'; "
            f"found labels {labels!r}, positive {task.positive!r}, metric {task.metric!r}"
        )
    if not task.score and len(labels) < 2:
        raise DataError(
            f"task {name!r}: labels are {labels!r}, expected two or more; or a graded task, with score=..."
        )
    if task.metric not in METRICS[: None if task.score else -1]:
        raise DataError(
            f"task {name!r}: metric is {task.metric!r}, expected one of {', '.join(METRICS[:-1])}"
        )
    if task.metric == "f1" and task.positive is None:
        raise DataError(f"task {name!r}: metric 'f1' is that of one label: say which with positive=...")


def _check_labels(task: Task) -> None:
    name, labels = task.name, task.labels
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


def _check_examples(name: str, examples: tuple[Example, ...], labels: tuple[str, ...]) -> None:
    ids: dict[str, Example] = {}
    texts: dict[str, Example] = {}
    for example in examples:
        where: object = example.source or f"task {name!r}, example {example.id!r}"
        if not example.text.strip():
            raise DataError(f"{where}: text is {example.text!r}, expected some text")
        if labels and example.label not in labels:
            close = difflib.get_close_matches(str(example.label), labels, n=1, cutoff=0.7)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise DataError(
                f"{where}: label is {example.label!r}, expected one of {', '.join(map(repr, labels))}{hint}"
            )
        # Ids first: an id made from the text is twice the same where the text is, so texts say more.
        text = _words(example.text)
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
    if labels and len({e.label for e in examples}) < 2:
        raise DataError(
            f"task {name!r}: {len(examples)} examples, all of the same label; expected two labels or more"
        )
