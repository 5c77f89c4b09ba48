"""The options of the pytest plugin, and what they mean; nothing but pytest is imported here."""

from __future__ import annotations

import itertools
import shlex
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from promptlab.cassettes.recorder import Mode
    from promptlab.gate.git import Commit
    from promptlab.models.profiles import Profile

#: Options that make calls; each has a short name too, "--live" for "--promptlab-live".
LIVE: dict[str, dict[str, Any]] = {
    "live": {"action": "store_true", "help": "Make the calls of `lab` and record them."},
    "live-changed": {
        "action": "store_true",
        "help": "Make only the calls that are not recorded, and record them.",
    },
    "live-verify": {
        "type": int,
        "metavar": "K",
        "help": "Repeat K recorded calls, write nothing, and report how many labels changed.",
    },
}
OTHERS: dict[str, dict[str, Any]] = {
    "profile": {
        "metavar": "NAME",
        "help": "Use this profile from [tool.promptlab] instead of the configured one.",
    },
    "report": {
        "default": ".promptlab",
        "metavar": "DIR",
        "help": "Write the HTML reports into this folder (default: .promptlab).",
    },
    "base": {
        "metavar": "COMMIT",
        "help": "Judge each evaluated prompt folder against its version at this commit, such as origin/main.",
    },
    "anchor": {
        "metavar": "COMMIT",
        "help": "With --promptlab-base, judge against a fixed release too, such as a tag; "
        "worse than it fails.",
    },
    "fresh-base": {
        "action": "store_true",
        "help": "With --promptlab-base and --live-changed, ask the base's prompt again too, since its "
        "recording may have been a lucky one.",
    },
    "strict": {
        "action": "store_true",
        "help": "With --promptlab-base, fail unless each prompt is shown to be no worse.",
    },
    "main": {
        "metavar": "FILE",
        "help": "With --promptlab-base, judge by this file's labels and answers too, instead of running the "
        "base's tests for them.",
    },
    "answers": {
        "metavar": "FILE",
        "help": "Write what each evaluation of a prompt folder read to this file, for --promptlab-main.",
    },
    "retired": {
        "action": "append",
        "default": [],
        "metavar": "PATH",
        "help": "With --promptlab-base, this prompt folder, or this recording, needs no test any more; "
        "on the command line only.",
    },
    "plan": {
        "action": "store_true",
        "help": "Make no call: say how many calls, tokens and dollars those that are not recorded "
        "would take.",
    },
    "max-cost": {
        "type": float,
        "metavar": "DOLLARS",
        "help": "With an option that makes calls, spend no more than this in the session.",
    },
    "afresh": {
        "action": "store_true",
        "help": "With --live, make again what a session that was stopped has finished.",
    },
    "prune": {
        "action": "store_true",
        "help": "Delete the recorded calls that no test in this session uses.",
    },
}


#: Options that say something of the base, and their defaults.
OF_BASE: tuple[tuple[str, object], ...] = (
    ("strict", False),
    ("fresh-base", False),
    ("anchor", None),
    ("main", None),
    ("retired", []),
)


def add(parser: pytest.Parser) -> None:
    """Add the options, each under a name that no other plugin has."""
    group = parser.getgroup("promptlab", "promptlab: prompts of text classifiers")
    for name, settings in (LIVE | OTHERS).items():
        group.addoption(f"--promptlab-{name}", dest=dest(name), **settings)
    parser.addini(
        "promptlab_block_network",
        default="lab",
        help="When replay blocks the network: 'lab' (only while `lab` works) or 'session' (for all tests).",
    )


def add_short_names(parser: pytest.Parser) -> None:
    """Add `--live` and the like, unless another plugin has added an option of that name."""
    for name, settings in LIVE.items():
        if not _known(parser, f"--{name}"):
            short = settings | {"help": f"Short for --promptlab-{name}."}
            parser.getgroup("promptlab").addoption(f"--{name}", dest=dest(name), **short)


def _known(parser: pytest.Parser, option: str) -> bool:
    try:
        return option not in parser.parse_known_and_unknown_args([option])[1]
    except pytest.UsageError:  # it is known, and wants a value
        return True


def dest(name: str) -> str:
    """Return the attribute of an option's value."""
    return f"promptlab_{name.replace('-', '_')}"


