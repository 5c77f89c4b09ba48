"""The project's commands: `nox -s demo`, `nox -s tests`; `nox -l` lists all of them."""

import tempfile
from pathlib import Path

import nox

nox.needs_version = ">=2025.10"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["tests", "lint", "types", "benchmarks"]

PYPROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = nox.project.python_versions(PYPROJECT)


def install(session: nox.Session, *groups: str) -> None:
    """Install promptlab as it stands here, and what some dependency groups name."""
    session.install("-e", ".", *nox.project.dependency_groups(PYPROJECT, *groups))


@nox.session
def demo(session: nox.Session) -> None:
    """Replay an optimization that wins and a pull request that is stopped: no key, no network."""
    session.install("-e", ".")
    session.run("python", "-m", "benchmarks.demo")


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests."""
    install(session, "test")
    session.run("pytest", "-n2", "--dist=loadfile", *session.posargs)


@nox.session(default=False)
def coverage(session: nox.Session) -> None:
    """Run the tests and say which lines they miss; that takes half as long again."""
    install(session, "test")
    session.run("coverage", "run", "-m", "pytest", "-n2", "--dist=loadfile", *session.posargs)
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report", "--skip-covered")


@nox.session(python=PYTHONS, default=False)
def versions(session: nox.Session) -> None:
    """Run the tests on every version of Python that is supported and installed."""
    install(session, "test")
    session.run("pytest", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting, and GitHub's workflows for their schema and their safety."""
    session.install(*nox.project.dependency_groups(PYPROJECT, "lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    workflows = [str(path) for path in sorted(Path(".github/workflows").glob("*.yml"))]
    session.run("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *workflows)
    session.run("zizmor", "--offline", "--no-progress", "--config", ".github/zizmor.yml", *workflows)


@nox.session
def types(session: nox.Session) -> None:
    """Check types."""
    install(session, "types")
    session.run("mypy")


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Replay every benchmark."""
    session.install("-e", ".")
    session.run("pytest", "benchmarks", *session.posargs)


@nox.session(default=False, reuse_venv=False)
def package(session: nox.Session) -> None:
    """Build the sdist and the wheel, and run the README's first test from the wheel in an empty environment."""
    session.install("build")
    with tempfile.TemporaryDirectory() as folder:
        session.run("python", "-m", "build", "--outdir", folder)
        session.install(*map(str, Path(folder).glob("*.whl")))
        session.run("python", "tests/package.py", folder)


@nox.session(default=False)
def thorough(session: nox.Session) -> None:
    """Run what takes minutes: kills by the dozen, races, fuzzing at size."""
    install(session, "test")
    session.run("pytest", "-n2", "-m", "thorough", *session.posargs)


@nox.session(default=False)
def ray(session: nox.Session) -> None:
    """Label with a Ray cluster of two workers on this machine, one of which is killed."""
    session.install("-e", ".[ray]", *nox.project.dependency_groups(PYPROJECT, "test"))
    session.run("pytest", "tests/bulk/ray_cluster.py", *session.posargs)


@nox.session(default=False)
def mutation(session: nox.Session) -> None:
    """Change the code that reads labels and keeps replies, and see the tests fail: 600 mutants, ten minutes."""
    install(session, "test", "mutation")
    session.run("mutmut", "run", *session.posargs)
    session.run("mutmut", "results")


@nox.session(default=False)
def peers(session: nox.Session) -> None:
    """Run another optimizer on one of the tasks: `nox -s peers -- gepa duplicates`; needs the recorded model."""
    install(session, "peers")
    session.run("python", "-m", "benchmarks.optimizers.peers", *session.posargs)


@nox.session(default=False)
def speed(session: nox.Session) -> None:
    """Measure replay, recording and pace beside stock vcrpy and the SDK, pages and whole tables; JSON lines, 90 minutes."""
    install(session, "test")
    session.run("python", "benchmarks/speed/replay.py")
    session.run("python", "benchmarks/speed/pacing.py")
    session.run("python", "benchmarks/speed/page.py")
    session.run("python", "benchmarks/speed/bulk.py")


@nox.session(default=False)
def pictures(session: nox.Session) -> None:
    """Take the README's pictures, docs/page.png and docs/comment.png, of what the recordings show."""
    install(session, "test")
    session.run("python", "-m", "benchmarks.pictures")
