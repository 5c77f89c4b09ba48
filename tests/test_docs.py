"""The documentation: every example runs, every option exists and is described, every link leads somewhere."""

from __future__ import annotations

import contextlib
import doctest
import io
import json
import re
import shlex
import subprocess
import sys
import textwrap
from collections import Counter

import anthropic
import markdown_it
import pytest

import promptlab as pl
from promptlab.cli import main
from promptlab.models import profiles

from . import examples
from .conftest import ROOT
from .server import serving

PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md")))
}
DOCS = [name for name in PAGES if name != "CHANGELOG.md"]
TEXT = "\n".join(PAGES[name] for name in DOCS)
QUOTED = "# quoted: "  # begins a block that cannot run alone, and names the file that it quotes

#: Pages whose Python has a test of its own.
ELSEWHERE = ("README.md", "docs/classify.md", "docs/python.md")


def blocks(page: str, language: str) -> list[str]:
    """Return the fenced blocks of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGES[page], re.DOTALL | re.MULTILINE)


def having(language: str) -> list[str]:
    """Return the pages with blocks in one language that have no test of their own."""
    return [
        page for page in DOCS if blocks(page, language) and not (page in ELSEWHERE and language == "python")
    ]


# -- examples ------------------------------------------------------------------------------------

#: What the examples of a page may use: the data files, prompts and names that its reader has.
TOPICS = "id,text,label,canonical\n" + "".join(
    f"{e.id},{e.text},{e.label},{'yes' if n < 2 else ''}\n" for n, e in enumerate(examples.examples(160))
)
FILES = {
    "topics.csv": TOPICS,
    "data.csv": "text,name,date\n" + "".join(f"text {n},n{n},d{n}\n" for n in range(20)),
    "train.csv": "qid,question_text,target\n" + "".join(f"q{n},What is {n}?,{n % 2}\n" for n in range(40)),
    "questions.csv": "id,qid1,qid2,question1,question2,is_duplicate\n"
    + "".join(f"{n},a{n},b{n},What is {n}?,What was {n}?,{n % 2}\n" for n in range(40)),
    "prompt/system.md": "Better",
    "prompt-2/system.md": "Better still",
}
KNOWN = """
import json
from dataclasses import replace
import anthropic
import pytest
import promptlab as pl

