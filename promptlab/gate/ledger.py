"""Which prompts have been judged on which test set: each look at it makes the next figure less of a test.

The ledger is a file of lines "task,examples,prompt", sorted; git may join those of two branches line by line.
"""

from collections.abc import Iterable
from pathlib import Path

from promptlab.data.task import Task
from promptlab.records import Prompt

HEADER = "task,examples,prompt"


def enter(path: Path, task: Task, prompts: Iterable[Prompt]) -> None:
    """Enter prompts that were judged on a task's test split; existing entries stay."""
    lines = read(path)
    new = lines | {_line(task, prompt) for prompt in prompts}
    if new != lines:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join([HEADER, *sorted(new)]) + "\n", encoding="utf-8", newline="\n")


def read(path: Path) -> set[str]:
    """Return the entries; none where there is no file."""
    if not path.exists():
        return set()
    return {line for line in path.read_text(encoding="utf-8").splitlines() if line.count(",") == 2} - {HEADER}


def count(path: Path, task: Task, prompts: Iterable[Prompt]) -> tuple[int, int]:
    """Count the prompts judged on a test split, these included: ever, and on the present examples."""
    entries = {tuple(line.split(",")) for line in read(path) | {_line(task, prompt) for prompt in prompts}}
    mine = [(examples, prompt) for name, examples, prompt in entries if name == task.name]
    return len({prompt for _, prompt in mine}), sum(examples == task.test_hash for examples, _ in mine)


def describe(path: Path, task: Task, prompts: Iterable[Prompt]) -> str:
    """Say how often the test split has been looked at."""
    ever, now = count(path, task, prompts)
    of = f", {now} of them on the current examples" if now != ever else ""
    return f"distinct prompts judged on the test split of {task.name} so far: {ever}{of}"


def _line(task: Task, prompt: Prompt) -> str:
    return f"{task.name},{task.test_hash},{prompt.id}"
