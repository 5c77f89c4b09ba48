"""A project in a real repository, with the prompts and recordings of benchmarks/pull_requests."""

from __future__ import annotations

import copy
import csv
import shutil
import subprocess
from collections.abc import Callable, Sequence
from typing import NamedTuple

import pytest

import promptlab as pl
from benchmarks.pull_requests.task import FIXED, TYPO
from promptlab.cassettes import format as files
from promptlab.gate import ledger
from promptlab.models import prompts
from promptlab.models.messages_api import body_of, model_with, settings_in
from promptlab.records import Model

from ..conftest import ROOT

PROMPTS = ROOT / "benchmarks/pull_requests"
RECORDED = ROOT / "cassettes/local/pull-requests"
CASSETTE = "cassettes/local/insincere/evaluate-test.jsonl"

PYPROJECT = """\
[tool.promptlab]
replay = "local"
live = "local"

[tool.promptlab.profiles.local]
base_url = "http://127.0.0.1:8082"
classifier = { name = "qwen2.5-coder-1.5b-instruct", max_tokens = 160, extra_body = { temperature = 0.7 } }
critic = { name = "qwen2.5-coder-1.5b-instruct" }
"""
TESTS = '''\
"""The prompt in production."""

import pytest

import promptlab as pl

task = pl.Task(
    name="insincere",
    examples=pl.read_csv("data.csv"),
    labels=("sincere", "insincere"),
    brief="Is a question sincere?",
    extract=pl.tagged("label"),
)


def test_the_prompt_is_good_enough(lab):
    result = lab.evaluate(task, "prompt")
    assert result.macro_f1 >= 0.1
    assert result.tokens_per_call < 700


def test_the_same_evaluation_is_not_done_twice(lab):
    assert 154 == lab.evaluate(task, "prompt").scores.n
'''


class Judged(NamedTuple):
    """How a session ended, what it printed, and the comment for the pull request."""

    code: int
    shown: str
    comment: str


