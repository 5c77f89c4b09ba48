"""The command `promptlab`: work on recordings outside a test session."""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="promptlab", description="pytest for prompts")
    cassettes = parser.add_subparsers(required=True).add_parser("cassettes", help="recorded calls")
    commands = cassettes.add_subparsers(required=True)

    for name, run, what in (
        ("verify", _verify, "check files: structure, order, provenance, secrets"),
        ("upgrade", _upgrade, "rewrite files in the current format"),
    ):
        command = commands.add_parser(name, help=what)
        command.add_argument(
            "files", nargs="+", type=Path, metavar="FILE", help="a recording, or a folder of them"
        )
        command.set_defaults(run=run)

    export = commands.add_parser("export", help="write a file as vcrpy's own YAML")
    export.add_argument("file", type=Path, metavar="FILE")
    export.add_argument("target", type=Path, metavar="YAML")
    export.add_argument("--base-url", default="https://api.anthropic.com", help="server URL to write into it")
    export.set_defaults(run=_export)

    what = "replay the tests (takes pytest's arguments) and delete the recorded calls they do not use"
    commands.add_parser("prune", help=what).set_defaults(run=_prune)

    known, others = parser.parse_known_args(arguments)
    if others and known.run is not _prune:
        parser.error(f"unknown arguments: {' '.join(others)}")
    from promptlab.errors import PromptlabError

    try:
        return known.run(known, others)  # type: ignore[no-any-return]
    except PromptlabError as error:
        sys.stderr.write(f"promptlab: {error}\n")
        return 1


def _files(known: argparse.Namespace) -> list[Path]:
    from promptlab.cassettes.format import recordings

    return [path for given in known.files for path in (recordings(given) if given.is_dir() else [given])]


def _verify(known: argparse.Namespace, _: list[str]) -> int:
    from promptlab.cassettes.format import problems

    files = _files(known)
    found = [problem for path in files for problem in problems(path)]
    sys.stdout.writelines(f"{problem}\n" for problem in found)
    sys.stdout.write(f"{len(files)} checked, {len(found)} problem{'' if len(found) == 1 else 's'}\n")
    return 1 if found else 0


def _upgrade(known: argparse.Namespace, _: list[str]) -> int:
    from promptlab.cassettes.format import FORMAT, upgrade

    files = _files(known)
    count = sum(upgrade(path) for path in files)
    sys.stdout.write(f"{count} of {len(files)} rewritten in format {FORMAT}\n")
    return 0


def _export(known: argparse.Namespace, _: list[str]) -> int:
    from promptlab.cassettes.format import export

    sys.stdout.write(f"{known.target}: {export(known.file, known.target, known.base_url)} calls\n")
    return 0


def _prune(_: argparse.Namespace, others: list[str]) -> int:
    # In a process of its own, where pytest is the first to load the plugin and can rewrite its asserts.
    return subprocess.call([sys.executable, "-m", "pytest", "--promptlab-prune", *others])  # noqa: S603 - the user's own
