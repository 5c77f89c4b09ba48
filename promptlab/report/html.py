"""A page for the browser: one file, nothing loaded from elsewhere, every text escaped.

Model text is hostile input: the templates escape all they show, and the page runs no script.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from promptlab.optimizer.history import Run
from promptlab.records import shown
from promptlab.report.changes import diff
from promptlab.report.terminal import beside, conclusion
from promptlab.report.withheld import shown_files, withheld
from promptlab.scoring.evaluation import Evaluation
from promptlab.secrets import masked

if TYPE_CHECKING:
    import jinja2


def render(
    result: Run | Evaluation, provenance: str, baselines: Sequence[Evaluation] = (), *, texts: bool = True
) -> str:
    """Return the page of a run or an evaluation; of a run, `baselines` are those on test.

    Without `texts`, it shows ids only.
    """
    name = "run" if isinstance(result, Run) else "evaluation"
    if not texts:
        result = withheld(result, (result.test if isinstance(result, Run) else result).labels)
    given = {name: result, "provenance": provenance, "baselines": baselines}
    return _templates(texts).get_template(f"{name}.html").render(given)


def write(
    path: Path,
    result: Run | Evaluation,
    provenance: str,
    baselines: Sequence[Evaluation] = (),
    *,
    texts: bool = True,
) -> None:
    """Write the page of a run or an evaluation, into a folder that git ignores."""
    path.parent.mkdir(parents=True, exist_ok=True)
    (path.parent / ".gitignore").write_text("*\n")
    page = masked(render(result, provenance, baselines, texts=texts))
    path.write_text(page, encoding="utf-8", errors="replace")


@functools.cache
def _templates(texts: bool) -> jinja2.Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("promptlab.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    files = functools.partial(shown_files, texts=texts)
    environment.filters.update(diff=diff, conclusion=conclusion, files=files, shown=shown, beside=beside)
    return environment
