"""The rules of the house that a machine can check."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

import promptlab

from .conftest import ROOT

PACKAGE = Path(promptlab.__file__).parent

#: The rooms, in order: a module imports from its own room and from those above it. Imports inside
#: functions count, and so do those for type checkers.
ROOMS = (
    {"errors", "records", "secrets", "network"},
    {"labels"},
    {"data"},
    {"models"},
    {"cassettes"},
    {"scoring"},
    {"optimizer"},
    {"gate"},
    {"bulk"},
    {"report"},
    {"plugin"},
    {"scaffold"},
    {"cli", "__main__"},
)
LONGEST_CHAIN = 14  # modules that import one another in a row


def modules() -> dict[str, Path]:
    """Map every module of the package to its file, by its name within the package."""
    paths = sorted(PACKAGE.rglob("*.py"))
    return {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in paths}


def imports(path: Path, *, top_level: bool = False) -> set[str]:
    """Return the modules of the package that a file imports: everywhere, or only when it is loaded."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if top_level else ast.walk(tree)
    found = set()
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "promptlab":
            base = node.module.removeprefix("promptlab").removeprefix(".")
            for alias in node.names:
                name = f"{base}.{alias.name}".strip(".")
                found.add(name if name in modules() else base)
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
            found |= {name.removeprefix("promptlab.") for name in names if name.startswith("promptlab.")}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative imports hide which room they reach"
    return found - {""}


def floor(name: str) -> int:
    """Return the number of a module's room, counted from the top."""
    (number,) = [n for n, rooms in enumerate(ROOMS) if name.split(".")[0] in rooms]
    return number


NAMES = sorted(set(modules()) - {"__init__"})  # the package itself names every public home


@pytest.mark.parametrize("name", NAMES)
def test_a_module_imports_only_from_its_own_room_and_those_above(name):
    below = {other for other in imports(modules()[name]) if floor(other) > floor(name)}
    assert set() == below


def test_no_module_imports_itself_by_way_of_others():
    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join([*path, name])
        if name not in done:
            for other in imports(modules()[name]) & set(NAMES):
                visit(other, (*path, name))
            done.add(name)

    done: set[str] = set()
    for name in NAMES:
        visit(name, ())


def test_chains_of_imports_are_short():
    @functools.cache
    def chain(name: str) -> tuple[str, ...]:
        longest = max(map(chain, imports(modules()[name], top_level=True)), key=len, default=())
        return (name, *longest)

    longest = max(map(chain, NAMES), key=len)
    assert len(longest) <= LONGEST_CHAIN, " -> ".join(longest)


def test_no_module_has_the_name_of_a_public_function():
    """Importing promptlab.optimize would bind the module over the function."""
    parts = {part for name in NAMES for part in name.split(".")}
    assert not parts & set(promptlab.__all__)


HEAVY = ("anthropic", "matplotlib", "sklearn", "pandas", "numpy", "vcr", "jinja2", "hypothesis")


@pytest.mark.parametrize("module", ["promptlab", "promptlab.plugin.hooks", "promptlab.plugin.options"])
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


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="optimise"):
        promptlab.optimise  # noqa: B018


def test_the_package_is_small():
    """8,000 lines, and what came since.

    1,100 for an optimizer that wins, 1,500 for a gate, 2,100 for safe, fast and cheap calls, 600 for scripts
    and notebooks, 1,000 for what people see, 2,600 to label whole tables.
    """
    assert sum(path.read_text(encoding="utf-8").count("\n") for path in modules().values()) < 16_400


def test_committed_files_hold_no_key():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout, so nothing is committed")
    for name in listed.stdout.splitlines():
        assert b"sk-" + b"ant-" not in (ROOT / name).read_bytes(), name
