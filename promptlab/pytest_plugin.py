"""The pytest plugin: options, the fixture `lab`, lines while the session runs, its summary.

Nothing here does work of its own; each hook passes on to the session's Lab. This file is imported in
every pytest session of everyone who has promptlab installed, so its top imports pytest and the standard
library alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from promptlab.lab import Lab
    from promptlab.profiles import Profile

LAB = pytest.StashKey["Lab"]()
SUMMARY = pytest.StashKey[list[tuple[str, list[str]]]]()  # what the summary shows

LIVE: dict[str, Any] = {"dest": "promptlab_live", "action": "store_true", "default": False}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("promptlab", "promptlab: prompts of text classifiers")
    group.addoption("--promptlab-live", help="Make the calls of `lab` and record them.", **LIVE)
    group.addoption(
        "--promptlab-profile",
        default=None,
        metavar="NAME",
        help="Use this profile of [tool.promptlab] instead of the one that it names.",
    )
    group.addoption(
        "--promptlab-report",
        default=".promptlab",
        metavar="DIR",
        help="Write the HTML reports into this folder (default: .promptlab).",
    )


@pytest.hookimpl(trylast=True)
def pytest_load_initial_conftests(parser: pytest.Parser) -> None:
    """Add --live once every plugin has added its own: where another has it, it stays theirs."""
    groups = [*parser._groups, parser._anonymous]  # pytest has no public list of options
    if not any("--live" in option.names() for group in groups for option in group.options):
        group = parser.getgroup("promptlab")
        group.addoption("--live", help="Short for --promptlab-live.", **LIVE)


def pytest_configure(config: pytest.Config) -> None:
    """Refuse what cannot be recorded: workers would write over one another's recording."""
    config.stash[SUMMARY] = []
    if config.getoption("promptlab_live") and config.getoption("numprocesses", None):
        raise pytest.UsageError("--live records in one process: leave out -n of pytest-xdist")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Live, stop before the first test where the API cannot be used."""
    config = session.config
    wanted = any("lab" in getattr(item, "fixturenames", ()) for item in session.items)
    if not wanted or not config.getoption("promptlab_live") or config.option.collectonly:
        return
    from promptlab.errors import PromptlabError
    from promptlab.lab import reachable

    try:
        reachable(_profile(config))
    except PromptlabError as error:
        raise pytest.UsageError(str(error)) from None


@pytest.fixture(scope="session")
def lab(pytestconfig: pytest.Config) -> Lab:
    """Run optimizations and evaluations on recorded calls; with --live, make and record them."""
    from promptlab.lab import Lab

    pytestconfig.stash[LAB] = Lab(
        root=pytestconfig.rootpath,
        profile=_profile(pytestconfig),
        live=pytestconfig.getoption("promptlab_live"),
        pages=pytestconfig.rootpath / pytestconfig.getoption("promptlab_report"),
        live_profile=_live_profile(pytestconfig),
        say=lambda line: _say(pytestconfig, line),
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
    for title, lines in config.stash[SUMMARY]:
        terminalreporter.section(title)
        for line in lines:
            terminalreporter.write_line(line)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand a worker's summary to the process that prints it."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["promptlab"] = session.config.stash[SUMMARY]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over a worker's summary; a run that several workers replayed is shown once."""
    summary = node.config.stash[SUMMARY]
    known = [title for title, _ in summary]
    new = getattr(node, "workeroutput", {}).get("promptlab", [])
    summary.extend((title, lines) for title, lines in new if title not in known)
    summary.sort(key=lambda section: section[0])  # workers end in any order


def _profile(config: pytest.Config) -> Profile:
    from promptlab import profiles

    return profiles.read(
        config.rootpath / "pyproject.toml",
        live=config.getoption("promptlab_live"),
        name=config.getoption("promptlab_profile"),
    )


def _live_profile(config: pytest.Config) -> str:
    """Return the profile that --live takes where no option names another."""
    from promptlab import profiles

    return profiles.read(config.rootpath / "pyproject.toml", live=True).name


def _say(config: pytest.Config, line: str) -> None:
    """Show a line at once under -v, whatever is being captured; pytest's own output stays whole."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    capture = config.pluginmanager.get_plugin("capturemanager")
    if reporter is None or config.get_verbosity() < 1:
        return
    with capture.global_and_fixture_disabled() if capture else contextlib.nullcontext():
        reporter.ensure_newline()
        reporter.write_line(line)
