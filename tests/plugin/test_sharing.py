"""Work that several processes need is done by one of them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from promptlab.plugin.sharing import turn

CODE = """
import sys, time
from pathlib import Path
from promptlab.plugin.sharing import turn

folder = Path(sys.argv[1])

with turn(folder, "name") as slot:
    done = slot.value is None
    if done:
        with (folder / "done.txt").open("a") as file:
            file.write("x")
        time.sleep(0.2)
        slot.value = {"figure": 0.5}
print(slot.value, done)
"""


def done(folder, name, value):
    """Do work, or take its result over: (result, whether it was done here)."""
    with turn(folder, name) as slot:
        here = slot.value is None
        slot.value = slot.value or value
    return slot.value, here


def test_of_several_processes_one_does_the_work(tmp_path):
    run = [sys.executable, "-c", CODE, str(tmp_path)]
    processes = [subprocess.Popen(run, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    printed = sorted(process.communicate()[0] for process in processes)
    assert ["{'figure': 0.5} False\n"] * 3 + ["{'figure': 0.5} True\n"] == printed
    assert "x" == (tmp_path / "done.txt").read_text()


def test_other_work_is_done_for_itself(tmp_path):
    assert (1, True) == done(tmp_path, "a", 1)
    assert (2, True) == done(tmp_path, "b", 2)
    assert (1, False) == done(tmp_path, "a", 3)


def test_what_fails_is_not_shared(tmp_path):
    with pytest.raises(ZeroDivisionError), turn(tmp_path, "a") as slot:
        slot.value = 1 / 0
    assert (1, True) == done(tmp_path, "a", 1)


def test_a_result_that_does_not_fit_is_not_replaced(tmp_path):
    done(tmp_path, "a", 1)
    with turn(tmp_path, "a") as slot:
        slot.value = 2
    assert (1, False) == done(tmp_path, "a", 3)


def test_one_process_needs_no_folder():
    assert (1, True) == done(None, "a", 1)
