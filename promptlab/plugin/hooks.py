"""The pytest plugin: options, the fixture `lab`, lines while the session runs, its summary.

Nothing here does work of its own; each hook passes on to the session's Lab. This file is imported in
every pytest session of everyone who has promptlab installed, so its top imports pytest and the standard
library alone.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from promptlab.plugin import options

if TYPE_CHECKING:
    from promptlab.gate.base import Pair
    from promptlab.plugin.lab import Lab

LAB = pytest.StashKey["Lab"]()
BASE = pytest.StashKey[Any]()  # what is judged against
PAIRS = pytest.StashKey[list["Pair | tuple[str, str]"]]()  # the prompts to be judged, and what failed
JUDGED = pytest.StashKey[list[str]]()  # what came of that
SHARED = pytest.StashKey[str]()  # folder that the workers of pytest-xdist share
SUMMARY = pytest.StashKey[list[tuple[str, list[str]]]]()  # what the summary shows


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    options.add(parser)


@pytest.hookimpl(trylast=True)
def pytest_load_initial_conftests(parser: pytest.Parser) -> None:
    """Add the short names once every plugin has added its own."""
    options.add_short_names(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Refuse what cannot be recorded: workers would write over one another's recording."""
    config.stash[SUMMARY], config.stash[PAIRS], config.stash[JUDGED] = [], [], []
    if base := options.base(config):
        config.stash[BASE] = base
        config.add_cleanup(base.close)
    names = [*options.LIVE, "promptlab-prune"]
    asked = [f"--{name}" for name in names if config.getoption(options.dest(name), None) not in (False, None)]
    if len(asked) > 1:
        raise pytest.UsageError(f"{' and '.join(asked)} exclude one another: leave out all but one")
    if asked and config.getoption("numprocesses", None):
        raise pytest.UsageError(f"{asked[0]} takes one process: leave out -n of pytest-xdist, or add -n0")
    count = config.getoption("promptlab_live_verify")
    if count is not None and count < 1:
        raise pytest.UsageError(f"--live-verify={count}: expected a number of calls, 1 or more")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Live, stop before the first test where the API cannot be used."""
    config = session.config
    wanted = any("lab" in getattr(item, "fixturenames", ()) for item in session.items)
    if not wanted or not options.makes_calls(config) or config.option.collectonly:
        return
    from promptlab.errors import PromptlabError
    from promptlab.models.client import reachable

    try:
        profile = options.profile(config)
        reachable(profile.classifier, profile.critic)
    except PromptlabError as error:
        raise pytest.UsageError(str(error)) from None


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """Close the network to all tests, where the project wants that."""
    config = session.config
    judged = config.getoption("promptlab_base") and not (
        hasattr(config, "workerinput") or config.option.collectonly
    )
    try:
        with _closed(config):
            done = yield
    except session.Interrupted as error:
        config.stash[PAIRS].append(("the session", f"it did not run to its end: {error}"))
        if judged:
            _judge(session)
        raise
    if judged:
        _judge(session)
    return done


def _judged_here(config: pytest.Config) -> list[Pair | tuple[str, str]]:
    """Return the prompts to be judged that this process has evaluated, and what it could not."""
    lab = config.stash.get(LAB, None)
    return [*lab.pairs.values(), *lab.failed] if lab else []


def _closed(config: pytest.Config) -> contextlib.AbstractContextManager[None]:
    wanted = config.getini("promptlab_block_network")
    if wanted not in ("lab", "session"):
        raise pytest.UsageError(f"promptlab_block_network is {wanted!r}, expected 'lab' or 'session'")
    if wanted == "lab" or options.makes_calls(config):
        return contextlib.nullcontext()
    from promptlab.network import only_loopback

    return only_loopback("a test")


def _judge(session: pytest.Session) -> None:
    """Judge the prompts against those of the base, once all tests have been run."""
    from promptlab.plugin.verdicts import judge

    config = session.config
    config.stash[PAIRS].extend(_judged_here(config))
    failed = dict(one for one in config.stash[PAIRS] if isinstance(one, tuple))
    pairs = {one.title: one for one in config.stash[PAIRS] if not isinstance(one, tuple)}
    ledger = [
        line for _, lines in config.stash[SUMMARY] for line in lines if line.startswith("distinct prompts")
    ]
    told = judge(
        session, pairs.values(), failed, config.rootpath / config.getoption("promptlab_report"), ledger
    )
    config.stash[JUDGED].extend(told)


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say who answered the calls that are replayed, or who will be asked."""
    if not (config.rootpath / "cassettes").is_dir() and not options.makes_calls(config):
        return []  # most sessions that load this plugin have nothing to do with it
    from promptlab.cassettes.archive import origins
    from promptlab.errors import PromptlabError
    from promptlab.models.messages_api import url_of

    try:
        profile = options.profile(config)
    except PromptlabError as error:
        return [f"promptlab: {error}"]
    told = origins(config.rootpath / "cassettes" / profile.name)
    if options.makes_calls(config):
        asked = {f"{model.name} at {url_of(model)}" for model in (profile.classifier, profile.critic)}
        told = f"asks {' and '.join(sorted(asked))}"
    return [f"promptlab: profile {profile.name}, {told}"]


