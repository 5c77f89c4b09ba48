"""Execute docs/tour.ipynb: `python -m tests.tour [TARGET]` writes it with its outputs, by default in place."""

from __future__ import annotations

import sys
from pathlib import Path

import nbclient
import nbformat

TOUR = Path(__file__).parent.parent / "docs/tour.ipynb"


def execute(target: Path) -> None:
    """Run every cell from the folder of the notebook, as Jupyter does, and write what they show."""
    notebook = nbformat.read(TOUR, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=300, record_timing=False, resources={"metadata": {"path": TOUR.parent}}
    )
    client.execute()
    notebook.metadata = {"kernelspec": notebook.metadata["kernelspec"]}  # no version of anything
    nbformat.write(notebook, target)


if __name__ == "__main__":
    execute(Path(sys.argv[1]) if len(sys.argv) > 1 else TOUR)
