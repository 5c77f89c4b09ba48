"""The pytest plugin: hooks and the fixture `lab`.

Nothing here does work of its own. This file is imported in every pytest session of everyone who has
promptlab installed, so its top imports pytest and the standard library alone.
"""

from __future__ import annotations

import contextlib
import pickle
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from promptlab.plugin import options
from promptlab.plugin.results import Results

if TYPE_CHECKING:
    from promptlab.plugin.lab import Lab

R = TypeVar("R", pytest.TestReport, pytest.CollectReport)
LAB = pytest.StashKey["Lab"]()
RESULTS = pytest.StashKey[Results]()
BASE = pytest.StashKey[Any]()  # the commit to judge against, or None
MAIN = pytest.StashKey[Any]()  # what the base's own tests read, see main.py
ANCHOR = pytest.StashKey[Any]()  # the release to judge against too, or None
DECISIONS = pytest.StashKey[list[str]]()  # lines for the summary
SHARED = pytest.StashKey[str]()  # folder that the workers of pytest-xdist share


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    options.add(parser)


@pytest.hookimpl(trylast=True)
def pytest_load_initial_conftests(parser: pytest.Parser) -> None:
    """Add the short names once every plugin has added its own."""
    options.add_short_names(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Check the options; with a base, find its commit."""
    options.check(config)
    config.stash[RESULTS] = Results()
    for option, key in {"base": BASE, "anchor": ANCHOR}.items():
        config.stash[key] = commit = options.commit(config, option)
        if commit:
            config.add_cleanup(commit.close)
    if config.stash[BASE]:
        from promptlab.plugin import main

        config.stash[MAIN] = main.answers(config, config.stash[BASE])


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say who answered the calls that are replayed, or who will be asked."""
    if not (config.rootpath / "cassettes").is_dir() and not options.makes_calls(config):
        return []  # most sessions that load this plugin have nothing to do with it
    return [options.describe(config)]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Before any call is made, stop where the API cannot be used."""
    config = session.config
    wanted = any("lab" in getattr(item, "fixturenames", ()) for item in session.items)
    if not wanted or not options.makes_calls(config) or config.option.collectonly:
        return
    from promptlab.errors import PromptlabError
    from promptlab.models.client import reachable

    try:
        notes = reachable(*options.profile(config).models)
    except PromptlabError as error:
        raise pytest.UsageError(str(error)) from None
    if notes:
        config.stash[RESULTS].sections.append(("models", [f"note: {note}" for note in notes]))


@pytest.fixture(scope="session")
def lab(pytestconfig: pytest.Config) -> Lab:
    """Run optimizations and evaluations on recorded calls; with --live, make and record them."""
    from promptlab.plugin.console import Console
    from promptlab.plugin.lab import Lab, Settings

    workerinput = getattr(pytestconfig, "workerinput", None)
    settings = Settings(
        root=pytestconfig.rootpath,
        profile=options.profile(pytestconfig),
        live_profile=options.live_profile(pytestconfig),
        mode=options.mode(pytestconfig),
        pages=pytestconfig.rootpath / pytestconfig.getoption("promptlab_report"),
        base=pytestconfig.stash[BASE],
        fresh_base=pytestconfig.getoption("promptlab_fresh_base"),
        anchor=pytestconfig.stash[ANCHOR],
        main=pytestconfig.stash[MAIN].answers if pytestconfig.stash[BASE] else {},
        by_main_alone=pytestconfig.getoption("promptlab_main") is not None,
        answers=pytestconfig.getoption("promptlab_answers") is not None,
        texts=options.publishes_texts(pytestconfig),
        plan=pytestconfig.getoption("promptlab_plan"),
        max_cost=pytestconfig.getoption("promptlab_max_cost"),
        afresh=pytestconfig.getoption("promptlab_afresh"),
        invocation=options.invocation(pytestconfig),
        verbose=pytestconfig.get_verbosity() > 0,
        shared=Path(workerinput["promptlab"]) if workerinput else None,
    )
    pytestconfig.stash[LAB] = Lab(settings, pytestconfig.stash[RESULTS], Console(pytestconfig))
    return pytestconfig.stash[LAB]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Where a branch's data lie over main's tests, collect Python files alone: no data may become a test."""
    if config.getoption("promptlab_main") is None or collection_path.is_dir():
        return None
    return collection_path.suffix != ".py" or None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    """End an interrupted session with what is kept and the command that goes on."""
    try:
        return (yield)
    except KeyboardInterrupt as error:
        if not error.args:
            raise
        pytest.exit(str(error))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Attach the figures that a test looked at to its report, and so to JUnit."""
    try:
        yield
    finally:
        figures = item.config.stash[RESULTS].figures
        item.user_properties.extend((f"promptlab.{name}", value) for name, value in figures.items())
        figures.clear()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Mask keys in what a test said, before it is shown or written; say what is not recorded once."""
    report = _masked((yield))
    if call.excinfo is not None:
        from promptlab.errors import CassetteMiss

        if isinstance(miss := call.excinfo.value, CassetteMiss):
            miss.told = miss.told or item.nodeid
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Mask keys in what went wrong while tests were collected."""
    return _masked((yield))


def _masked(report: R) -> R:
    if report.longrepr is None and not report.sections:
        return report  # nearly always: it passed, and printed nothing
    from promptlab.secrets import masked

    what, said = report.longrepr, report.longreprtext
    if isinstance(what, tuple):
        file, line, reason = what  # of a skipped test
        report.longrepr = (file, line, masked(reason))
    elif masked(said) != said:
        report.longrepr = masked(said)
    report.sections = [(name, masked(text)) for name, text in report.sections]
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """Close the network to all tests, where the project wants that; once they have run, judge the prompts."""
    with contextlib.ExitStack() as closed:
        if options.closes_network(session.config):
            from promptlab.network import only_loopback

            closed.enter_context(only_loopback("a test"))
        try:
            done = yield
        except session.Interrupted as error:
            _judge(session, interrupted=str(error))
            raise
    _judge(session)
    return done


def _judge(session: pytest.Session, interrupted: str = "") -> None:
    """Judge the prompts against those of the base, in the process that has all results."""
    config, worker = session.config, hasattr(session.config, "workerinput")
    if not config.stash[BASE] or worker or config.option.collectonly:
        return
    from promptlab.gate.decide import Failure, Line
    from promptlab.plugin.decisions import report

    results = config.stash[RESULTS]
    if interrupted:
        why = Line(f"it did not finish: {interrupted}")
        results.failures.append(Failure("the session", why))
    folder = config.rootpath / config.getoption("promptlab_report")
    config.stash[DECISIONS] = report(session, results, folder, config.stash[BASE], config.stash[MAIN])


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Ask again for --live-verify; report recorded calls that were not asked for; send a worker's results."""
    config = session.config
    if LAB in config.stash:
        from promptlab.plugin.lab import end, finish, verify

        count = config.getoption("promptlab_live_verify")
        if count and not verify(config.stash[LAB], count):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        finish(config.stash[LAB], prune=config.getoption("promptlab_prune"))
        ended = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
        end(config.stash[LAB], whole=ended and not session.shouldstop and not session.shouldfail)
    written = config.getoption("promptlab_answers")
    if written and not hasattr(config, "workeroutput"):
        from promptlab.gate import answers

        answers.write(Path(written), config.stash[RESULTS].answers)
    if hasattr(config, "workeroutput"):
        config.workeroutput["promptlab"] = pickle.dumps(config.stash[RESULTS])


def pytest_unconfigure(config: pytest.Config) -> None:
    """Take texts out of the JUnit XML, where the project publishes none."""
    path = getattr(config.option, "xmlpath", None)
    if path and not hasattr(config, "workerinput") and not options.publishes_texts(config):
        from promptlab.plugin import junit

        junit.withhold(Path(path))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the results, each in a section of its own."""
    from promptlab.plugin.console import shielded

    sections = [
        *config.stash[RESULTS].sections,
        ("prompts against their base", config.stash.get(DECISIONS, [])),
    ]
    for title, lines in sections:
        if lines:
            terminalreporter.section(title)
            for line in shielded(lines):
                terminalreporter.write_line(line)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Give the workers a folder in which they share finished work."""
    stash = node.config.stash
    if SHARED not in stash:
        folder = tempfile.TemporaryDirectory(prefix="promptlab-")
        node.config.add_cleanup(folder.cleanup)
        stash[SHARED] = folder.name
    node.workerinput["promptlab"] = stash[SHARED]
    node.workerinput["promptlab_main"] = pickle.dumps(stash[MAIN]) if stash[BASE] else b""


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Merge a worker's results."""
    output = getattr(node, "workeroutput", {})
    if "promptlab" in output:
        node.config.stash[RESULTS].merge(pickle.loads(output["promptlab"]))  # noqa: S301 - our own


def pytest_make_parametrize_id(val: Any) -> str | None:
    """Name a test that is parametrized with an example by the example's id."""
    kind = type(val)
    is_example = (kind.__module__, kind.__name__) == ("promptlab.records", "Example")
    return str(val.id) if is_example else None
