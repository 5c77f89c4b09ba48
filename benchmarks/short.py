"""The classifier of the optimizers' runs: the recorded one, its replies cut short."""

import promptlab as pl

CLASSIFIER = pl.Model(
    "qwen2.5-coder-1.5b-instruct",
    max_tokens=60,
    base_url="http://127.0.0.1:8082",
    extra_body={"temperature": 0},
)
