"""pytest for prompts: improve and guard the prompts of text classifiers, on recorded calls.

The public names are loaded when they are first used: `import promptlab` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from promptlab.checks import check_extractor as check_extractor
    from promptlab.comparisons import Comparison as Comparison
    from promptlab.comparisons import compare as compare
    from promptlab.comparisons import compare_all as compare_all
    from promptlab.datasets import Task as Task
    from promptlab.errors import CassetteMiss as CassetteMiss
    from promptlab.errors import DataError as DataError
    from promptlab.errors import ExtractorError as ExtractorError
    from promptlab.errors import ModelError as ModelError
    from promptlab.errors import NetworkBlocked as NetworkBlocked
    from promptlab.errors import PromptlabError as PromptlabError
    from promptlab.errors import RewriteError as RewriteError
    from promptlab.evaluations import Evaluation as Evaluation
    from promptlab.extract import choice as choice
    from promptlab.extract import first_of as first_of
    from promptlab.extract import last_line as last_line
    from promptlab.extract import tagged as tagged
    from promptlab.history import Iteration as Iteration
    from promptlab.history import Run as Run
    from promptlab.json_labels import json_field as json_field
    from promptlab.loop import evaluate as evaluate
    from promptlab.loop import evaluate_async as evaluate_async
    from promptlab.loop import optimize as optimize
    from promptlab.loop import optimize_async as optimize_async
    from promptlab.loop import steps as steps
    from promptlab.phrases import phrase as phrase
    from promptlab.power import detectable as detectable
    from promptlab.prompts import load_prompt as load_prompt
    from promptlab.prompts import save_prompt as save_prompt
    from promptlab.readers import from_dataframe as from_dataframe
    from promptlab.readers import read_csv as read_csv
    from promptlab.readers import read_jsonl as read_jsonl
    from promptlab.readers import read_parquet as read_parquet
    from promptlab.readers import read_tsv as read_tsv
    from promptlab.records import Example as Example
    from promptlab.records import Model as Model
    from promptlab.records import Prediction as Prediction
    from promptlab.records import Prompt as Prompt

__version__ = "0.1.0"

_HOMES = {
    "checks": ("check_extractor",),
    "comparisons": ("Comparison", "compare", "compare_all"),
    "datasets": ("Task",),
    "errors": (
        "CassetteMiss",
        "DataError",
        "ExtractorError",
        "ModelError",
        "NetworkBlocked",
        "PromptlabError",
        "RewriteError",
    ),
    "evaluations": ("Evaluation",),
    "extract": ("choice", "first_of", "last_line", "tagged"),
    "history": ("Iteration", "Run"),
    "json_labels": ("json_field",),
    "loop": ("evaluate", "evaluate_async", "optimize", "optimize_async", "steps"),
    "phrases": ("phrase",),
    "power": ("detectable",),
    "prompts": ("load_prompt", "save_prompt"),
    "readers": ("from_dataframe", "read_csv", "read_jsonl", "read_parquet", "read_tsv"),
    "records": ("Example", "Model", "Prediction", "Prompt"),
}
_PUBLIC = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> object:
    """Load a public name from its module at its first use."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'promptlab' has no attribute {name!r}")
    from importlib import import_module

    globals()[name] = getattr(import_module(f"promptlab.{_PUBLIC[name]}"), name)
    return globals()[name]


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted([*globals(), *_PUBLIC])