task = pl.Task(
    name="topics", examples=pl.read_csv("topics.csv"), labels=("weather", "food"), brief="Weather or food?"
)
text, extract, read_fields = task.examples[0].text, task.extract, json.loads
client = anthropic.Anthropic(base_url="ADDRESS", api_key="x")
"""


def answer(body):
    """Answer as the examples' server does; of Claude's prompts, the system prompt is a list."""
    return examples.answer(body | {"system": json.dumps(body.get("system", ""))})


def lay_out(folder, url):
    for name, content in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content)
    examples.connect(folder, url)


@pytest.mark.parametrize("page", having("python"))
def test_the_python_of_a_page_runs_from_top_to_bottom(pytester, monkeypatch, page):
    monkeypatch.setattr("promptlab.scoring.power.ROUNDS", (40, 80))
    code = [block for block in blocks(page, "python") if not block.startswith(QUOTED)]
    with serving(answer) as server:
        lay_out(pytester.path, server.url)
        done = pytester.makepyfile(test_page=KNOWN.replace("ADDRESS", server.url) + "\n".join(code))
        result = pytester.runpytest_inprocess("--live", done.name)
    found = result.parseoutcomes()
    assert result.ret in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    assert "def test_" not in "".join(code) or 1 <= found["passed"] + found.get("skipped", 0)


def test_one_example_cannot_run_alone_and_is_quoted_to_the_letter():
    quoted = [(page, one) for page in DOCS for one in blocks(page, "python") if one.startswith(QUOTED)]
    ((page, loop),) = quoted
    assert "docs/optimizing.md" == page
    first, _, loop = loop.partition("\n")
    source = (ROOT / first.removeprefix(QUOTED)).read_text(encoding="utf-8")
    start = source.index("        for number in range(1")
    end = source.index("        # The test split is read here")
    assert textwrap.dedent(source[start:end]).strip() == loop.strip()
    assert len(loop.splitlines()) <= 40  # it fits on a screen


@pytest.mark.parametrize("page", having("pycon"))
def test_what_the_prompt_prints_is_what_python_prints(page):
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner()
    for block in blocks(page, "pycon"):
        runner.run(parser.get_doctest(block, {}, page, page, 0))
    assert runner.tries
    assert 0 == runner.failures


def test_production_asks_and_reads_as_the_tests_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pl.save_prompt(pl.Prompt("Better", "<", ">", demonstrations=[("Hail?", "x")]), "prompt")
    task, model = examples.task(), "claude-haiku-5-5"
    example = task.split("test")[0]
    (production,) = blocks("docs/prompts.md", "python")
    with serving(examples.answer) as server, anthropic.Anthropic(base_url=server.url, api_key="x") as client:
        known = {"client": client, "pl": pl, "task": task, "text": example.text}
        exec(production, known)
        pl.evaluate(task, "prompt", classifier=pl.Model(model, base_url=server.url))
    assert (example.label, None) == (known["label"], known["missing"])
    assert 2 == server.bodies.count(server.bodies[0])


def test_the_graded_task_scores_the_share_of_its_fields(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.csv").write_text(FILES["data.csv"])
    known = {"pl": pl, "read_fields": json.loads}
    exec(*blocks("docs/graded.md", "python"), known)
    one = known["task"].examples[3]
    assert (1.0, 0.5) == tuple(known["task"].grade(one, {"name": "n3", "date": date}) for date in ("d3", ""))


@pytest.mark.parametrize("page", having("toml"))
def test_the_settings_of_a_page_can_be_read(page, tmp_path):
    for block in blocks(page, "toml"):
        (tmp_path / "pyproject.toml").write_text(block)
        for name in [None, *re.findall(r"promptlab\.profiles\.(\w+)", block)]:
            assert profiles.read(tmp_path / "pyproject.toml", live=True, name=name)


def test_the_estimate_is_what_its_command_prints():
    page = PAGES["README.md"]
    (command,) = re.findall(r"`pytest ([^`]*--promptlab-plan[^`]*test_optimize[^`]*)` prints", page)
    (line,) = blocks("README.md", "console")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *shlex.split(command)], cwd=ROOT, capture_output=True, text=True
    )
    assert line.strip() in done.stdout.splitlines()
    (read, written), _ = re.findall(r"about ([\d,]+) tokens in and ([\d,]+) out", line)
    assert f"({read} × $0.10 + {written} × $0.50)" in page


# -- options ----------------------------------------------------------------------------------

#: Options of other programs that the documentation uses.
OTHERS = {"--alias", "--port", "--detach", "--fail", "--header", "--form"}  # llama-server, git, curl


def help_of(*command: str) -> str:
    """Return what a command of promptlab says of itself."""
    with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.suppress(SystemExit):
        main([*command, "--help"])
    return said.getvalue()


def commands(*command: str) -> dict[tuple[str, ...], str]:
    """Return the help of a command and of all below it."""
    said = help_of(*command)
    below = re.search(r"\{([\w,]+)\}", said)
    found = {command: said}
    for name in below[1].split(",") if below else ():
        found |= commands(*command, name)
    return found


def options_in(text: str) -> set[str]:
    """Return the options that a text names."""
    return set(re.findall(r"(?<![\w-])--[a-z][\w-]+", text))


def pytest_options(pytester: pytest.Pytester) -> set[str]:
    """Return all options of pytest, with the plugin's."""
    return options_in(pytester.runpytest_inprocess("--help").stdout.str())


def test_every_option_that_is_named_exists(pytester):
    known = pytest_options(pytester).union(*map(options_in, commands().values()))
    assert OTHERS == options_in(TEXT) - known


