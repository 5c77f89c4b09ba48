"""Evaluations from recorded answers, without a call."""

import itertools
from collections.abc import Mapping, Sequence

from promptlab.cassettes import format as files
from promptlab.cassettes.format import Entry
from promptlab.data.task import Task
from promptlab.models import prompts
from promptlab.records import Example, Model, Prediction, Prompt
from promptlab.scoring.evaluation import predict


def recorded(
    task: Task,
    prompt: Prompt,
    model: Model,
    examples: Sequence[Example],
    calls: Mapping[str, Entry],
    first: int = 0,
) -> dict[str, tuple[Prediction, ...]]:
    """Read all recorded answers about examples, by the example's id; what is not recorded is left out.

    `first` is the number of the first repeat to read.
    """
    found: dict[str, tuple[Prediction, ...]] = {}
    for example in examples:
        for repeat in itertools.count():
            entry = calls.get(files.message_key(prompts.build(prompt, example.text, model, first + repeat)))
            if entry is None:
                break
            row = predict(task, example, files.reply_of(entry), prompt, repeat)
            found[example.id] = (*found.get(example.id, ()), row)
    return found
