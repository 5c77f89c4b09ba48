"""Run an optimizer of DSPy on a task: `python -m benchmarks.optimizers.peers gepa duplicates`.

Its replies are appended to `logs/`, and a run that was stopped goes on from there. The log's twin, `.json`,
holds the optimized program and its answers on test.
"""

from __future__ import annotations

import argparse
import importlib
import json
from pathlib import Path
from typing import Any, Literal

import dspy

import promptlab as pl
from benchmarks.optimizers.proxy import Log, logging
from benchmarks.short import CLASSIFIER

HERE = Path(__file__).parent
CRITIC_TOKENS = 800


def module_of(task: pl.Task) -> tuple[dspy.Module, dict[str, list[dspy.Example]]]:
    """Build the plain program for a task, and its examples by split."""
    signature = dspy.Signature(
        {"text": (str, dspy.InputField()), "label": (Literal[task.labels], dspy.OutputField())}
    )
    program = dspy.Predict(signature.with_instructions(task.brief.strip()))
    examples = {
        split: [dspy.Example(text=one.text, label=one.label, id=one.id).with_inputs("text") for one in some]
        for split, some in task.splits.items()
    }
    return program, examples


def right(example: dspy.Example, prediction: Any, trace: Any = None) -> bool:
    """Score an answer."""
    return bool(example.label == getattr(prediction, "label", None))


def with_feedback(
    gold: dspy.Example, prediction: Any, trace: Any = None, name: Any = None, of: Any = None
) -> Any:
    """Score an answer, and say what is wrong with it."""
    said = getattr(prediction, "label", None)
    feedback = "Right." if said == gold.label else f"The right label is {gold.label!r}, not {said!r}."
    return dspy.Prediction(score=float(said == gold.label), feedback=feedback)


def bootstrap(program: dspy.Module, examples: dict[str, list[dspy.Example]], critic: dspy.LM) -> dspy.Module:
    """Search the plain program and three with demonstrations, each on all of validation."""
    found = dspy.BootstrapFewShotWithRandomSearch(
        right, max_bootstrapped_demos=4, max_labeled_demos=8, num_candidate_programs=1, num_threads=2
    )
    return found.compile(program, trainset=examples["train"], valset=examples["validation"])


def miprov2(program: dspy.Module, examples: dict[str, list[dspy.Example]], critic: dspy.LM) -> dspy.Module:
    """Search four instructions and four sets of demonstrations: eight trials of 25 examples, one of all."""
    found = dspy.MIPROv2(
        right,
        prompt_model=critic,
        task_model=dspy.settings.lm,
        auto=None,
        num_candidates=4,
        num_threads=2,
        seed=0,
    )
    return found.compile(
        program,
        trainset=examples["train"],
        valset=examples["validation"],
        num_trials=8,
        minibatch_size=25,
        minibatch_full_eval_steps=8,
    )


def gepa(program: dspy.Module, examples: dict[str, list[dspy.Example]], critic: dspy.LM) -> dspy.Module:
    """Search by reflection on train, with a front on validation, for 400 calls of the metric."""
    found = dspy.GEPA(with_feedback, max_metric_calls=400, reflection_lm=critic, num_threads=2, seed=0)
    return found.compile(program, trainset=examples["train"], valset=examples["validation"])


OPTIMIZERS = {"bootstrap": bootstrap, "miprov2": miprov2, "gepa": gepa}


def answers(program: dspy.Module, examples: list[dspy.Example]) -> dict[str, str | None]:
    """Return the label that the program gives each example, by its id; None where it gives none."""
    run = dspy.Parallel(
        num_threads=2, disable_progress_bar=True, max_errors=len(examples), return_failed_examples=False
    )
    found = run([(program, example.inputs()) for example in examples])
    return {one.id: getattr(said, "label", None) for one, said in zip(examples, found, strict=True)}


def main() -> None:
    """Search, then answer about test."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("optimizer", choices=OPTIMIZERS)
    parser.add_argument("task")
    given = parser.parse_args()
    task: pl.Task = importlib.import_module(f"benchmarks.{given.task}.task").task
    stem = HERE / "logs" / f"{given.optimizer}-{given.task}"
    log = Log(stem.with_suffix(".jsonl"), CLASSIFIER)
    assert CLASSIFIER.base_url
    with logging(log, CLASSIFIER.base_url) as url:
        served: dict[str, Any] = {"api_base": url, "api_key": "none", "cache": False}
        name = f"anthropic/{CLASSIFIER.name}"
        classifier = dspy.LM(name, max_tokens=CLASSIFIER.max_tokens, temperature=0.0, **served)
        critic = dspy.LM(name, max_tokens=CRITIC_TOKENS, temperature=0.7, **served)
        adapter = dspy.ChatAdapter(use_json_adapter_fallback=False)
        # A reply without a label is an error to DSPy, and ten of them the end; here it is a wrong answer.
        dspy.configure(lm=classifier, adapter=adapter, max_errors=10_000)
        program, examples = module_of(task)
        best = OPTIMIZERS[given.optimizer](program, examples, critic)
        print(f"search: {len(log.played)} calls")
        log.phase = "test"
        found = answers(best, examples["test"])
    dumped = {"program": best.dump_state(), "answers": found}
    stem.with_suffix(".json").write_text(json.dumps(dumped, ensure_ascii=False, indent=1, default=str) + "\n")


if __name__ == "__main__":
    main()
