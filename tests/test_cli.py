from __future__ import annotations

import os
import subprocess
import sys

import pytest

import promptlab


@pytest.mark.parametrize("command", [["-m", "promptlab"], ["-c", "import promptlab.cli as c; c.main()"]])
def test_the_command_says_its_version(command, tmp_path):
    done = subprocess.run(
        [sys.executable, *command, "--version"], cwd=tmp_path, capture_output=True, text=True
    )
    assert (0, f"promptlab {promptlab.__version__}\n", "") == (done.returncode, done.stdout, done.stderr)


def test_python_m_promptlab_is_the_command_with_its_exit_status(tmp_path):
    broken = tmp_path / "broken.jsonl"
    broken.write_text("")
    command = [sys.executable, "-m", "promptlab", "cassettes", "verify", os.fspath(broken)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert 1 == done.returncode
    assert done.stdout.endswith("1 checked, 1 problem\n")
