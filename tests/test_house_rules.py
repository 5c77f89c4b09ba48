"""The rules of the house that a machine can check."""

from __future__ import annotations

import ast
import io
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

import promptlab

from .conftest import ROOT

PACKAGE = Path(promptlab.__file__).parent

#: A module imports only from rungs below its own.
LADDER = [
    {"errors", "intervals", "secrets", "spelling", "sharing"},
    {"naming", "commits"},
    {"answer_lines"},
    {"extract"},
    {"json_labels", "phrases", "reading", "records", "network", "journal", "paired"},
    {"strategies", "scores"},
    {"checks", "evaluations", "entries", "sampling", "readers", "profiles", "wire"},
    {"cassette_file", "datasets", "models"},
    {"vcr_forms", "archive", "prompts", "metrics", "comparisons", "power", "changes", "ledger"},
    {"cassettes", "snapshots", "history", "pairs"},
    {"evidence", "gate", "report.lines", "report.literals", "report.words"},
    {"proposal", "report.page", "report.markdown"},
    {"critique", "verify"},
    {"loop"},
    {"runner"},
    {"lab", "options", "terminal", "verdicts"},
    {"pytest_plugin", "cli", "__init__", "report.__init__"},
]


def modules() -> dict[str, Path]:
    paths = sorted(PACKAGE.rglob("*.py"))
    return {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in paths}


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("promptlab"):
            base = node.module.removeprefix("promptlab").removeprefix(".")
            for alias in node.names:
                name = f"{base}.{alias.name}".strip(".")
                found.add(name if name in modules() else base)
    return found - {""}


def test_every_module_stands_on_a_rung():
    assert sorted(modules()) == sorted(name for rung in LADDER for name in rung)


@pytest.mark.parametrize("name", sorted(modules()))
def test_a_module_imports_only_from_lower_rungs(name):
    rung = next(n for n, names in enumerate(LADDER) if name in names)
    below = {lower for names in LADDER[:rung] for lower in names}
    assert imported(modules()[name]) <= below


HEAVY = ("anthropic", "sklearn", "pandas", "numpy", "vcr", "jinja2", "hypothesis")


@pytest.mark.parametrize("module", ["promptlab", "promptlab.pytest_plugin", "promptlab.options"])
def test_importing_it_loads_no_heavy_package(module):
    code = f"import sys, {module}; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "[]\n" == done.stdout


def test_a_session_that_does_not_use_lab_loads_no_heavy_package(pytester):
    pytester.makepyfile(
        f"""
        import sys

        def test_it():
            assert [] == [name for name in {HEAVY!r} if name in sys.modules]
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:hypothesispytest", "-p", "no:anyio")
    result.assert_outcomes(passed=1)


def test_every_public_name_can_be_loaded():
    for name in promptlab.__all__:
        assert getattr(promptlab, name)


def test_no_module_hides_a_public_name():
    """Importing promptlab.x binds x in the package, whatever was there."""
    assert not set(modules()) & set(promptlab.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="optimise"):
        promptlab.optimise  # noqa: B018


def lines_of_code(path: Path) -> int:
    """Count the lines that do something: blank lines, comments and docstrings are free."""
    source = path.read_text(encoding="utf-8")
    numbers = {
        number
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type
        not in (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
        for number in range(token.start[0], token.end[0] + 1)
    }
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            numbers -= set(range(node.lineno, (node.end_lineno or 0) + 1))
    return len(numbers)


@pytest.mark.parametrize("name", sorted(modules()))
def test_a_module_has_one_reason_to_change(name):
    assert len(modules()[name].read_text(encoding="utf-8").splitlines()) <= 250


def test_the_package_is_small():
    assert sum(map(lines_of_code, modules().values())) < 5000


def test_committed_files_hold_no_key():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout, so nothing is committed")
    for name in listed.stdout.splitlines():
        assert b"sk-" + b"ant-" not in (ROOT / name).read_bytes(), name
