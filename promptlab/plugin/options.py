"""The options of the pytest plugin, and what they ask for; nothing but pytest is imported here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from promptlab.cassettes.recorder import Mode
    from promptlab.gate.git import Commit
    from promptlab.models.profiles import Profile

#: Options that make calls: what follows "--" or "--promptlab-", where they are kept, their meaning.
LIVE: dict[str, dict[str, Any]] = {
    "live": {
        "action": "store_true",
        "default": False,
        "help": "Make the calls of `lab` and record them.",
    },
    "live-changed": {
        "action": "store_true",
        "default": False,
        "help": "Make only the calls that are not recorded, and record them.",
    },
    "live-verify": {
        "type": int,
        "default": None,
        "metavar": "K",
        "help": "Ask K recorded calls again, write nothing, and say how many labels changed.",
    },
}


def add(parser: pytest.Parser) -> None:
    """Add the options, each under a name that no other plugin has."""
    group = parser.getgroup("promptlab", "promptlab: prompts of text classifiers")
    for name, settings in LIVE.items():
        group.addoption(f"--promptlab-{name}", dest=dest(name), **settings)
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
    group.addoption(
        "--promptlab-base",
        default=None,
        metavar="COMMIT",
        help="Judge each prompt folder that is evaluated against the one in this commit, such as origin/main.",
    )
    group.addoption(
        "--promptlab-strict",
        action="store_true",
        default=False,
        help="With --promptlab-base, fail unless each prompt is shown to be no worse.",
    )
    group.addoption(
        "--promptlab-prune",
        action="store_true",
        default=False,
        help="Drop the recorded calls that the tests of this session do not ask for.",
    )
    parser.addini(
        "promptlab_block_network",
        default="lab",
        help="What replay closes the network for: 'lab' (while it is at work) or 'session' (all tests).",
    )


def add_short_names(parser: pytest.Parser) -> None:
    """Add `--live` and its kin; where another plugin has one of them, it stays theirs."""
    groups = [*parser._groups, parser._anonymous]  # pytest has no public list of options
    taken = {name for group in groups for option in group.options for name in option.names()}
    for name, settings in LIVE.items():
        if f"--{name}" not in taken:
            short = settings | {"help": f"Short for --promptlab-{name}."}
            parser.getgroup("promptlab").addoption(f"--{name}", dest=dest(name), **short)


def dest(name: str) -> str:
    """Return where the value of an option is kept."""
    return "promptlab_" + name.removeprefix("promptlab-").replace("-", "_")


def mode(config: pytest.Config) -> Mode:
    """Return what the session does about calls."""
    if config.getoption("promptlab_prune"):
        return "prune"
    if config.getoption("promptlab_live"):
        return "live"
    return "changed" if config.getoption("promptlab_live_changed") else "replay"


def makes_calls(config: pytest.Config) -> bool:
    """Say whether the session reaches a server."""
    return mode(config) in ("live", "changed") or config.getoption("promptlab_live_verify") is not None


def profile(config: pytest.Config) -> Profile:
    """Return the profile in use; DataError where pyproject.toml names none that can be."""
    from promptlab.models import profiles

    return profiles.read(
        config.rootpath / "pyproject.toml",
        live=mode(config) in ("live", "changed"),
        name=config.getoption("promptlab_profile"),
    )


def live_profile(config: pytest.Config) -> str:
    """Return the profile that --live takes where no option names another."""
    from promptlab.models import profiles

    return profiles.read(config.rootpath / "pyproject.toml", live=True).name


def base(config: pytest.Config) -> Commit | None:
    """Return the commit to judge against; None where no option names one."""
    name = config.getoption("promptlab_base")
    if name == "":
        raise pytest.UsageError("--promptlab-base is empty, expected a commit such as origin/main")
    if name is None:
        if config.getoption("promptlab_strict"):
            raise pytest.UsageError("--promptlab-strict needs --promptlab-base=COMMIT to judge against")
        return None
    from promptlab.gate.git import BaseError, commit

    try:
        return commit(config.rootpath, name)
    except BaseError as error:
        raise pytest.UsageError(str(error)) from None
