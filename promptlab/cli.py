"""The command `promptlab`: work on recordings outside a test session."""

import argparse
import functools
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from promptlab import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="promptlab", description="pytest for prompts")
    parser.add_argument("--version", action="version", version=f"promptlab {__version__}")
    first = parser.add_subparsers(required=True)
    _add_init(first.add_parser("init", help="write the files of a new task around a file of examples"))
    _add_split(first.add_parser("split", help="write the split of a CSV or TSV file into a column of it"))
    _add_classify(first.add_parser("classify", help="label the rows of a file with a tested prompt"))
    _add_gate(first.add_parser("gate", help="judge the data of a branch by the tests of its base"))
    _add_cassettes(first.add_parser("cassettes", help="recorded calls"))

    known, others = parser.parse_known_args(arguments)
    if others and known.run not in (_prune, _gate):
        parser.error(f"unknown arguments: {' '.join(others)}")
    from promptlab.errors import PromptlabError

    try:
        return known.run(known, others)  # type: ignore[no-any-return]
    except PromptlabError as error:
        sys.stderr.write(f"promptlab: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130


def _add_init(command: argparse.ArgumentParser) -> None:
    command.add_argument("name", metavar="NAME", help="of the task and its folder")
    command.add_argument(
        "--data", type=Path, required=True, metavar="FILE", help="CSV, TSV, JSON lines or Parquet"
    )
    command.add_argument(
        "--label", default="label", metavar="COLUMN", help="the column of labels (default: label)"
    )
    command.add_argument(
        "--text", default="", metavar="COLUMN", help="the column of texts (default: text, or the longest)"
    )
    command.set_defaults(run=_init)


def _add_cassettes(cassettes: argparse.ArgumentParser) -> None:
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

    merge = commands.add_parser("merge", help="join what two branches have recorded in a file")
    merge.description = (
        "Join the two sides of a recording that git could not merge, or FILE and OTHER. Where both have a "
        "call, the answer of ours, or of FILE, is kept."
    )
    merge.add_argument("file", type=Path, metavar="FILE")
    merge.add_argument("other", type=Path, metavar="OTHER", nargs="?")
    merge.set_defaults(run=_merge)

    what = "replay the tests (takes pytest's arguments) and delete the recorded calls they do not use"
    commands.add_parser("prune", help=what).set_defaults(run=_prune)


def _add_split(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", type=Path, metavar="FILE")
    for column in ("text", "label", "id", "canonical", "group", "split"):
        many = "+" if column in ("text", "label", "group") else None
        command.add_argument(f"--{column}", nargs=many, metavar="COLUMN", help=f"by default {column}")
    command.add_argument("--graded", action="store_true", help="the label is no class: split by hash alone")
    command.add_argument(
        "--shares", nargs=3, type=float, default=None, metavar="SHARE", help="of train, validation and test"
    )
    command.add_argument("--seed", type=int, default=0, help="as Task(split_seed=...)")
    command.set_defaults(run=_split)


def _add_classify(command: argparse.ArgumentParser) -> None:
    command.description = (
        "Ask the profile's classifier about each row of ROWS, as the tests do, and write the rows with the "
        "columns label and reason. Replies are kept beside OUTPUT as they arrive: the same command goes on "
        "where it was stopped."
    )
    command.add_argument("task", metavar="FILE.py:TASK", help="the task, such as test_topics.py:task")
    command.add_argument("rows", type=Path, metavar="ROWS", help="CSV, TSV, JSON lines or Parquet")
    command.add_argument("--prompt", type=Path, required=True, metavar="FOLDER", help="the prompt's folder")
    command.add_argument(
        "-o", "--output", type=Path, required=True, metavar="OUTPUT", help="in any of the same formats"
    )
    command.add_argument(
        "--profile", metavar="NAME", help="whose classifier is asked, if not [tool.promptlab]'s"
    )
    command.add_argument("--replies", action="store_true", help="add the column reply")
    command.add_argument(
        "--max-cost", type=float, metavar="DOLLARS", help="the most that this command may spend"
    )
    command.add_argument(
        "--batch", action="store_true", help="send Message Batches: half the price, within a day"
    )
    command.set_defaults(run=_classify)


def _add_gate(command: argparse.ArgumentParser) -> None:
    command.description = (
        "Check BASE out beside the working tree, lay over it the prompts, recordings and data that HEAD "
        "changes, and run BASE's tests there, offline. Nothing of HEAD is imported or run. Further arguments "
        "are pytest's."
    )
    command.add_argument("base", metavar="BASE", help="the commit whose code judges, such as origin/main")
    command.add_argument("head", metavar="HEAD", help="the commit whose data are judged, such as a branch")
    command.add_argument(
        "--strict", action="store_true", help="fail unless each prompt is shown to be no worse"
    )
    command.add_argument(
        "--report", type=Path, default=Path(".promptlab"), metavar="DIR", help="for the reports"
    )
    command.add_argument("--junitxml", type=Path, metavar="FILE", help="for the verdicts as JUnit XML")
    command.add_argument("--anchor", metavar="COMMIT", help="judge against a fixed release too")
    command.add_argument(
        "--retired",
        action="append",
        default=[],
        metavar="PATH",
        help="a prompt folder, or a recording, that HEAD may remove",
    )
    command.add_argument(
        "--live",
        action="store_true",
        help="ask the model what HEAD's data lack, without HEAD's recordings, and record it here",
    )
    command.set_defaults(run=_gate)


def _classify(known: argparse.Namespace, _: list[str]) -> int:
    from promptlab.bulk import files, task_file
    from promptlab.models import profiles, prompts

    root, task = Path.cwd(), task_file.load(known.task)
    profile = profiles.read(root / "pyproject.toml", live=True, name=known.profile)
    done = files.label_file(
        task,
        prompts.load_prompt(known.prompt),
        prompts.classifier_of(profile.classifier, task),
        known.rows,
        known.output,
        replies=known.replies,
        max_cost=known.max_cost,
        batch=known.batch,
        root=root,
    )
    sys.stdout.write(f"{done}\n")
    return 0


def _gate(known: argparse.Namespace, others: list[str]) -> int:
    from promptlab.gate.judge import judge

    options = [f"--promptlab-report={known.report.resolve()}"]
    options += [f"--junitxml={known.junitxml.resolve()}"] if known.junitxml else []
    options += ["--promptlab-strict"] if known.strict else []
    options += [f"--promptlab-anchor={known.anchor}"] if known.anchor else []
    show = functools.partial(print, end="", flush=True)
    return judge(Path.cwd(), known.base, known.head, options, others, known.retired, show, live=known.live)


def _init(known: argparse.Namespace, _: list[str]) -> int:
    from promptlab.scaffold.files import create

    tracked = [known.name, str(known.data), "cassettes", ".github", ".gitattributes"]
    for path in create(Path.cwd(), known.name, known.data, text=known.text, label=known.label):
        copied = path.name == known.data.name
        if copied:
            tracked.remove(str(known.data))
        what = f"copied {known.data}, which lies outside the repository, to" if copied else "wrote"
        sys.stdout.write(f"{what} {path.relative_to(Path.cwd())}\n")
    sys.stdout.write(
        f"next: say in {known.name}/task.py and {known.name}/prompt/system.md what the labels mean; name a\n"
        f"model in pyproject.toml (see the README), or export ANTHROPIC_API_KEY=... for Claude; then\n"
        f"  pytest --live {known.name} -k validation      # ask the model, and set the threshold from it\n"
        f"  pytest --live-changed {known.name}            # ask about test\n"
        f"  pytest {known.name}                           # from then on, offline and free\n"
        f"and commit: git add {shlex.join(tracked)}, and pyproject.toml if it names the model\n"
        f"in CI, the workflows install pytest-promptlab; set the variable PROMPT_INSTALL to install yours\n"
    )
    return 0


def _split(known: argparse.Namespace, _: list[str]) -> int:
    from promptlab.data.columns import Columns
    from promptlab.data.freeze import freeze
    from promptlab.data.splits import SHARES

    columns = {name: getattr(known, name) for name in ("text", "label", "id", "canonical", "group", "split")}
    given = {
        name: one[0] if isinstance(one, list) and len(one) == 1 else one
        for name, one in columns.items()
        if one
    }
    chosen: Columns = given  # type: ignore[assignment]  # the options have the names of its keys
    shares = known.shares or SHARES
    counts = freeze(known.file, chosen, graded=known.graded, shares=shares, seed=known.seed)
    for split, of in counts.items():
        sys.stdout.write(
            f"{split}: {sum(of.values())} ({', '.join(f'{n} {label}' for label, n in of.items())})\n"
        )
    return 0


def _files(known: argparse.Namespace) -> list[Path]:
    from promptlab.cassettes.format import recordings

    return [path for given in known.files for path in (recordings(given) if given.is_dir() else [given])]


def _verify(known: argparse.Namespace, _: list[str]) -> int:
    from promptlab.cassettes.format import EXAMPLES, problems

    files = _files(known)
    files += [path for one in known.files if one.is_dir() for path in sorted(one.rglob(f"*{EXAMPLES}"))]
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


def _merge(known: argparse.Namespace, _: list[str]) -> int:
    from promptlab.cassettes import format as files
    from promptlab.errors import RecordingError
    from promptlab.gate.git import sides

    with tempfile.TemporaryDirectory() as folder:
        if known.other is None:
            paths = [Path(folder, f"{side}.jsonl") for side in ("ours", "theirs")]
            for path, content in zip(paths, sides(known.file), strict=True):
                path.write_bytes(content)
        else:
            paths = [known.file, known.other]
        for path in paths:
            if not path.exists():
                raise RecordingError(f"{path}: there is no such file")
        ours, theirs = map(files.read, paths)
    new, other = files.merged(ours, theirs)
    files.write(known.file, new)
    sys.stdout.write(
        f"{known.file}: {len(new.calls)} calls: {len(ours.calls)} and {len(theirs.calls)}, "
        f"{len(ours.calls) + len(theirs.calls) - len(new.calls)} in both, "
        f"{other} of them with another answer\n"
    )
    return 0


def _prune(_: argparse.Namespace, others: list[str]) -> int:
    # In a process of its own, where pytest is the first to load the plugin and can rewrite its asserts.
    command = [sys.executable, "-m", "pytest", "--promptlab-prune", *others]
    return subprocess.call(command)  # noqa: S603 - the user's own
