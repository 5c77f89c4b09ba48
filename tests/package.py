"""Check what was built, and run the README's first test from the installed wheel: `python tests/package.py DIST`.

It is run as a file, in an environment that has the wheel and nothing of this folder but what it names.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import examples
from server import serving

import promptlab

ROOT = Path(__file__).parent.parent
NOT_IN_THE_SDIST = {".ci/run", ".gitattributes"}
RUN = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
INIT = [sys.executable, "-m", "promptlab", "init"]
#: The server is no model, so the calls need no pace; and what test can show is not asked for here.
CONFTEST = """
from promptlab.models import pacing
from promptlab.scoring import power

pacing.START = 1e6
power.ROUNDS = (40, 80)
"""


def tracked(*under: str) -> set[str]:
    """Return the files that git tracks."""
    listed = subprocess.run(["git", "ls-files", *under], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(listed.stdout.splitlines())


def check_sdist(path: Path) -> None:
    """The sdist holds every file that its tests read."""
    with tarfile.open(path) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert tracked() - held == NOT_IN_THE_SDIST, sorted(tracked() - held)
    assert {"PKG-INFO"} == held - tracked(), sorted(held - tracked())


def check_wheel(path: Path) -> None:
    """The wheel holds the package: code, stubs, templates and texts, and nothing else."""
    with zipfile.ZipFile(path) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert tracked("promptlab") == held, sorted(tracked("promptlab") ^ held)
    named = ("py.typed", "__init__.pyi", "report/templates/page.html", "scaffold/templates/test.py.txt")
    assert {f"promptlab/{name}" for name in named} <= held


def check_example(folder: Path) -> None:
    """The README's first prompt is guarded as a user does it: recorded from a server, then offline."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    task, test, *_ = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    rows = "".join(f"{one.text},{one.label}\n" for one in examples.examples())
    for name, text in {
        "pytest.ini": "[pytest]\n",  # so that no file further up is the configuration
        "conftest.py": CONFTEST,
        "topics.csv": f"text,label\n{rows}",
    }.items():
        (folder / name).write_text(text, encoding="utf-8")
    own = {
        name: value for name, value in os.environ.items() if not name.startswith(("ANTHROPIC_", "PYTEST_"))
    }
    subprocess.run([*INIT, "topics", "--data", "topics.csv"], cwd=folder, env=own, check=True)
    assert (task, test) == tuple(
        (folder / "topics" / name).read_text() for name in ("task.py", "test_topics.py")
    )
    with serving(examples.answer) as server:
        examples.connect(folder, server.url)
        subprocess.run([*RUN, "--live"], cwd=folder, env=own, check=True)
        asked = len(server.bodies)
        assert asked
        subprocess.run(RUN, cwd=folder, env=own, check=True)
        assert asked == len(server.bodies), "the replay made calls"
    assert list(folder.glob("cassettes/local/topics/*.jsonl"))


if __name__ == "__main__":
    assert not Path(promptlab.__file__).is_relative_to(ROOT / "promptlab"), "this is not the wheel"
    (sdist,), (wheel,) = (list(Path(sys.argv[1]).glob(kind)) for kind in ("*.tar.gz", "*.whl"))
    check_sdist(sdist)
    check_wheel(wheel)
    with tempfile.TemporaryDirectory() as folder:
        check_example(Path(folder))
