"""What is recorded of a prompt and a model on test, before they label anything."""

from pathlib import Path

from promptlab.cassettes import format as files
from promptlab.cassettes.format import Entry
from promptlab.data.task import Task
from promptlab.errors import DataError, RecordingError
from promptlab.records import Model, Prompt
from promptlab.scoring.evaluation import Evaluation, evaluation_of
from promptlab.scoring.recorded import recorded

NOT_TESTED = "not tested with this model"


def figures(task: Task, prompt: Prompt, model: Model, cassettes: Path) -> str:
    """Say in a line what the prompt and the model reached on test, by the recordings of all profiles."""
    found = on_test(task, prompt, model, cassettes)
    if found is None:
        return f"{NOT_TESTED}: no recording has its answers to all of test"
    each = ", ".join(map(str, found.figures))
    return f"on test: {each}; {found.size}"


def on_test(task: Task, prompt: Prompt, model: Model, cassettes: Path) -> Evaluation | None:
    """Return the recorded evaluation on test; None where not all of it is recorded."""
    try:
        examples = task.split("test")
    except DataError:
        return None
    for folder in sorted(cassettes.glob(f"*/{task.name}")):
        calls: dict[str, Entry] = {}
        for path in files.recordings(folder):
            try:
                calls |= files.read(path).calls
            except RecordingError:
                continue
        rows = recorded(task, prompt, model, examples, calls)
        if len(rows) == len(examples):
            repeats = min(map(len, rows.values()))
            each = [row for one in examples for row in rows[one.id][:repeats]]
            return evaluation_of(task, "test", prompt, each, model)
    return None
