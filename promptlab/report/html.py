"""A page for the browser: one file, nothing loaded from elsewhere, every text escaped.

Texts of models and data are hostile input: the templates escape all they show, the page's one script is
allowed by its hash, and it writes what is embedded as text alone.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptlab.gate.decide import Decision
from promptlab.models.prompts import DEMONSTRATIONS, FILES
from promptlab.optimizer.history import Run
from promptlab.records import Prompt, shown
from promptlab.report import changes, pictures, replies
from promptlab.report.markdown import TURNING
from promptlab.report.terminal import beside, conclusion
from promptlab.report.withheld import labels_of, shown_files, withheld
from promptlab.scoring.evaluation import Evaluation
from promptlab.secrets import masked

if TYPE_CHECKING:
    import jinja2

TEMPLATES = Path(__file__).parent / "templates"
FIRST_ROWS = 20  # replies that are shown where no script runs
#: Of the table of replies: by what a column is sorted, its name and its width.
COLUMNS = (
    ("result", "Result", "short"),
    ("text", "Text", ""),
    ("label", "Label", "short"),
    ("answer", "Answered", "short"),
    ("reply", "Reply", ""),
)
#: What could end a script element, or a line of it.
ENDING = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}


def render(
    result: Run | Evaluation | Decision,
    provenance: str,
    baselines: Sequence[Evaluation] = (),
    *,
    texts: bool = True,
) -> str:
    """Return the page of a run, an evaluation or a prompt against its base.

    `baselines` are the results without a model, of a run those on test. Without `texts`, it shows ids only.
    A decision without a comparison has no page.
    """
    if not texts:
        result = withheld(result, labels_of(result))
    kind, group, panels = _parts(result, baselines)
    script = (TEMPLATES / "page.js").read_text(encoding="utf-8")
    given = {
        "result": result,
        "provenance": provenance,
        "baselines": baselines,
        "group": group,
        "table": replies.table(group),
        "panels": panels,
        "axis": pictures.Axis,
        "prompts": _prompts(result, group),
        "script": script,
        "style": (TEMPLATES / "page.css").read_text(encoding="utf-8"),
        "hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    }
    return _templates(texts).get_template(f"{kind}.html").render(given)


def write(
    path: Path,
    result: Run | Evaluation | Decision,
    provenance: str,
    baselines: Sequence[Evaluation] = (),
    *,
    texts: bool = True,
) -> None:
    """Write the page of a result, into a folder that git ignores."""
    path.parent.mkdir(parents=True, exist_ok=True)
    (path.parent / ".gitignore").write_text("*\n")
    page = render(result, provenance, baselines, texts=texts)
    path.write_text(page, encoding="utf-8", errors="replace")


def _parts(
    result: Run | Evaluation | Decision, baselines: Sequence[Evaluation]
) -> tuple[str, replies.Group, tuple[pictures.Panel, ...]]:
    """Return the name of the page's template, its evaluations and its picture."""
    if isinstance(result, Run):
        return "run", replies.of_run(result), pictures.of_run(result, baselines)
    if isinstance(result, Evaluation):
        return "evaluation", replies.Group((result,)), pictures.of_evaluation(result, baselines)
    assert result.comparison, "a decision without a comparison has no page"
    return "decision", replies.of_comparison(result.comparison), pictures.of_comparison(result.comparison)


def _prompts(result: Run | Evaluation | Decision, group: replies.Group) -> dict[Prompt, str]:
    """Return the distinct prompts with their names, in the order of a run, else the base first."""
    if not isinstance(result, Run):
        return {one.prompt: one.subject for one in reversed(group.evaluations) if one.prompt is not None}
    named = {one.prompt: one.subject for one in result.evaluations}
    tried = (one.prompt for step in result.history for one in (*step.parents, *step.candidates))
    return {one: named.get(one, f"prompt {one.id}") for one in (result.first, *tried)}


def _readable(text: str) -> str:
    """Mask keys, and name the controls that make text read otherwise than it is written."""
    return re.sub(TURNING, lambda sign: f"(U+{ord(sign[0]):04X})", masked(text))


def _embedded(value: Any) -> str:
    """Write data as JSON that ends no script element."""
    import markupsafe

    return markupsafe.Markup(json.dumps(_cleaned(value), ensure_ascii=False).translate(ENDING))  # noqa: S704


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return _readable(value)
    if isinstance(value, dict):
        return {name: _cleaned(field) for name, field in value.items()}
    return [*map(_cleaned, value)] if isinstance(value, list) else value


def _files(prompt: Prompt, *, texts: bool) -> dict[str, str]:
    """Return the texts of a prompt's files; demonstrations as people read them."""
    files = shown_files(prompt, texts=texts)
    if texts and prompt.demonstrations:
        files[DEMONSTRATIONS] = "".join(f"{one.text}\n→ {one.reply}\n\n" for one in prompt.demonstrations)
    return {name: _readable(text) for name, text in files.items()}


def _changes(old: Prompt, new: Prompt, *, texts: bool) -> dict[str, list[tuple[str, str]]]:
    """Return the pieces of each file of two prompts; demonstrations come and go as wholes."""
    before, after = (_files(one, texts=texts) for one in (old, new))
    pieces = {name: changes.PARAGRAPHS if name == DEMONSTRATIONS else changes.WORDS for name in FILES}
    return {
        name: [*changes.diff(before.get(name, ""), after.get(name, ""), pieces[name])]
        for name in FILES
        if name in before or name in after
    }


@functools.cache
def _templates(texts: bool) -> jinja2.Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("promptlab.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: _readable(value) if type(value) is str else value,
    )
    environment.filters.update(
        beside=beside,
        changes=functools.partial(_changes, texts=texts),
        conclusion=conclusion,
        embedded=_embedded,
        files=functools.partial(_files, texts=texts),
        heat=pictures.heat,
        shown=shown,
    )
    environment.globals.update(filters=replies.FILTERS, first_rows=FIRST_ROWS, columns=COLUMNS)
    environment.tests["marked"] = lambda marks, mark: mark in marks
    return environment
