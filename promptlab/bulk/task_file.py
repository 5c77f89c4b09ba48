"""The task object of a Python file, as in `test_topics.py:task`."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

from promptlab.data.task import Task
from promptlab.errors import DataError


def load(given: str) -> Task:
    """Return the task that FILE.py:NAME names; DataError where there is none."""
    file, colon, name = given.rpartition(":")
    if not colon or not name.isidentifier() or not file.endswith(".py"):
        raise DataError(f"{given!r}: expected FILE.py:NAME, such as test_topics.py:task")
    path = Path(file)
    if not path.is_file():
        where = "" if path.is_absolute() else f" (looked in {Path.cwd()})"
        raise DataError(f"{file}: no such file{where}")
    module = _imported(path.resolve())
    found = getattr(module, name, None)
    if isinstance(found, Task):
        return found
    tasks = [key for key, value in vars(module).items() if isinstance(value, Task)]
    there = f"it has {', '.join(tasks)}" if tasks else "it has no task at its top level"
    what = f"{name!r} is {type(found).__name__}, no Task" if hasattr(module, name) else f"no {name!r}"
    raise DataError(f"{file}: {what}; {there}")


def _imported(path: Path) -> ModuleType:
    """Import a file as pytest does by default: by its name in the packages around it."""
    root, names = path.parent, [path.stem]
    while (root / "__init__.py").exists():
        names.insert(0, root.name)
        root = root.parent
    sys.path.insert(0, str(root))
    try:
        module = importlib.import_module(".".join(names))
    except Exception as error:
        raise DataError(f"{path}: cannot be imported: {type(error).__name__}: {error}") from error
    if Path(module.__file__ or "").resolve() != path:
        raise DataError(f"{path}: another module is named {module.__name__!r}: rename the file")
    return module
