"""The example in docs/classify.md on a Ray cluster of this machine, with a worker that is killed: `nox -s ray`."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time

import pandas
import pytest

import promptlab as pl

from .. import examples
from ..conftest import ROOT
from ..server import serving

(EXAMPLE,) = re.findall(
    r"```python\n(import os\n.*?)```", (ROOT / "docs/classify.md").read_text(encoding="utf-8"), re.DOTALL
)
pytestmark = pytest.mark.filterwarnings(r"ignore:::ray\..*")  # it warns of settings of its own
ROWS = 400
KILLED_AT = 100  # calls
TASK = """
import promptlab as pl

def read(reply):
    return pl.tagged("label")(reply)

task = pl.Task(
    name="topics", examples=pl.read_csv("topics.csv"), labels=("weather", "food"), brief="Weather or food?",
    extract=read, answer_format="<label>LABEL</label>",
)
"""


class Killer:
    """Answers as a model does, and kills one of two workers that are at work, once."""

    def __init__(self):
        self.lock, self.asked, self.killed = threading.Lock(), [], None

    def __call__(self, body):
        with self.lock:  # all answers wait until both are at work
            self.asked.append(body["messages"][-1]["content"])
            if len(self.asked) == KILLED_AT:
                self.killed = self.kill()
        return examples.answer(body)

    def kill(self):
        for _ in range(600):
            if len(found := at_work()) == 2:
                os.kill(found[0], signal.SIGKILL)
                return found[0]
            time.sleep(0.1)
        raise AssertionError(f"expected two workers, found {found}")


def at_work():
    """Return the processes that this one has begun, itself or through others, and in which a labeller runs."""
    listed = subprocess.run(["ps", "-Ao", "pid=,ppid=,args="], capture_output=True, text=True, check=True)
    lines = [line.split(None, 2) for line in listed.stdout.splitlines()]
    parents = {int(pid): int(parent) for pid, parent, *_ in lines}
    names = {int(pid): " ".join(rest) for pid, _, *rest in lines}

    def ours(pid):
        return pid == os.getpid() or (pid in parents and pid > 1 and ours(parents[pid]))

    return [pid for pid, name in names.items() if "ray::MapBatches(Labeller)" in name and ours(pid)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A cluster on loopback that reports to nobody, in a project with a task, a prompt and rows."""
    folder = tmp_path_factory.mktemp("project")
    rows = "".join(f"{e.text},{e.label}\n" for e in examples.examples())
    (folder / "topics.csv").write_text("text,label\n" + rows)
    (folder / "test_topics.py").write_text(TASK)
    lines = "".join(f"{number},Sentence {number}\n" for number in range(ROWS))
    (folder / "rows.csv").write_text(f"id,text\n{lines}")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(folder)  # workers import from there, too
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # on Linux too: loopback alone
        import ray

        pl.save_prompt(pl.Prompt("Better", "<", ">"), "prompt")
        ray.init(num_cpus=2, include_dashboard=False)
        yield ray
        ray.shutdown()


def test_two_workers_label_as_one_process_does_though_one_is_killed(cluster, monkeypatch, capsys):
    model = Killer()
    with serving(model) as server:
        monkeypatch.setenv("MODEL_URL", server.url)
        known = {}
        exec(EXAMPLE, known)
        done = pandas.read_parquet("labels").sort_values("id", ignore_index=True)
        twice = len(model.asked) - len(set(model.asked))
        alone = known["labeller"](pandas.read_csv("rows.csv"))
    assert model.killed
    assert ROWS == len(set(model.asked))
    assert alone["label"].to_list() == done["label"].to_list()
    assert [examples.LABELS[number % 2] for number in range(ROWS)] == done["label"].to_list()
    assert done["reason"].isna().all()
    said = f"{ROWS} rows, two workers, one killed after {KILLED_AT} calls: {twice} calls were made twice"
    with capsys.disabled():
        sys.stdout.write(f"\n{said}\n")


def test_actors_label_as_one_process_does(cluster):
    """A pool of actors takes the class, and makes an instance in each."""
    from test_topics import task

    with serving(examples.answer) as server:
        settings = {"classifier": examples.model(server.url), "processes": 2}
        rows = cluster.data.from_pandas(pandas.read_csv("rows.csv")[:40]).repartition(4)
        made = {"fn_constructor_args": (task, "prompt"), "fn_constructor_kwargs": settings}
        actors = {"compute": cluster.data.ActorPoolStrategy(size=2), "num_cpus": 0.1}
        done = rows.map_batches(pl.Labeller, batch_format="pandas", **made, **actors).to_pandas()
    assert 40 == len(server.bodies)
    labels = dict(zip(done["id"], done["label"], strict=True))
    assert {number: examples.LABELS[number % 2] for number in range(40)} == labels


def test_the_example_is_ten_lines():
    assert 10 >= len([line for line in EXAMPLE.splitlines() if line])
