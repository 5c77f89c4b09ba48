from __future__ import annotations

import subprocess
import sys

import pytest

from promptlab.plugin.sharing import once

CODE = """
import sys, time
from pathlib import Path
from promptlab.plugin.sharing import once

folder = Path(sys.argv[1])

def work():
    with (folder / "done.txt").open("a") as file:
        file.write("x")
    time.sleep(0.2)
    return {"figure": 0.5}

print(once(folder, "name", work))
"""


def test_of_several_processes_one_does_the_work(tmp_path):
    run = [sys.executable, "-c", CODE, str(tmp_path)]
    processes = [subprocess.Popen(run, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    told = sorted(process.communicate()[0] for process in processes)
    assert ["({'figure': 0.5}, False)\n"] * 3 + ["({'figure': 0.5}, True)\n"] == told
    assert "x" == (tmp_path / "done.txt").read_text()


def test_other_work_is_done_for_itself(tmp_path):
    assert (1, True) == once(tmp_path, "a", lambda: 1)
    assert (2, True) == once(tmp_path, "b", lambda: 2)
    assert (1, False) == once(tmp_path, "a", lambda: 3)


def test_what_fails_is_not_shared(tmp_path):
    with pytest.raises(ZeroDivisionError):
        once(tmp_path, "a", lambda: 1 / 0)
    assert (1, True) == once(tmp_path, "a", lambda: 1)


def test_one_process_needs_no_folder():
    assert (1, True) == once(None, "a", lambda: 1)
