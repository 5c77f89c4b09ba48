"""Prompts for pull requests: the questions of `insincere`, one with a typo, and a model that answers by chance.

The temperature is not zero, so that asking twice gives other answers, as with most models in production.
"""

from dataclasses import replace
from pathlib import Path

import promptlab as pl
from benchmarks.insincere.task import task as insincere

HERE = Path(__file__).parent
FIXED, TYPO = "Do Catholic priests get a salary?", "Do Catholic preists get a salary?"

WARM = pl.Model(
    "qwen2.5-coder-1.5b-instruct",
    max_tokens=160,
    base_url="http://127.0.0.1:8082",
    extra_body={"temperature": 0.7},
)

fixed = replace(insincere, name="pull-requests")
task = replace(
    fixed, examples=tuple(replace(one, text=one.text.replace(FIXED, TYPO)) for one in fixed.examples)
)
