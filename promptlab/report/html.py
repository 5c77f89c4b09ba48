"""A page for the browser: one file, nothing loaded from elsewhere, every text escaped.

Model text is hostile input: the templates escape all they show, and the page runs no script.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from promptlab.models.prompts import files_of
from promptlab.optimizer.history import Run
from promptlab.records import shown
from promptlab.report.changes import diff
from promptlab.report.terminal import beside, conclusion
from promptlab.scoring.evaluation import Evaluation
from promptlab.secrets import masked

if TYPE_CHECKING:
    import jinja2


def render(result: Run | Evaluation, provenance: str, baselines: Sequence[Evaluation] = ()) -> str:
    """Return the page of a run or an evaluation; of a run, `baselines` are those on test."""
    name = "run" if isinstance(result, Run) else "evaluation"
    given = {name: result, "provenance": provenance, "baselines": baselines}
    return _templates().get_template(f"{name}.html").render(given)


def write(
    path: Path, result: Run | Evaluation, provenance: str, baselines: Sequence[Evaluation] = ()
) -> None:
    """Write the page of a run or an evaluation, into a folder that git ignores."""
    path.parent.mkdir(parents=True, exist_ok=True)
    (path.parent / ".gitignore").write_text("*\n")
    path.write_text(masked(render(result, provenance, baselines)), encoding="utf-8", errors="replace")


@functools.cache
def _templates() -> jinja2.Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("promptlab.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(diff=diff, conclusion=conclusion, files=files_of, shown=shown, beside=beside)
    return environment
