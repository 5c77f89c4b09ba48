"""pytest for prompts: improve and guard the prompts of text classifiers, on recorded calls.

The public names are loaded when they are first used, so that `import promptlab` costs nothing. `__init__.pyi`
lists them with their modules, for people, type checkers and this file alike.
"""

import re
from pathlib import Path

__version__ = "0.1.0"

_LISTED = Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8")
_PUBLIC = {name: home for home, name in re.findall(r"^from ([\w.]+) import (\w+) as", _LISTED, re.MULTILINE)}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> object:
    """Load a public name from its module at its first use."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'promptlab' has no attribute {name!r}")
    from importlib import import_module

    globals()[name] = getattr(import_module(_PUBLIC[name]), name)
    return globals()[name]


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted([*globals(), *_PUBLIC])
