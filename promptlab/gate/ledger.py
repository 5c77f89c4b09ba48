"""Which prompts have been judged on which test set, in how many recordings: each look makes it less of one.

The ledger is a file of lines "task,examples,prompt,recording", sorted; git may join those of two branches
line by line. Lines from before recordings were entered lack the last field.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from promptlab.data.task import Task
from promptlab.scoring.evaluation import Evaluation

HEADER = "task,examples,prompt,recording"
FIELDS = (3, 4)


class Look(NamedTuple):
    """A prompt that was judged on a test set, by what was answered; the prompt's id, hashes of the rest."""

    task: str
    examples: str
    prompt: str
    recording: str = ""


def enter(path: Path, task: Task, judged: Iterable[Evaluation]) -> None:
    """Enter what was judged on a task's test split; existing entries stay."""
    known = read(path)
    new = known | {_look(task, one) for one in judged}
    if new != known:
        write(path, new)


def write(path: Path, looks: Iterable[Look]) -> None:
    """Write entries, sorted."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [HEADER, *(",".join(look) for look in sorted(looks))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def read(path: Path) -> set[Look]:
    """Return the entries; none where there is no file."""
    return parse(path.read_text(encoding="utf-8")) if path.exists() else set()


def parse(text: str) -> set[Look]:
    """Return the entries in a file's text."""
    fields = (line.split(",") for line in text.splitlines())
    return {Look(*one) for one in fields if len(one) in FIELDS and one[:2] != ["task", "examples"]}


def count(
    paths: Iterable[Path], task: Task, judged: Iterable[Evaluation], *, other: bool = False
) -> tuple[int, int, int]:
    """Count what was judged on a test split, by several ledgers, this included.

    Returns:
        The prompts ever, those on the present examples, and the recordings of these; with `other`, the
        recordings ever: another label makes other examples, but not a test split that nobody has looked at.
    """
    known = set().union(*map(read, paths), (_look(task, one) for one in judged))
    mine = [one for one in known if one.task == task.name]
    now = [one for one in mine if one.examples == task.test_hash]
    looks = mine if other else now
    recorded = {one[2:] for one in looks if one.recording}
    alone = {one.prompt for one in looks} - {prompt for prompt, _ in recorded}
    return len({one.prompt for one in mine}), len({one.prompt for one in now}), len(recorded) + len(alone)


def describe(path: Path, task: Task, judged: Iterable[Evaluation]) -> str:
    """Say how often the test split has been looked at."""
    ever, now, recordings = count([path], task, judged)
    of = f", {now} of them on the current examples" if now != ever else ""
    times = f", in {recordings} recordings" if recordings != now else ""
    return f"distinct prompts judged on the test split of {task.name} so far: {ever}{of}{times}"


def _look(task: Task, judged: Evaluation) -> Look:
    digest = hashlib.blake2b(digest_size=4)
    for row in sorted(judged.rows, key=lambda row: (row.example.id, row.repeat)):
        digest.update(f"{row.example.id}\0{row.repeat}\0{row.reply.text}\0".encode(errors="surrogatepass"))
    return Look(task.name, task.test_hash, judged.asked_with.id, digest.hexdigest())
