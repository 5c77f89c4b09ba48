"""The notebook docs/tour.ipynb shows what it shows when it is executed."""

from __future__ import annotations

import os
import subprocess
import sys

import nbformat
import pytest

from .conftest import ROOT
from .tour import TOUR

SHOWN = ("text/plain", "text/html")


def outputs(path):
    """Return the source and what is shown of every cell, images excepted."""
    return [
        (cell.id, cell.source, [shown(one) for one in cell.get("outputs", [])])
        for cell in nbformat.read(path, as_version=4).cells
    ]


def shown(output):
    data = output.get("data", {})
    return output.output_type, output.get("text"), {kind: data[kind] for kind in SHOWN if kind in data}


def test_the_tour_is_short_and_whole():
    notebook = nbformat.read(TOUR, as_version=4)
    nbformat.validate(notebook)
    assert len(notebook.cells) <= 14
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [*range(1, len(code) + 1)] == [cell.execution_count for cell in code]
    assert all(cell.outputs for cell in code)
    assert ["plot"] == [c.id for c in code if any("image/png" in one.get("data", {}) for one in c.outputs)]
    assert TOUR.stat().st_size < 100_000


def test_the_tour_names_no_path_of_a_machine():
    text = TOUR.read_text(encoding="utf-8")
    assert os.fspath(ROOT) not in text
    assert " at 0x" not in text


@pytest.mark.thorough
def test_the_tour_shows_what_it_shows_when_it_is_executed(tmp_path):
    quiet = {
        name: value for name, value in os.environ.items() if not name.startswith(("ANTHROPIC_", "PYTEST_"))
    }
    command = [sys.executable, "-m", "tests.tour", os.fspath(tmp_path / "tour.ipynb")]
    done = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True)
    assert 0 == done.returncode, done.stderr
    assert outputs(TOUR) == outputs(tmp_path / "tour.ipynb")