def check(config: pytest.Config) -> None:
    """Raise UsageError for options that exclude one another or make no sense."""
    given = [f"--{name}" for name in LIVE if config.getoption(dest(name)) not in (False, None)]
    given += [f"--promptlab-{name}" for name in ("plan", "prune") if config.getoption(dest(name))]
    if len(given) > 1:
        raise pytest.UsageError(f"{' and '.join(given)} are mutually exclusive: use only one")
    cost = config.getoption("promptlab_max_cost")
    if cost is not None and not cost > 0:
        raise pytest.UsageError(f"--promptlab-max-cost={cost:g}: expected dollars, more than 0")
    if given and config.getoption("numprocesses", None):  # workers would overwrite one another's recording
        raise pytest.UsageError(f"{given[0]} needs a single process: drop -n of pytest-xdist, or add -n0")
    for option, value in OF_BASE:
        given_alone = config.getoption(dest(option)) != value and config.getoption("promptlab_base") is None
        if given_alone:
            raise pytest.UsageError(f"--promptlab-{option} needs --promptlab-base=COMMIT to judge against")
    if config.getoption("promptlab_fresh_base") and mode(config) == "replay":
        raise pytest.UsageError(
            "--promptlab-fresh-base asks the base again: it needs --live-changed, or --live"
        )
    typed = [str(one) for one in config.invocation_params.args]
    for path in config.getoption("promptlab_retired"):
        # A branch can change its configuration, and so what no test judges.
        if f"--promptlab-retired={path}" not in typed and (
            "--promptlab-retired",
            path,
        ) not in itertools.pairwise(typed):
            raise pytest.UsageError(f"--promptlab-retired={path}: give it on the command line, not in a file")
    count = config.getoption("promptlab_live_verify")
    if count is not None and count < 1:
        raise pytest.UsageError(f"--live-verify={count}: expected a number of calls, 1 or more")


def asked(config: pytest.Config) -> list[str]:
    """Return the files and folders that the command line names, relative to the project; none for all."""
    if config.args_source != pytest.Config.ArgsSource.ARGS:
        return []
    here, root = config.invocation_params.dir, config.rootpath.resolve()
    paths = [(here / str(one).partition("::")[0]).resolve() for one in config.args]
    return [path.relative_to(root).as_posix() for path in paths if path.is_relative_to(root)]


def closes_network(config: pytest.Config) -> bool:
    """Say whether the network is closed to all tests of the session."""
    wanted = config.getini("promptlab_block_network")
    if wanted not in ("lab", "session"):
        raise pytest.UsageError(f"promptlab_block_network is {wanted!r}, expected 'lab' or 'session'")
    return wanted == "session" and not makes_calls(config)


def mode(config: pytest.Config) -> Mode:
    """Return what the session does about calls."""
    if config.getoption("promptlab_live"):
        return "live"
    return "changed" if config.getoption("promptlab_live_changed") else "replay"


def makes_calls(config: pytest.Config) -> bool:
    """Say whether the session makes calls."""
    return mode(config) in ("live", "changed") or config.getoption("promptlab_live_verify") is not None


def profile(config: pytest.Config) -> Profile:
    """Return the profile in use; DataError where pyproject.toml names none that can be."""
    from promptlab.models import profiles

    live, name = mode(config) != "replay", config.getoption("promptlab_profile")
    live = live or config.getoption("promptlab_plan")
    return profiles.read(config.rootpath / "pyproject.toml", live=live, name=name)


def publishes_texts(config: pytest.Config) -> bool:
    """Say whether comment, pages and JUnit may show examples and replies."""
    from promptlab.models import profiles

    return profiles.publishes_texts(config.rootpath / "pyproject.toml")


def live_profile(config: pytest.Config) -> str:
    """Return the name of the profile that --live takes where no option names another."""
    from promptlab.models import profiles

    return profiles.read(config.rootpath / "pyproject.toml", live=True).name


def commit(config: pytest.Config, option: str) -> Commit | None:
    """Return the commit that "base" or "anchor" names; None where it is not given."""
    name = config.getoption(dest(option))
    if name == "":
        raise pytest.UsageError(f"--promptlab-{option} is empty, expected a commit such as origin/main")
    if name is None:
        return None
    from promptlab.gate import git

    try:
        return git.commit(config.rootpath, name, option)
    except git.BaseError as error:
        raise pytest.UsageError(str(error)) from None


def invocation(config: pytest.Config) -> str:
    """Return the command that began this session; the folder of one of `promptlab gate` does not stay."""
    if config.getoption(dest("main")) is not None:
        return "run the same command again"
    return shlex.join(["pytest", *map(str, config.invocation_params.args)])


def describe(config: pytest.Config) -> str:
    """Say in a line who answered the calls that are replayed, or who will be asked."""
    from promptlab.cassettes import format as files
    from promptlab.errors import PromptlabError
    from promptlab.models.messages_api import shown_url

    try:
        used = profile(config)
    except PromptlabError as error:
        return f"promptlab: {error}"
    who = files.describe(config.rootpath / "cassettes" / used.name)
    if makes_calls(config):
        asked = {f"{model.name} at {shown_url(model)}" for model in used.models}
        who = f"asks {' and '.join(sorted(asked))}"
    return f"promptlab: profile {used.name}, {who}"
