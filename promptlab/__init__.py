"""pytest for prompts: improve and guard the prompts of text classifiers, on recorded calls.

The public names are loaded when they are first used: `import promptlab` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from promptlab.data.readers import from_dataframe as from_dataframe
    from promptlab.data.readers import read_csv as read_csv
    from promptlab.data.readers import read_jsonl as read_jsonl
    from promptlab.data.readers import read_parquet as read_parquet
    from promptlab.data.readers import read_tsv as read_tsv
    from promptlab.data.task import Task as Task
    from promptlab.errors import CassetteMiss as CassetteMiss
    from promptlab.errors import DataError as DataError
    from promptlab.errors import ExtractorError as ExtractorError
    from promptlab.errors import ModelError as ModelError
    from promptlab.errors import NetworkBlocked as NetworkBlocked
    from promptlab.errors import PromptlabError as PromptlabError
    from promptlab.errors import RewriteError as RewriteError
    from promptlab.labels.checks import check_extractor as check_extractor
    from promptlab.labels.extract import choice as choice
    from promptlab.labels.extract import first_of as first_of
    from promptlab.labels.extract import json_field as json_field
    from promptlab.labels.extract import last_line as last_line
    from promptlab.labels.extract import phrase as phrase
    from promptlab.labels.extract import tagged as tagged
    from promptlab.models.prompts import load_prompt as load_prompt
    from promptlab.models.prompts import save_prompt as save_prompt
    from promptlab.optimizer.history import Iteration as Iteration
    from promptlab.optimizer.history import Run as Run
    from promptlab.optimizer.loop import evaluate as evaluate
    from promptlab.optimizer.loop import evaluate_async as evaluate_async
    from promptlab.optimizer.loop import optimize as optimize
    from promptlab.optimizer.loop import optimize_async as optimize_async
    from promptlab.optimizer.loop import steps as steps
    from promptlab.records import Example as Example
    from promptlab.records import Model as Model
    from promptlab.records import Prediction as Prediction
    from promptlab.records import Prompt as Prompt
    from promptlab.scoring.comparison import Comparison as Comparison
    from promptlab.scoring.comparison import compare as compare
    from promptlab.scoring.comparison import compare_all as compare_all
    from promptlab.scoring.evaluation import Evaluation as Evaluation
    from promptlab.scoring.power import detectable as detectable

__version__ = "0.1.0"

_HOMES = {
    "data.readers": ("from_dataframe", "read_csv", "read_jsonl", "read_parquet", "read_tsv"),
    "data.task": ("Task",),
    "errors": (
        "CassetteMiss",
        "DataError",
        "ExtractorError",
        "ModelError",
        "NetworkBlocked",
        "PromptlabError",
        "RewriteError",
    ),
    "labels.checks": ("check_extractor",),
    "labels.extract": ("choice", "first_of", "json_field", "last_line", "phrase", "tagged"),
    "models.prompts": ("load_prompt", "save_prompt"),
    "optimizer.history": ("Iteration", "Run"),
    "optimizer.loop": ("evaluate", "evaluate_async", "optimize", "optimize_async", "steps"),
    "records": ("Example", "Model", "Prediction", "Prompt"),
    "scoring.comparison": ("Comparison", "compare", "compare_all"),
    "scoring.evaluation": ("Evaluation",),
    "scoring.power": ("detectable",),
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
