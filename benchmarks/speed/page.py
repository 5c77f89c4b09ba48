"""What a page costs: 10,000 replies in ten iterations, written, and opened in chromium.

Prints one JSON object a line: name, value, unit, n (replies). The replies are synthetic: they stand for nothing
but their size. Opening needs Debian's chromium.

    python benchmarks/speed/page.py
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from promptlab.optimizer.history import Candidate, Iteration, Run
from promptlab.records import Example, Prediction, Prompt, Reply, Usage
from promptlab.report import html
from promptlab.scoring.evaluation import Evaluation, score

LABELS = ("billing", "delivery", "returns", "account", "other")
ITERATIONS, CANDIDATES, EXAMPLES = 10, 2, 435
TEXT = "I ordered it three weeks ago and nobody can say where it is, which is not what I paid for. " * 4
REPLY = "The customer asks about something that was ordered, and not about what it costs. " * 8


def evaluation(prompt: int, split: str) -> Evaluation:
    """Answer the examples of a split; prompts with a higher number are right more often."""
    rows = []
    for n in range(EXAMPLES):
        example = Example(f"{split}-{n}", f"{n}: {TEXT}", LABELS[n % 5], "a note")
        label = LABELS[n % 5 if n * 7 % 25 < 12 + prompt % 13 else (n + 1) % 5]
        reply = Reply(
            f"{REPLY}{prompt} {split} {n} <label>{label}</label>", "end_turn", ("text",), "m", 900, 180
        )
        rows.append(Prediction(example, reply, label, score=float(label == example.label)))
    text = f"Prompt {prompt}. {'Decide which desk answers it. ' * 40}"
    return Evaluation("desks", split, Prompt(text), tuple(rows), score(rows, LABELS), name=f"prompt {prompt}")


def candidate(prompt: int) -> Candidate:
    """Return a prompt that has answered all of validation."""
    result = evaluation(prompt, "validation")
    return Candidate(result.asked_with, "rewritten", None, result)


def run() -> Run:
    """Make a run whose last candidate is the best."""
    parents = first = (candidate(0),)
    history = []
    for number in range(1, ITERATIONS + 1):
        new = tuple(candidate(CANDIDATES * number + one) for one in range(CANDIDATES))
        history.append(Iteration(number, parents, None, new, (), (new[-1],), Usage()))
        parents = (new[-1],)
    (best,), tests = parents, [evaluation(n, "test") for n in (0, CANDIDATES * ITERATIONS + CANDIDATES - 1)]
    prompts = first[0].prompt, best.prompt
    counts = {split: dict.fromkeys(LABELS, EXAMPLES // 5) for split in ("train", "validation", "test")}
    return Run("desks", tuple(history), (best,), *prompts, *tests, Usage(), "", counts)


def opening(path: Path) -> float:
    """Return the seconds until a page is loaded and its first replies are shown, in a started browser."""
    with sync_playwright() as driver:
        chromium = shutil.which("chromium") or shutil.which("chromium-browser")
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        started = time.perf_counter()
        page.goto(path.as_uri())
        page.locator("#count:visible").wait_for()
        seconds = time.perf_counter() - started
        browser.close()
    return seconds


def main() -> None:
    """Write the page and open it."""
    made = run()
    replies = {row.reply.text for one in made.evaluations for row in one.rows}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "page.html")
        started = time.perf_counter()
        html.write(path, made, "synthetic")
        figures = [("page, to write", time.perf_counter() - started, "s")]
        figures += [("page, file", path.stat().st_size / 1e6, "MB"), ("page, to open", opening(path), "s")]
    for name, value, unit in figures:
        print(json.dumps({"name": name, "value": round(value, 3), "unit": unit, "n": len(replies)}))


if __name__ == "__main__":
    main()
