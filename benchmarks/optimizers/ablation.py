"""What each proposer adds on `duplicates`: the search without it, on validation.

`python -m benchmarks.optimizers.ablation [SEED ...]`. What the recorded runs asked is answered from their
recordings, what the log holds from the log, the rest once by the model. The test split is not read: every
question about it gets an empty reply.
"""

import argparse
import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import promptlab as pl
from benchmarks.duplicates.task import HERE as DUPLICATES
from benchmarks.duplicates.task import task
from benchmarks.optimizers.proxy import Log, line_of, logging
from benchmarks.short import CLASSIFIER
from promptlab.cassettes import format as files
from promptlab.models import profiles
from promptlab.optimizer import proposers

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
CRITIC = profiles.read(ROOT / "pyproject.toml", live=True, name="local").critic
GROUPS = {
    "nothing": (),
    **{one.__name__: (one,) for one in pl.PROPOSERS},
    "all that show examples": (
        proposers.balanced,
        proposers.mistaken,
        proposers.reasoned,
        proposers.crossed,
    ),
    "all that ask the critic": proposers.ASKING,
}


class Ablation(Log):
    """A log that does not ask about test."""

    texts = tuple(one.text for one in task.splits["test"])

    def answer(self, body: bytes, upstream: str) -> dict[str, Any]:
        """Return the reply to a request; an empty one about an example of test."""
        if json.loads(body)["messages"][-1]["content"].endswith(self.texts):
            return self.message(line_of(json.loads(body), EMPTY, 0.0, CLASSIFIER, "test"))
        return super().answer(body, upstream)


EMPTY = {
    "content": [],
    "stop_reason": "end_turn",
    "model": CLASSIFIER.name,
    "usage": {"input_tokens": 0, "output_tokens": 0},
}


def recorded(seed: int) -> Iterator[dict[str, Any]]:
    """Read the calls of a recorded run, as lines of a log."""
    path = ROOT / "cassettes/local/duplicates" / f"optimize-{seed}.jsonl"
    for entry in files.read(path).calls.values():
        body, reply = entry["request"]["body"], entry["response"]["body"]
        yield line_of(body, reply, entry["seconds"], CLASSIFIER, "search")


def search(seed: int, without: Iterable[proposers.Proposer]) -> pl.Run:
    """Search without some proposers."""
    log = Ablation(HERE / "logs" / f"ablation-{seed}.jsonl", CLASSIFIER, recorded(seed))
    assert CLASSIFIER.base_url
    with logging(log, CLASSIFIER.base_url) as url:
        return pl.optimize(
            task,
            prompt=DUPLICATES / "first",
            classifier=replace(CLASSIFIER, base_url=url),
            critic=replace(CRITIC, base_url=url),
            proposers=[one for one in pl.PROPOSERS if one not in without],
            seed=seed,
        )


def main() -> None:
    """Print the figure on validation of what each search chose, and who proposed it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seeds", nargs="*", type=int, default=[0, 1])
    seeds = parser.parse_args().seeds
    print(f"{'without':24}", *(f"{f'seed {seed}':24}" for seed in seeds), sep="  ")
    for name, without in GROUPS.items():
        print(f"{name:24}", *(f"{chosen(seed, without):24}" for seed in seeds), sep="  ", flush=True)


def chosen(seed: int, without: Iterable[proposers.Proposer]) -> str:
    """Describe the prompt that a search without some proposers chooses."""
    best = search(seed, without).finalists[0]
    assert best.validation
    return f"{best.validation.primary:.3f} {best.proposer}"


if __name__ == "__main__":
    main()
