from __future__ import annotations

import json
import subprocess
import sys

import pytest

from ..conftest import ROOT


def measure(*arguments):
    command = [sys.executable, str(ROOT / "benchmarks/speed/bulk.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.thorough
def test_memory_does_not_grow_with_the_rows():
    """The figures of the benchmark, with fewer rows: 18,000 more take less than a hundred bytes each."""
    few, more = (measure("--rows", "200", "--rounds", "1", "--many", str(rows)) for rows in (2_000, 20_000))
    names = [figure["name"] for figure in more]
    assert "promptlab's rate, as a share of the bare loop's, median" in names
    assert "in one process: peak memory, imports included" == names[-1]
    assert more[-1]["value"] < 300
    assert more[-1]["value"] - few[-1]["value"] < 1.8
