"""The whole suite runs with the network beyond loopback closed."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from promptlab import network

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parent.parent

# The first example of a property imports scikit-learn or the SDK, which no deadline allows for.
hypothesis.settings.register_profile("dev", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "dev")


@pytest.fixture(autouse=True)
def closed_network(request: pytest.FixtureRequest) -> Iterator[None]:
    """Refuse every connection beyond loopback."""
    with network.only_loopback(request.node.nodeid):
        yield


@pytest.fixture(autouse=True, scope="session")
def interruptible() -> None:
    """Let Ctrl-C through: a shell starts what it runs in the background with that ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def plain_environment() -> Iterator[None]:
    """Hide the keys and addresses of whoever runs the tests, and coverage from nested sessions."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("ANTHROPIC_", "COVERAGE_"))]:
            patch.delenv(name)
        yield


@pytest.fixture(autouse=True)
def no_slow_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask the servers of the tests at full speed from the first call; tests of the pace set it themselves."""
    monkeypatch.setattr("promptlab.models.pacing.START", 1e6)


LOADED = (
    "anthropic",
    "httpcore2",  # under the SDK's transport, at its first client
    "jinja2",
    "pandas",
    "scipy.stats",
    "sklearn.feature_extraction.text",
    "sklearn.linear_model",
    "sklearn.metrics",
    "vcr.stubs.httpx_stubs",
    "promptlab.bulk.files",
    "promptlab.bulk.frames",
    "promptlab.bulk.task_file",
    "promptlab.gate.judge",
    "promptlab.plugin.decisions",
    "promptlab.plugin.lab",
    "promptlab.plugin.main",
)


@pytest.fixture(scope="session")
def loaded() -> None:
    """Load what sessions within tests load: it is forgotten after each, and numpy cannot be loaded twice."""
    for name in LOADED:
        importlib.import_module(name)


@pytest.fixture
def pytester(loaded: None, pytester: pytest.Pytester) -> pytest.Pytester:
    """Return pytest's own, once everything is loaded."""
    return pytester


MAIN: dict[bytes, bytes] = {}  # what main's tests answered, by what main holds


@pytest.fixture
def main_in_this_process(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run main's tests in this process, and those of the same main once: another one loads packages for seconds."""
    import promptlab.plugin.main
    from promptlab.gate import judge
    from promptlab.gate.worktree import ALWAYS

    def run_tests(project, arguments, *, quiet=False, live=False):
        said = io.StringIO()
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(project)
            with contextlib.redirect_stdout(said) if quiet else contextlib.nullcontext():
                done = pytester.runpytest_inprocess(*ALWAYS, f"--rootdir={project}", *arguments)
        return int(done.ret), said.getvalue()

    def once(project, arguments, *, quiet=False, live=False):
        (file,) = (
            (Path(one.partition("=")[2]) for one in arguments if "answers=" in one) if quiet else (None,)
        )
        git = ["git", "rev-parse", "HEAD^{tree}"]
        key = subprocess.run(git, cwd=project, capture_output=True, check=True).stdout if file else b""
        if file and key in MAIN:
            file.write_bytes(MAIN[key])
            return 0, ""
        status, said = run_tests(project, arguments, quiet=quiet)
        if file and not status:
            MAIN[key] = file.read_bytes()
        return status, said

    for module in (judge, promptlab.plugin.main):
        monkeypatch.setattr(module, "run_tests", once)
