"""Runs commands for tests to kill: a line of JSON each; prints the process's id, then how it ended.

Each runs in a process that is forked from this one, which has loaded what takes seconds to load.
"""

from __future__ import annotations

import importlib
import json
import os
import sys

from promptlab import cli
from promptlab.bulk import batches
from promptlab.models import message_batches


def main() -> None:
    """Run what is asked for, one at a time."""
    for name in ("anthropic", "httpcore2", "pandas", "promptlab.bulk.files"):
        importlib.import_module(name)
    batches.POLLED = batches.SELDOM = batches.SETTLED = message_batches.LONGEST_WAIT = 0.01
    batches.MOST = 8
    for line in sys.stdin:
        folder, arguments = json.loads(line)
        process = os.fork()
        if not process:
            run(folder, arguments)
        say(process)
        say(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))


def run(folder: str, arguments: list[str]) -> None:
    """Run a command and end the process with its exit status."""
    os.chdir(folder)
    with open("said.txt", "a", encoding="utf-8", buffering=1) as sys.stderr:  # noqa: PTH123
        sys.stdout = sys.stderr
        os._exit(cli.main(arguments))


def say(number: int) -> None:
    """Print a number at once."""
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