@pytest.fixture(scope="session")
def lab(pytestconfig: pytest.Config) -> Lab:
    """Run optimizations and evaluations on recorded calls; with --live, make and record them."""
    from promptlab.plugin.console import say
    from promptlab.plugin.lab import Lab

    workerinput = getattr(pytestconfig, "workerinput", None)
    pytestconfig.stash[LAB] = Lab(
        root=pytestconfig.rootpath,
        profile=options.profile(pytestconfig),
        mode=options.mode(pytestconfig),
        pages=pytestconfig.rootpath / pytestconfig.getoption("promptlab_report"),
        live_profile=options.live_profile(pytestconfig),
        base=pytestconfig.stash.get(BASE, None),
        shared=Path(workerinput["promptlab"]) if workerinput else None,
        skip=pytest.skip,
        say=lambda line: say(pytestconfig, line, verbosity=1),
        announce=lambda line: say(pytestconfig, line, verbosity=-1),
        summary=pytestconfig.stash[SUMMARY],
    )
    return pytestconfig.stash[LAB]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Carry the figures that a test looked at into its report, and so into JUnit."""
    try:
        yield
    finally:
        if LAB in item.config.stash:
            figures = item.config.stash[LAB].figures
            item.user_properties.extend((f"promptlab.{name}", value) for name, value in figures.items())
            figures.clear()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print what was run, each in a section of its own."""
    from promptlab.plugin.console import shielded
    from promptlab.plugin.verdicts import ANNOTATIONS

    sections = [
        *config.stash[SUMMARY],
        *([("prompts against their base", judged)] if (judged := config.stash[JUDGED]) else []),
    ]
    for title, lines in sections:
        terminalreporter.section(title)
        for line in shielded(lines):
            terminalreporter.write_line(line)
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for line in config.stash.get(ANNOTATIONS, []):
            terminalreporter.write_line(line)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Ask again what --live-verify wants to know; hand a worker's summary to the process that prints it."""
    count = session.config.getoption("promptlab_live_verify")
    if count and LAB in session.config.stash and not session.config.stash[LAB].verify(count):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    if session.config.getoption("promptlab_prune") and LAB in session.config.stash:
        unasked = session.config.stash[LAB].unasked()
        told = [
            f"{path}: kept, though no test of this session opened it; if none does, delete it"
            for path in unasked
        ]
        session.config.stash[SUMMARY].append(("prune", told or ["every recording was opened by a test"]))
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["promptlab"] = session.config.stash[SUMMARY]
        session.config.workeroutput["promptlab_pairs"] = pickle.dumps(_judged_here(session.config))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Give the workers a folder in which they share what one of them has done."""
    stash = node.config.stash
    if SHARED not in stash:
        folder = tempfile.TemporaryDirectory(prefix="promptlab-")
        node.config.add_cleanup(folder.cleanup)
        stash[SHARED] = folder.name
    node.workerinput["promptlab"] = stash[SHARED]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over a worker's summary; a run that several workers replayed is shown once."""
    summary = node.config.stash[SUMMARY]
    known = [title for title, _ in summary]
    output = getattr(node, "workeroutput", {})
    new = output.get("promptlab", [])
    node.config.stash[PAIRS].extend(pickle.loads(output.get("promptlab_pairs", EMPTY)))  # noqa: S301 - our own
    summary.extend(section for section in new if section[0] not in known)
    summary.sort(key=lambda section: section[0])  # workers end in any order


EMPTY = pickle.dumps([])


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name a test that is parametrized with an example by the example's id."""
    kind = type(val)
    return str(val.id) if (kind.__module__, kind.__name__) == ("promptlab.records", "Example") else None  # type: ignore[attr-defined]
