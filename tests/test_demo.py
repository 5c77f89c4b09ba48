"""The recorded benchmark, replayed in processes of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

import promptlab as pl
from benchmarks import demo
from benchmarks.duplicates.task import HERE, task
from promptlab.models.profiles import read
from promptlab.plugin.lab import Lab, Settings
from promptlab.plugin.results import Results

from .conftest import ROOT

REFUSING = """
import sys

def refuse(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto", "socket.bind"):
        if not event == "socket.connect" or isinstance(args[1], tuple):
            raise RuntimeError(f"a socket was used: {event} {args[1:]}")

sys.addaudithook(refuse)
"""

SUMMARIZE = """
import hashlib, json, sys
from pathlib import Path
from promptlab.plugin.lab import Lab, Settings
from promptlab.plugin.results import Results
from promptlab.models.profiles import read
from benchmarks.insincere.task import SETTINGS, task

profile = read(Path("pyproject.toml"), live=False)
lab = Lab(Settings(Path("."), profile, "local", "replay", Path(sys.argv[2])), Results())
run = lab.optimize(task, **SETTINGS, workers=int(sys.argv[1]))
page = Path(sys.argv[2], "insincere-optimize.html").read_bytes()
print(json.dumps([repr(run.history), repr(run), hashlib.sha256(page).hexdigest()]))
"""


def benchmarks(*command: str, of: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    pytest_command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"benchmarks/{of}", "-v"]
    return subprocess.run(
        [*command, *pytest_command],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


def test_a_replayed_session_uses_no_socket(tmp_path):
    (tmp_path / "refusing.py").write_text(REFUSING)
    done = benchmarks(of="insincere", PYTHONPATH=str(tmp_path), PYTEST_PLUGINS="refusing")
    assert (0, "") == (done.returncode, done.stderr), done.stdout
    assert "insincere: iteration 3/3" in done.stdout


@pytest.mark.thorough
def test_the_demo_tells_both_acts_in_under_40_lines_and_its_figures_are_computed(capsys, tmp_path):
    """Against what the library says of the same recordings by itself."""
    demo.main()
    shown = capsys.readouterr().out
    assert len(shown.splitlines()) < 40
    assert max(map(len, shown.splitlines())) < 180
    profile = read(ROOT / "pyproject.toml", live=False, name="local")
    lab = Lab(Settings(ROOT, profile, "local", "replay", tmp_path), Results())
    run = demo.optimization()
    _, first, second = shown.split("ACT ")
    won = run.comparison
    assert "better" == won.verdict
    assert f"macro F1 on test {run.test_first.macro_f1:.3f} -> {run.test.macro_f1:.3f}\n" in first
    assert f"  {len(won.fixed)} fixed, {len(won.broken)} broken of 208 test examples" in first
    assert (
        f"{won.difference.point:+.3f}, plausibly {won.difference.low:+.3f} to {won.difference.high:+.3f} "
        in first
    )
    assert f" {run.usage.calls} calls to qwen2.5-coder-1.5b-instruct, " in first
    base, new = (
        lab.evaluate(task, HERE / prompt, name=f"{prompt}-test", split="test")
        for prompt in ("eight", "written")
    )
    lost = pl.compare(base, new)
    assert "worse" == lost.verdict
    assert (
        f"Worse, do not merge: {len(lost.broken)} broken, {len(lost.fixed)} fixed (see these three)\n"
        in second
    )
    assert f"  macro F1 {base.macro_f1:.3f} -> {new.macro_f1:.3f} on 208 test examples: " in second
    assert list(lost.broken[:3]) == re.findall(r"^  (d\d+): '", second, re.MULTILINE)
    assert f"  and {len(lost.broken) - 3} more broken\n" in second
    assert "\nThe check fails, so this pull request is stopped.\n" in second


@pytest.mark.thorough
def test_every_figure_in_the_readmes_is_printed_by_the_benchmarks():
    printed = benchmarks().stdout.splitlines()
    for name in ("README.md", "docs/results.md", "benchmarks/optimizers/README.md"):
        readme = (ROOT / name).read_text(encoding="utf-8")
        quoted = "".join(re.findall(r"```text\n(.*?)```", readme, re.DOTALL)).splitlines()
        assert quoted
        for line in filter(None, quoted):
            assert any(one.startswith(line) for one in printed), line


@pytest.mark.thorough
def test_a_replayed_session_passes_without_a_network():
    """In a network namespace of its own, there is no route and even loopback is down."""
    alone = ["unshare", "--map-root-user", "--net"]
    if not shutil.which("unshare") or subprocess.run([*alone, "true"], capture_output=True).returncode:
        pytest.skip("this system gives no network namespaces (Linux, util-linux)")
    done = benchmarks(*alone)
    assert 0 == done.returncode, done.stdout
    assert "insincere: optimize" in done.stdout


@pytest.mark.thorough
def test_hash_seed_and_workers_change_no_byte(tmp_path):
    runs = []
    for seed, workers in [("0", "1"), ("1", "16"), ("2", "3")]:
        done = subprocess.run(
            [sys.executable, "-c", SUMMARIZE, workers, str(tmp_path / seed)],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        runs.append(json.loads(done.stdout.splitlines()[-1]))
    assert runs[0] == runs[1] == runs[2]