class Project:
    """A project in a git repository of its own."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester, self.folder = pytester, pytester.path
        self.git("init", "--quiet", "--initial-branch=main")
        self.write("pyproject.toml", PYPROJECT)
        self.write("test_prompt.py", TESTS)
        data = (ROOT / "benchmarks/insincere/data.csv").read_text(encoding="utf-8")
        self.write("data.csv", data.replace(FIXED, TYPO))
        self.write(".gitignore", "__pycache__/\n.pytest_cache/\n")
        self.propose("main")
        self.commit("main")

    def git(self, *arguments: str) -> str:
        """Run git."""
        who = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
        done = subprocess.run(
            ["git", *who, *arguments], cwd=self.folder, capture_output=True, text=True, check=True
        )
        return done.stdout

    def write(self, name: str, text: str) -> None:
        """Write a file."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")

    def propose(self, name: str, recorded: str | None = None) -> None:
        """Take over a prompt of the benchmark and what was recorded with it."""
        shutil.copytree(PROMPTS / name, self.folder / "prompt", dirs_exist_ok=True)
        self.take(recorded or name)

    def take(self, recorded: str, name: str = CASSETTE, prompt: str = "prompt") -> None:
        """Take over what was recorded, as if here: for a prompt's folder."""
        recording = files.read(RECORDED / f"{recorded}.jsonl")
        recording.header["origin"] = {
            "by": "a",
            "test": "test_prompt.py",
            "prompt": prompt,
            "data": ["data.csv"],
        }
        files.write(self.folder / name, recording)

    def answer(self, change: Callable[[str, str], str], name: str = CASSETTE) -> None:
        """Change recorded replies, by text and reply: what was not answered so is synthetic."""
        recording = files.read(self.folder / name)
        for call in recording.calls.values():
            text = call["request"]["body"]["messages"][-1]["content"]
            (block,) = call["response"]["body"]["content"]
            block["text"] = change(text, block["text"])
        files.write(self.folder / name, recording)

    def ask(self, prompt: str, texts: Sequence[str], reply: str) -> None:
        """Record a prompt of the benchmark on more texts, all with one reply, which is synthetic."""
        recording = files.read(self.folder / CASSETTE)
        entry = next(iter(recording.calls.values()))
        parts = prompts.load_prompt(PROMPTS / prompt)
        for text in texts:
            call = copy.deepcopy(entry)
            body = body_of(prompts.build(parts, text, model_with(settings_in(entry["request"]["body"]))))
            call["request"]["body"] = body
            call["response"]["body"]["content"][0]["text"] = reply
            recording.calls[files.request_key("POST", "/v1/messages", body)] = call
        files.write(self.folder / CASSETTE, recording)

    def demonstrate(self) -> None:
        """Add the prompt's demonstrations to the requests as recorded: their replies become synthetic."""
        prompt = prompts.load_prompt(self.folder / "prompt")
        shown = prompts.build(prompt, "", Model("m")).messages[: 2 * len(prompt.demonstrations)]
        recording = files.read(self.folder / CASSETTE)
        for call in recording.calls.values():
            call["request"]["body"]["messages"][:0] = [
                {"role": role, "content": text} for role, text in shown
            ]
        files.write(self.folder / CASSETTE, recording)

    def repeat(self, texts: Sequence[str], times: int, answer: Callable[[str, int], str]) -> None:
        """Record the requests about some texts several times; the answers are synthetic."""
        recording = files.read(self.folder / CASSETTE)
        for call in list(recording.calls.values()):
            body = call["request"]["body"]
            if not any(one in body["messages"][-1]["content"] for one in texts):
                continue
            for number in range(1, times):
                other = copy.deepcopy(call) | {"repeat": number}
                said = answer(body["messages"][-1]["content"], number)
                other["response"]["body"]["content"][0]["text"] = said
                recording.calls[files.request_key("POST", "/v1/messages", body, number)] = other
        files.write(self.folder / CASSETTE, recording)

    def crlf(self) -> None:
        """Give prompt and requests the ends of lines that a checkout on Windows has."""

        def ends(text: str) -> str:
            return text.replace("\r\n", "\n").replace("\n", "\r\n")

        for path in (self.folder / "prompt").iterdir():
            path.write_bytes(ends(path.read_bytes().decode()).encode())
        recording = files.read(self.folder / CASSETTE)
        for call in recording.calls.values():
            body = call["request"]["body"]
            body["system"] = ends(body["system"])
            for turn in body["messages"]:
                turn["content"] = ends(turn["content"])
        files.write(self.folder / CASSETTE, recording)

    def looked(self, *recordings: str) -> None:
        """Enter recordings of other prompts into the ledger, as judged on the present test split."""
        path = self.folder / "cassettes/ledger.csv"
        test_hash = self.test_hash
        path.write_text(
            "\n".join([ledger.HEADER, *(f"insincere,{test_hash},{one},{one}" for one in recordings)]) + "\n"
        )

    @property
    def test_hash(self) -> str:
        """The hash of the test split."""
        labels = ("sincere", "insincere")
        return pl.Task(
            name="t", examples=pl.read_csv(self.folder / "data.csv"), labels=labels, brief="b"
        ).test_hash

    def quote(self, text: str) -> None:
        """Add a text to the system prompt, also to the requests as recorded: their replies become synthetic."""
        path = self.folder / "prompt/system.md"
        with path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(text)
        recording = files.read(self.folder / CASSETTE)
        for call in recording.calls.values():
            call["request"]["body"]["system"] = path.read_text(encoding="utf-8")
        files.write(self.folder / CASSETTE, recording)

    @property
    def rows(self) -> list[dict[str, str]]:
        """The rows of the data."""
        with (self.folder / "data.csv").open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    @rows.setter
    def rows(self, rows: list[dict[str, str]]) -> None:
        with (self.folder / "data.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, rows[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)

    def forget_canonical(self) -> None:
        """Make main's recording one from before examples were marked as canonical."""
        marked = {row["text"] for row in self.rows if row["canonical"]}
        path = self.folder / CASSETTE
        recording = files.read(path)
        asked = {
            key: call["request"]["body"]["messages"][0]["content"] for key, call in recording.calls.items()
        }
        canonical = {key for key, text in asked.items() if any(one in text for one in marked)}
        assert canonical
        files.write(path, files.without(recording, canonical))
        self.git("commit", "--quiet", "--amend", "-am", "main")

    def commit(self, branch: str) -> None:
        """Commit everything, on a branch of its own unless it is main."""
        if branch != "main":
            self.git("checkout", "--quiet", "-b", branch)
        self.git("add", ".")
        self.git("commit", "--quiet", "-m", branch)

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace a text in a file, wherever it is there."""
        text = (self.folder / name).read_text(encoding="utf-8")
        assert old in text
        self.write(name, text.replace(old, new))

    def pytest(self, *arguments: str, **environment: str) -> Judged:
        """Run the project's tests."""
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            for name, value in {"COLUMNS": "200", **environment}.items():
                patch.setenv(name, value)
            done = self.pytester.runpytest("-p", "no:cacheprovider", f"--rootdir={self.folder}", *arguments)
        return Judged(int(done.ret), done.stdout.str() + done.stderr.str(), self.comment)

    @property
    def comment(self) -> str:
        """The comment for the pull request; "" where none was written."""
        path = self.folder / ".promptlab/comment.md"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def pull_request(self, name: str, *arguments: str, **environment: str) -> Judged:
        """Propose a prompt of the benchmark on a branch of its own, and judge it."""
        self.propose(name)
        self.commit(name)
        return self.judged(*arguments, **environment)

    def judged(self, *arguments: str, **environment: str) -> Judged:
        """Run them as a pull request does."""
        return self.pytest("--promptlab-base=main", *arguments, **environment)