def test_every_option_of_the_plugin_is_listed(pytester):
    ours = {one for one in pytest_options(pytester) if one.startswith(("--promptlab-", "--live"))}
    assert 19 == len(ours)
    listed = set(re.findall(r"`(--[\w-]+)[`=]", PAGES["docs/options.md"]))
    assert set() == ours - listed


@pytest.mark.parametrize("command", commands(), ids=lambda command: " ".join(("promptlab", *command)))
def test_a_command_and_its_options_are_described(command):
    name = " ".join(("promptlab", *command[:1]))
    assert len(commands(*command)) > 1 or " ".join(("promptlab", *command)) in TEXT
    text = "\n".join(PAGES[page] for page in DOCS if name in PAGES[page])
    assert set() == options_in(help_of(*command)) - {"--help"} - options_in(text)


def test_every_command_that_is_named_exists_and_takes_its_options(pytester):
    known, others = commands(), pytest_options(pytester)
    for line in re.findall(r"(?:^ +(?:- )?|`)promptlab (\w[^`\n#]*)", TEXT, re.MULTILINE):
        first, second, *_ = (*line.split(), "")
        command = (first, second) if (first, second) in known else (first,)
        assert command in known, line
        assert len(commands(*command)) == 1 or second in ("", "..."), line
        passes_on = others if command in (("gate",), ("cassettes", "prune")) else set()
        assert options_in(line) <= options_in(known[command]) | passes_on, line


# -- links ------------------------------------------------------------------------------------


def tokens(page: str) -> list[markdown_it.token.Token]:
    """Parse a page."""
    return markdown_it.MarkdownIt("gfm-like").parse(PAGES[page])


def links(page: str) -> list[str]:
    """Return the addresses of a page's links and pictures."""
    inner = [one for token in tokens(page) for one in token.children or ()]
    return [
        str(one.attrs.get("href", one.attrs.get("src")))
        for one in inner
        if one.type in ("link_open", "image")
    ]


def anchors(page: str) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    parsed = tokens(page)
    titles = [parsed[n + 1].content for n, one in enumerate(parsed) if one.type == "heading_open"]
    slugs = [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]
    seen = Counter[str]()
    for slug in slugs:
        seen[slug] += 1
    return set(seen) | {f"{slug}-{n}" for slug, count in seen.items() for n in range(1, count)}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page):
    for link in links(page):
        if re.match(r"\w+:", link):
            continue
        path, _, anchor = link.partition("#")
        there = (ROOT / page).parent.joinpath(path).resolve() if path else ROOT / page
        name = there.relative_to(ROOT).as_posix()
        assert there.exists(), link
        assert not anchor or anchor in anchors(name), link


def test_every_picture_says_what_it_shows():
    inner = [one for page in PAGES for token in tokens(page) for one in token.children or ()]
    for picture in [one for one in inner if one.type == "image"]:
        assert picture.content, picture.attrs["src"]


def test_every_page_is_in_the_index():
    linked = set(links("README.md"))
    assert set() == set(PAGES) - {"README.md"} - linked


@pytest.mark.parametrize("page", DOCS)
def test_every_file_that_is_named_exists(page):
    named = re.findall(r"(?<![\w/.])(?:promptlab|benchmarks|docs|tests)/[\w./-]*\w", PAGES[page])
    assert [] == [path for path in named if not (ROOT / path).exists()]


def test_every_room_is_listed():
    page = PAGES["docs/contributing.md"]
    listed = re.search(r"^    promptlab/\n((?:      .*\n)+)", page, re.MULTILINE)[1]
    there = {path.name for path in (ROOT / "promptlab").glob("*.py")} - {"__init__.py"}
    there |= {f"{path.parent.name}/" for path in (ROOT / "promptlab").glob("*/__init__.py")}
    assert there == set(re.findall(r"(?<=^      )[\w./]+|(?<=\.py )\w+\.py", listed, re.MULTILINE))
