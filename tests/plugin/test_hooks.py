from __future__ import annotations

import inspect
import re
import shlex
import shutil
import socket
import typing
from typing import Unpack
from xml.etree import ElementTree

import pytest

from promptlab.cassettes import format as files
from promptlab.cassettes.format import read_header
from promptlab.models import prompts
from promptlab.optimizer import loop
from promptlab.plugin.lab import Lab

from .. import examples
from ..examples import connect
from ..server import serving

DATA = "id,text,label\n" + "".join(f"{e.id},{e.text},{e.label}\n" for e in examples.examples())
TASK = """
import promptlab as pl

task = pl.Task(
    name="topics",
    examples=pl.read_csv("data.csv"),
    labels=("weather", "food"),
    brief="Weather or food?",
)
"""
TESTS = """
import pytest
import promptlab as pl
from topics import task

@pytest.fixture(scope="session")
def run(lab):
    return lab.optimize(task, iterations=2, per_label=6, calls=250)

def test_one(run):
    assert run.test.macro_f1 == 1.0

def test_two(lab, run):
    assert lab.optimize(task, iterations=2, per_label=6, calls=250) is run

def test_three(lab):
    assert lab.evaluate(task, pl.Prompt("Better"), split="validation").macro_f1 == 1.0
"""


def lay_out(folder, url=None):
    """Lay out a project of promptlab's user."""
    for name, text in {"data.csv": DATA, "topics.py": TASK, "test_topics.py": TESTS}.items():
        (folder / name).write_text(text)
    if url:
        connect(folder, url)


@pytest.fixture(autouse=True)
def rough(monkeypatch):
    """Simulate few pull requests where a session says what its examples can show."""
    monkeypatch.setattr("promptlab.scoring.power.ROUNDS", (40, 80))


@pytest.fixture
def project(pytester):
    """Lay out a project without an address for its models."""
    lay_out(pytester.path)
    pytester.syspathinsert()
    return pytester


RECORDED = []  # once, for all tests


@pytest.fixture
def recording(pytester, tmp_path_factory, monkeypatch):
    """Record a project: (folder, what pytest printed, number of calls)."""
    if not RECORDED:
        monkeypatch.setenv("GITHUB_ACTOR", "somebody")
        with serving(examples.answer) as server:
            lay_out(pytester.path, server.url)
            pytester.syspathinsert()
            done = pytester.runpytest("--live", "-v")
        done.assert_outcomes(passed=3)
        folder = shutil.copytree(pytester.path, tmp_path_factory.mktemp("recording") / "project")
        RECORDED.append((folder, done.stdout.str(), len(server.bodies)))
    return RECORDED[0]


@pytest.fixture
def recorded(recording, pytester):
    """Give a test its own copy of the recorded project; the server is gone."""
    shutil.copytree(recording[0], pytester.path, dirs_exist_ok=True)
    pytester.syspathinsert()
    return pytester


def test_a_session_is_recorded_and_replayed_without_its_server(recorded):
    # When
    result = recorded.runpytest("-v")
    # Then
    result.assert_outcomes(passed=3)
    cassettes = sorted(recorded.path.glob("cassettes/local/topics/*"))
    assert ["evaluate-validation.jsonl", "optimize.examples.jsonl", "optimize.jsonl"] == [
        path.name for path in cassettes
    ]


def test_a_run_is_made_once_for_all_tests(recording):
    _, printed, asked = recording
    assert 1 == printed.count("topics: iteration 1/2")
    calls = int(re.search(r"total  +with test +(\d+)", printed)[1])
    assert asked == calls + len(examples.task().split("validation"))


def test_each_iteration_is_a_line_while_the_session_runs(recorded):
    # When it is replayed under -v
    result = recorded.runpytest("-v")
    # Then the lines stand between the name of the first test and its outcome
    result.stdout.re_match_lines(
        [
            r"test_topics\.py::test_one $",
            r"topics: iteration 1/2  \d+ new prompts  iteration 1 \(\w{8}\) of rewritten is best: macro F1 1\.000 on 20 validation examples  \d+ calls  [\d,]+ tokens",
            r"test_topics\.py::test_one PASSED +\[ *33%\]",
        ]
    )
    assert 1 == result.stdout.str().count("iteration 1/2  ")


def test_without_v_no_line_is_shown_before_the_summary(recorded):
    result = recorded.runpytest()
    assert "iteration 1/2" not in result.stdout.str()


WON = [
    r"=+ topics: optimize =+",
    r"the prompt was improved: macro F1 on test 0\.\d{3} -> 1\.000",
    r"  [1-9] fixed, 0 broken of 30 test examples, which the search never saw",
    r"  first \(\w{8}\): \d+ characters",
    r"  iteration 1 \(\w{8}\): \d+ characters, proposed by rewritten",
    r"    system\.md: .*added 'Better: say .*",
]


def test_the_summary_says_what_was_won_and_where_page_and_prompt_are(recorded):
    result = recorded.runpytest()
    result.stdout.re_match_lines(
        [
            *WON,
            r"  \d+ calls to small and large, [\d,]+ tokens in, [\d,]+ out, price unknown",
            r"recorded \d{4}-\d\d-\d\d from synthetic at loopback",
            r"best prompt: .*/\.promptlab/topics-optimize",
            r"report: .*/\.promptlab/topics-optimize\.html",
        ],
        consecutive=False,
    )
    text = result.stdout.str()
    assert [] == [what for what in ("plausibly", "95%", "seconds", "rewritten +") if what in text]
    best = prompts.load_prompt(recorded.path / ".promptlab/topics-optimize")
    assert best.system.startswith("Better: say ")


def test_with_v_the_summary_has_the_statistics_and_the_table_of_all_prompts(recorded):
    result = recorded.runpytest("-v")
    result.stdout.re_match_lines(
        [
            *WON,
            r"  \+0\.\d{3}, plausibly .* \(5% risk beyond each end\)",
            r"round +prompt +proposed by +characters +macro F1 on validation +outcome +calls +tokens in +tokens out +seconds",
            r"0 +first \(\w{8}\) +first +\d+ +\d\.\d{3} \(.*\) \(n = \d+\) +.*",
            r"1 +iteration 1 \(\w{8}\) +rewritten +\d+ +1\.000 \(.*\) \(n = 20\) +kept +\d+ +[\d,]+ +[\d,]+ +\d+\.\d",
            r"1 +iteration 1 \(\w{8}\) +\w+ +\d+ +\d\.\d{3} \(.*\) \(n = \d+\) +.*",
            r"final +iteration 1 \(\w{8}\) +rewritten +\d+ +1\.000 \(.*\) \(n = 20\) +selected, optimistic",
            r"total +with test +\d+ +[\d,]+ +[\d,]+ +\d+\.\d",
            r"examples +weather +food",
            r"train +\d+ +\d+",
            r"first \(\w{8}\) on test \(n = \d+\): macro F1 0\.\d{3} \(0\.\d{3} to 0\.\d{3}\), accuracy .*",
            r"  food +\d\.\d{3} \(0\.\d{3} to .*\) +\d+",
            r"iteration \d \(\w{8}\) on test \(n = \d+\): macro F1 1\.000 .*",
            r"recorded \d{4}-\d\d-\d\d from synthetic at loopback",
            r"report: .*/\.promptlab/topics-optimize\.html",
        ],
        consecutive=False,
    )
    result.stdout.fnmatch_lines(["*topics: evaluate-validation*", "*note: the validation split has only*"])
    assert (recorded.path / ".promptlab/topics-optimize.html").exists()
    assert (recorded.path / ".promptlab/topics-evaluate-validation.html").exists()


def test_the_figures_stand_in_the_junit_file(recorded):
    recorded.runpytest("--junitxml=junit.xml")
    found = ElementTree.parse(recorded.path / "junit.xml").iter("property")
    figures = {one.get("name"): float(one.get("value")) for one in found}
    assert 1.0 == figures["promptlab.topics.optimize.test_macro_f1"]
    assert 1.0 == figures["promptlab.topics.evaluate-validation.macro_f1"]
    assert figures["promptlab.topics.optimize.calls"] > 100


def test_the_advice_of_a_miss_records_what_was_missing(recorded):
    # When the prompt changes
    test = recorded.path / "test_topics.py"
    test.write_text(test.read_text().replace('"Better"', '"Better, again"'))
    result = recorded.runpytest()
    # Then the test fails and says what was asked for, where, and how to record it
    result.assert_outcomes(passed=2, failed=1)
    text = result.stdout.str()
    assert (
        "cassettes/local/topics/evaluate-validation.jsonl: system.md changed; 20 of 20 calls to record."
        in text
    )
    advice = re.search(r"^E .*To record it: (.*)$", text, re.MULTILINE)[1]
    assert "pytest --live-changed test_topics.py::test_three" == advice
    # And whoever follows the advice has a recording
    with serving(examples.answer) as server:
        connect(recorded.path, server.url)
        recorded.runpytest(*shlex.split(advice)[1:]).assert_outcomes(passed=1)
    recorded.runpytest().assert_outcomes(passed=3)


@pytest.mark.parametrize(("option", "command"), [
    ("--promptlab-profile=other", "pytest --live-changed --promptlab-profile=other test_topics.py::test_three"),
    ("--promptlab-profile=local", "pytest --live-changed test_topics.py::test_three"),
])  # fmt: skip
def test_the_advice_names_the_profile_that_is_replayed(recorded, option, command):
    toml = recorded.path / "pyproject.toml"
    other = '[tool.promptlab.profiles.other]\nclassifier = {name="a"}\ncritic = {name="b"}\n'
    toml.write_text(toml.read_text() + other)
    (recorded.path / "cassettes/local/topics/evaluate-validation.jsonl").unlink()
    result = recorded.runpytest("-k", "test_three", option)
    text = result.stdout.str()
    assert "nothing is recorded there yet; 20 of 20 calls to record. " in text
    assert command == re.search(r"^E .*To record it: (.*)$", text, re.MULTILINE)[1]


def test_a_miss_is_told_without_the_frames_of_the_library(recorded):
    (recorded.path / "cassettes/local/topics/evaluate-validation.jsonl").unlink()
    result = recorded.runpytest("-k", "test_three")
    assert "asyncio" not in result.stdout.str()


@pytest.mark.parametrize("method", [Lab.optimize, Lab.evaluate, Lab.migrate])
def test_an_editor_completes_what_lab_takes(method):
    name, last = [*inspect.signature(method).parameters.items()][-1]
    assert last.kind is last.VAR_KEYWORD
    assert typing.get_type_hints(method)[name] in (Unpack[loop.Settings], Unpack[loop.Asking])


def test_a_setting_that_does_not_exist_is_named(recorded):
    recorded.makepyfile(
        test_unknown="""
        import pytest
        import promptlab as pl
        from topics import task

        def test_it(lab):
            with pytest.raises(TypeError, match="lab.evaluate has no setting 'model'"):
                lab.evaluate(task, pl.Prompt("Better"), model="x")
            with pytest.raises(TypeError, match="lab.evaluate has no setting 'record', only canonical, workers"):
                lab.evaluate(task, pl.Prompt("Better"), record="elsewhere")
            with pytest.raises(TypeError, match="lab.optimize has no setting 'iteration'"):
                lab.optimize(task, iteration=2)
        """
    )
    recorded.runpytest("test_unknown.py").assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        (
            "topics.py",
            "Weather or food?",
            "Food or weather?",
            r"CassetteMiss: cassettes/local/topics/optimize\.jsonl: system\.md changed; at most 334 calls to record\.",
        ),
        (
            "test_topics.py",
            "per_label=6",
            "per_label=5, seed=1",
            r": task 'topics', iteration 1, .* is not recorded, so settings or data of the search differ; at most 334 ",
        ),
    ],
)
def test_a_run_that_was_not_recorded_says_what_differs(recorded, file, old, new, said):
    """Where the search takes another course, that is the first call that differs."""
    changed = recorded.path / file
    changed.write_text(changed.read_text().replace(old, new))
    result = recorded.runpytest("-k", "test_one")
    result.stdout.re_match_lines([f".*{said}"])
    assert pytest.ExitCode.TESTS_FAILED == result.ret


def test_a_miss_names_the_row_and_the_dollars_and_is_said_once(recorded):
    """Three tests and the comment know of it; the terminal has it once."""
    toml = recorded.path / "pyproject.toml"
    toml.write_text(toml.read_text() + "\n[tool.promptlab.prices.small]\ninput = 10\noutput = 100\n")
    data = recorded.path / "data.csv"
    example = examples.task().split("validation")[0]
    data.write_text(data.read_text().replace(example.text, "It rains."))
    row = 2 + [one.id for one in examples.examples()].index(example.id)
    recorded.makepyfile(
        test_thrice="""
        import pytest
        import promptlab as pl
        from topics import task

        @pytest.mark.parametrize("number", range(3))
        def test_it(lab, number):
            lab.evaluate(task, pl.Prompt("Better"), split="validation")
        """
    )
    text = recorded.runpytest("test_thrice.py", "-rN").stdout.str()  # in CI, pytest's list repeats all of it
    said = f"evaluate-validation.jsonl: data.csv, row {row} is new or changed; 1 of 20 calls to record; about $0.0005."
    assert 1 == text.count(said), text
    assert 2 == text.count("lacks calls, see test_thrice.py::test_it[0]\n")


def test_a_failure_is_remembered_and_not_tried_again(recorded):
    (recorded.path / "cassettes/local/topics/optimize.jsonl").unlink()
    recorded.makepyfile(
        test_twice="""
        import pytest
        import promptlab as pl
        from topics import task

        @pytest.mark.parametrize("time", [1, 2])
        def test_it(lab, time):
            with pytest.raises(pl.CassetteMiss) as miss:
                lab.optimize(task, iterations=2, per_label=6, calls=250)
            globals().setdefault("first", miss.value)
            assert miss.value is first
        """
    )
    recorded.runpytest("test_twice.py").assert_outcomes(passed=2)


def test_live_without_a_credential_stops_before_the_first_test(project):
    project.makepyprojecttoml("[tool.promptlab]\nlive = 'claude'\n")
    result = project.runpytest("--live", "-v")
    assert pytest.ExitCode.USAGE_ERROR == result.ret
    result.stderr.fnmatch_lines(["*no credential for https://api.anthropic.com: set ANTHROPIC_API_KEY*"])
    assert "test_one" not in result.stdout.str()


def test_live_without_a_server_stops_before_the_first_test(project):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        connect(project.path, f"http://127.0.0.1:{unused.getsockname()[1]}")
        result = project.runpytest("--live", "-v")
    assert pytest.ExitCode.USAGE_ERROR == result.ret
    result.stderr.fnmatch_lines(["*cannot be reached: start the server*"])
    assert "test_one" not in result.stdout.str()


def test_live_without_a_test_that_uses_lab_needs_no_server(pytester):
    pytester.makepyfile("def test_it(): pass")
    pytester.runpytest("--live").assert_outcomes(passed=1)


def test_the_header_says_who_answered(recorded):
    result = recorded.runpytest("--collect-only")
    day = r"\d{4}-\d\d-\d\d"
    result.stdout.re_match_lines(
        [f"promptlab: profile local, replays synthetic at loopback, recorded {day}$"]
    )
    assert 1 == result.stdout.str().count("promptlab: profile local")


def test_the_number_of_calls_is_told_before_they_are_made(recorded):
    # When
    with serving(examples.answer) as server:
        connect(recorded.path, server.url)
        result = recorded.runpytest("--live")
    # Then the bound holds, and the exact number is exact
    text = result.stdout.str()
    most = int(
        re.search(r"promptlab: topics: optimize: at most ([\d,]+) calls: .*; test", text, re.MULTILINE)[1]
    )
    assert int(re.search(r"  (\d+) calls to small", text)[1]) <= most
    calls = len(examples.task().split("validation"))
    assert f"promptlab: topics: evaluate-validation: {calls} calls" in text
    loss = float(
        re.search(r"test \(30 examples\) shows a loss of (0\.\d\d) in macro F1 with 80% power", text)[1]
    )
    assert 0.1 < loss < 0.3
    assert "promptlab: profile local, asks large at" in text


def test_live_changed_asks_only_what_is_not_recorded(recorded):
    # When one of three runs has lost its recording
    (recorded.path / "cassettes/local/topics/evaluate-validation.jsonl").unlink()
    with serving(examples.answer) as server:
        connect(recorded.path, server.url)
        result = recorded.runpytest("--live-changed")
        # Then its calls are made, and no other
        result.assert_outcomes(passed=3)
        calls = len(examples.task().split("validation"))
        result.stdout.fnmatch_lines([f"promptlab: topics: evaluate-validation: {calls} calls"])
        assert calls == len(server.bodies)
    recorded.runpytest().assert_outcomes(passed=3)


def test_live_verify_reports_the_labels_that_changed_and_writes_nothing(recorded):
    files = {path: path.read_bytes() for path in recorded.path.glob("cassettes/**/*.jsonl")}
    with serving(lambda body: "<label>food</label>") as server:
        connect(recorded.path, server.url)
        result = recorded.runpytest("--live-verify=7")
        assert 7 == len(server.bodies)
    result.assert_outcomes(passed=3)
    told = re.search(
        r"^7 of \d+ recorded calls repeated: (\d) labels changed", result.stdout.str(), re.MULTILINE
    )
    changed = re.findall(
        r"^  topics, prompt \w+, example e\d+: weather -> food", result.stdout.str(), re.MULTILINE
    )
    assert 0 < int(told[1]) == len(changed)
    assert files == {path: path.read_bytes() for path in recorded.path.glob("cassettes/**/*.jsonl")}


def test_live_verify_that_is_refused_fails_the_session(recorded):
    with serving(lambda body: (400, {}, {})) as server:
        connect(recorded.path, server.url)
        result = recorded.runpytest("--live-verify=2")
    result.stdout.fnmatch_lines(["not verified: *status 400*"])
    assert pytest.ExitCode.TESTS_FAILED == result.ret


@pytest.mark.parametrize(("options", "said"), [
    (("--live", "--live-changed"), "--live and --live-changed are mutually exclusive"),
    (("--live-verify=0",), "--live-verify=0: expected a number of calls, 1 or more"),
])  # fmt: skip
def test_options_that_make_no_sense_are_refused(project, options, said):
    result = project.runpytest(*options)
    assert pytest.ExitCode.USAGE_ERROR == result.ret
    result.stderr.fnmatch_lines([f"*{said}*"])


def test_orphans_are_reported_and_only_pruning_removes_them(recorded):
    # When a prompt has changed and its calls were added
    path = recorded.path / "cassettes/local/topics/evaluate-validation.jsonl"
    test = recorded.path / "test_topics.py"
    test.write_text(test.read_text().replace('"Better"', '"Better, again"'))
    with serving(examples.answer) as server:
        connect(recorded.path, server.url)
        recorded.runpytest("--live-changed").assert_outcomes(passed=3)
    calls = len(examples.task().split("validation"))
    # Then the old ones are reported, and a part of the tests prunes only what it has replayed
    result = recorded.runpytest()
    result.stdout.fnmatch_lines(
        [f"recorded calls that were not replayed: {calls}; promptlab cassettes prune *"]
    )
    optimize = path.with_name("optimize.jsonl").read_bytes()
    assert 2 * calls + 2 == len(path.read_text().splitlines())
    recorded.runpytest("--promptlab-prune", "-k", "test_one").assert_outcomes(passed=1, deselected=2)
    assert 2 * calls + 2 == len(path.read_text().splitlines())
    result = recorded.runpytest("--promptlab-prune", "-k", "test_one")
    result.stdout.fnmatch_lines(
        ["*evaluate-validation.jsonl: kept, although no test in this session opened it*"]
    )
    result = recorded.runpytest("--promptlab-prune")
    result.stdout.fnmatch_lines([f"recorded calls that were not replayed: {calls}; they were deleted"])
    assert calls + 2 == len(path.read_text().splitlines())
    assert optimize == path.with_name("optimize.jsonl").read_bytes()
    recorded.runpytest().assert_outcomes(passed=3)


def test_a_recording_is_kept_whether_its_assertions_pass_or_fail(recorded):
    test = recorded.path / "test_topics.py"
    test.write_text(test.read_text().replace("macro_f1 == 1.0", "macro_f1 > 1.0"))
    path = recorded.path / "cassettes/local/topics/evaluate-validation.jsonl"
    path.unlink()
    with serving(examples.answer) as server:
        connect(recorded.path, server.url)
        recorded.runpytest("--live").assert_outcomes(passed=1, failed=2)
    assert path.exists()


def test_the_network_can_be_closed_for_the_whole_session(recorded):
    recorded.makepyfile(
        test_other="""
        import socket
        import pytest
        from promptlab.errors import NetworkBlocked

        def test_it():
            with pytest.raises(NetworkBlocked, match="test_other.py::test_it tried to reach 192.0.2.1"):
                socket.create_connection(("192.0.2.1", 9), timeout=0.1)
        """
    )
    result = recorded.runpytest_subprocess("test_other.py", "-o", "promptlab_block_network=session")
    result.assert_outcomes(passed=1)
    result = recorded.runpytest_subprocess("test_other.py", "-o", "promptlab_block_network=all")
    result.stderr.fnmatch_lines(["*promptlab_block_network is 'all', expected 'lab' or 'session'*"])


def test_another_plugin_keeps_its_live(pytester):
    pytester.makepyfile(
        owner="def pytest_addoption(parser): parser.addoption('--live', action='store_true', dest='theirs')",
        test_it="def test_it(pytestconfig): assert not pytestconfig.getoption('promptlab_live')",
    )
    pytester.syspathinsert()
    pytester.runpytest_subprocess("-p", "owner", "--live").assert_outcomes(passed=1)


@pytest.mark.thorough
def test_workers_replay_the_same_and_the_summary_shows_it_once(recorded):
    result = recorded.runpytest_subprocess("-n", "2", "-v", "-p", "no:hypothesispytest")
    result.assert_outcomes(passed=3)
    assert 1 == result.stdout.str().count("= topics: optimize =")
    assert 1 == result.stdout.str().count("iteration 1: ")


def test_workers_do_not_record(project):
    result = project.runpytest_subprocess("--live", "-n", "2")
    assert pytest.ExitCode.USAGE_ERROR == result.ret
    result.stderr.fnmatch_lines(["*--live needs a single process: drop -n of pytest-xdist, or add -n0*"])


def test_nothing_beyond_loopback_is_reached_while_lab_replays(recorded):
    task = recorded.path / "topics.py"
    task.write_text(
        "import socket\n"
        + task.read_text().replace(
            'brief="', 'extract=lambda r: socket.create_connection(("192.0.2.1", 9)), brief="'
        )
        + "\n"
    )
    result = recorded.runpytest("-k", "test_three")
    result.stdout.fnmatch_lines(["*NetworkBlocked: test_topics.py::test_three tried to reach 192.0.2.1.*"])


def test_the_own_server_is_closed_while_lab_replays(recorded):
    with serving(examples.answer) as server:
        connect(recorded.path, server.url)
        port = server.url.rpartition(":")[2]
        task = recorded.path / "topics.py"
        reach = f'extract=lambda r: socket.create_connection(("127.0.0.1", {port})), brief="'
        task.write_text("import socket\n" + task.read_text().replace('brief="', reach))
        result = recorded.runpytest("-k", "test_three")
        result.stdout.fnmatch_lines([f"*NetworkBlocked: * tried to reach 127.0.0.1:{port}.*"])
        assert [] == server.bodies


def test_an_optimization_on_older_data_stays_green_and_says_so(recorded):
    (recorded.path / "data.csv").write_text(DATA + "new,A new sentence.,food\n")
    result = recorded.runpytest("-k", "test_one")
    result.assert_outcomes(passed=1, deselected=2)
    result.stdout.fnmatch_lines(["*recorded on older data (1 new)*"])
    assert "relabelled" not in result.stdout.str()


def test_what_was_relabelled_since_is_a_table_with_the_figures_under_both_labels(recorded):
    """The best prompt is right about all as they were recorded, so it loses two of the thirty."""
    first, second, *_ = examples.task().split("test")
    text = DATA
    for one in (first, second):
        other = {"food": "weather", "weather": "food"}[one.label]
        text = text.replace(f"{one.text},{one.label}", f"{one.text},{other}")
    (recorded.path / "data.csv").write_text(text)
    result = recorded.runpytest("-k", "test_one")
    result.assert_outcomes(passed=1, deselected=2)
    result.stdout.re_match_lines(
        [
            r"relabelled since it was recorded: 2",
            r" +recorded +now$",
            rf"  {first.id} +{first.label} +\w+ +'{first.text}'",
            rf"  {second.id} +{second.label} +\w+ +'{second.text}'",
            r"  first \(\w{8}\): macro F1 on test 0\.\d{3} by the recorded labels, 0\.\d{3} by today's",
            r"  iteration 1 \(\w{8}\): macro F1 on test 1\.000 by the recorded labels, 0\.933 by today's",
        ],
        consecutive=False,
    )


def test_two_runs_under_one_name_are_refused(recorded):
    recorded.makepyfile(
        test_clash="""
        import pytest
        import promptlab as pl
        from topics import task

        def test_it(lab):
            lab.evaluate(task, pl.Prompt("Better"), split="validation")
            with pytest.raises(pl.PromptlabError, match="give one of them another name"):
                lab.evaluate(task, pl.Prompt("Worse"), split="validation")
            lab.optimize(task, iterations=2, per_label=6, calls=250)
            lab.optimize(task, iterations=2, per_label=6, calls=250, workers=3)
            for other in ({"seed": 1}, {"iterations": 1}, {"classifier": "large"}, {"prompt": pl.Prompt("x")}):
                with pytest.raises(pl.PromptlabError, match="give one of them another name"):
                    lab.optimize(task, **{"iterations": 2, "per_label": 6, "calls": 250} | other)
        """
    )
    recorded.runpytest("test_clash.py").assert_outcomes(passed=1)


LAMBDAS = """
import re
import pytest
import promptlab as pl
from topics import task as original
from dataclasses import replace

@pytest.fixture
def task():
    return replace(original, extract=lambda reply: re.findall("<label>(.*?)</label>", reply)[-1])

@pytest.mark.parametrize("time", [1, 2, 3])
def test_it(lab, task, time):
    run = lab.optimize(task, iterations=2, per_label=6, calls=250)
    assert run.test.macro_f1 == 1.0
    result = lab.evaluate(task, pl.Prompt("Better"), split="validation")
    assert result.macro_f1 == 1.0
    with open("asked.txt", "a") as file:
        file.write(f"{id(run)} {id(result)}\\n")
"""


def test_a_task_made_anew_for_each_test_shares_what_was_recorded(recorded):
    recorded.makepyfile(test_lambdas=LAMBDAS)
    result = recorded.runpytest("test_lambdas.py", "-v")
    result.assert_outcomes(passed=3)
    assert 1 == result.stdout.str().count("topics: iteration 1/2"), "the run was made again"
    assert 1 == len(set((recorded.path / "asked.txt").read_text().splitlines()))


@pytest.mark.thorough
def test_workers_share_it_too(recorded):
    recorded.makepyfile(test_lambdas=LAMBDAS)
    (recorded.path / "sitecustomize.py").write_text(COUNTING)
    result = recorded.runpytest_subprocess("test_lambdas.py", "-n2", "-p", "no:hypothesispytest")
    result.assert_outcomes(passed=3)
    assert 2 == len((recorded.path / "opened.txt").read_text().splitlines()), "a recording was opened twice"
    assert 1 == result.stdout.str().count("= topics: optimize =")


COUNTING = """
import promptlab.cassettes.recorder as recorder

original = recorder.use

def use(path, **settings):
    with open("opened.txt", "a") as file:
        file.write(f"{path}\\n")
    return original(path, **settings)

recorder.use = use
"""


def test_one_recording_serves_tasks_that_read_other_labels(recorded):
    recorded.makepyfile(
        test_two="""
        from dataclasses import replace
        import promptlab as pl
        from topics import task

        def test_it(lab):
            swapped = replace(task, extract=lambda reply: None if "food" in reply else "weather")
            prompt = pl.Prompt("Better")
            one = lab.evaluate(task, prompt, split="validation")
            other = lab.evaluate(swapped, prompt, split="validation")
            assert (1.0, 0.0) == (one.macro_f1, one.without_label)
            assert other.without_label == 1 / 2
            assert [row.reply for row in one.rows] == [row.reply for row in other.rows]
            assert lab.evaluate(swapped, prompt, split="validation") is other
            assert lab.evaluate(task, prompt, split="validation") is one
        """
    )
    result = recorded.runpytest("test_two.py")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*= topics: evaluate-validation =*", "*= topics: evaluate-validation-2 =*"])


def test_an_optimization_that_would_take_another_course_is_replayed_by_itself(recorded):
    recorded.makepyfile(
        test_two="""
        from dataclasses import replace
        import pytest
        import promptlab as pl
        from topics import task

        def test_it(lab):
            blind = replace(task, extract=lambda reply: None)
            run = lab.optimize(task, iterations=2, per_label=6, calls=250)
            with pytest.raises(pl.CassetteMiss, match="iteration 1, critic"):
                lab.optimize(blind, iterations=2, per_label=6, calls=250)
            assert lab.optimize(task, iterations=2, per_label=6, calls=250) is run
        """
    )
    recorded.runpytest("test_two.py").assert_outcomes(passed=1)


def test_an_extractor_that_fails_spoils_no_other(recorded):
    recorded.makepyfile(
        test_two=r"""
        import re
        import socket
        from dataclasses import replace
        from pathlib import Path
        import pytest
        import promptlab as pl
        from topics import task

        def reach(reply):  # the model's own server, which is closed on replay
            port = re.search(r"127.0.0.1:(\d+)", Path("pyproject.toml").read_text())[1]
            socket.create_connection(("127.0.0.1", int(port)))

        @pytest.mark.parametrize("extract, error", [
            (lambda reply: {}[reply], pl.ExtractorError), (reach, pl.NetworkBlocked),
        ])
        @pytest.mark.parametrize("first", [True, False])
        def test_it(lab, extract, error, first):
            broken = replace(task, extract=extract, name="topics")
            ask = dict(prompt=pl.Prompt("Better"), split="validation")
            if not first:
                assert lab.evaluate(task, **ask).macro_f1 == 1.0
            with pytest.raises(error):
                lab.evaluate(broken, **ask)
        """
    )
    recorded.runpytest("test_two.py", "-W", "ignore").assert_outcomes(passed=4)


def test_repeats_are_recorded_and_replayed(recorded):
    """Canonical examples are asked three times live; what was recorded once is read as it is."""
    recorded.path.joinpath("data.csv").write_text(
        DATA.replace("text,label", "text,label,canonical")
        .replace("weather\n", "weather,\n")
        .replace("food\n", "food,\n")
        .replace(
            "e001,Sentence 1 about the food of day 1.,food,",
            "e001,Sentence 1 about the food of day 1.,food,true",
        )
    )
    recorded.makepyfile(
        test_topics="""
        import promptlab as pl
        from topics import task

        def test_it(lab):
            found = lab.evaluate(task, pl.Prompt("Better"), split="validation", repeats=2)
            assert (found.repeats, found.macro_f1) == (2, 1.0)
            assert len(found.canonical_rows) in (1, 3)
            assert found.canonical.all_correct
        """
    )
    with serving(examples.answer) as server:
        connect(recorded.path, server.url)
        recorded.runpytest("--live").assert_outcomes(passed=1)
    count = len(examples.task().split("validation"))
    assert 2 * count + 3 == len(server.bodies)
    recorded.runpytest().assert_outcomes(passed=1)
    # When the recording has one answer about the canonical example
    path = recorded.path / "cassettes/local/topics/evaluate-validation.jsonl"
    recording = files.read(path)
    text = "Sentence 1 about"
    more = {
        key for key, call in recording.calls.items() if call.get("repeat") and text in str(call["request"])
    }
    assert 2 == len(more)
    files.write(path, files.without(recording, more))
    # Then it is judged by that one
    result = recorded.runpytest()
    result.assert_outcomes(passed=1)
    assert f"(n = {count}, each asked 2 times)" in result.stdout.str()
    assert "canonical: 1 of 1 right" in result.stdout.str()


def test_canonical_examples_are_asked_as_often_as_a_test_says(recorded):
    """None is the default; what is planned is what is asked; another number is another run."""
    rows = (
        DATA.replace("\n", ",\n")
        .replace("text,label,", "text,label,canonical")
        .replace("food,", "food,yes", 1)
    )
    recorded.path.joinpath("data.csv").write_text(rows)
    recorded.makepyfile(
        test_topics="""
        import promptlab as pl
        import pytest
        from topics import task

        def ask(lab, canonical):
            return lab.evaluate(task, pl.Prompt("One more"), split="validation", canonical=canonical)

        def test_five(lab):
            assert len(ask(lab, 5).canonical_rows) == 5
            with pytest.raises(pl.PromptlabError, match="two different runs"):
                ask(lab, 1)
            with pytest.raises(ValueError, match="canonical is 0, expected 1 or more"):
                ask(lab, 0)
            with pytest.raises(ValueError, match="repeats is 0, expected 1 or more"):
                lab.evaluate(task, pl.Prompt("One more"), repeats=0)

        def test_default(lab):
            found = lab.evaluate(task, pl.Prompt("x"), split="validation", name="x", canonical=None)
            assert len(found.canonical_rows) == 3
        """
    )
    count = len(examples.task().split("validation"))
    with serving(examples.answer) as server:
        connect(recorded.path, server.url)
        planned = recorded.runpytest("--promptlab-plan").stdout.str()
        assert f"topics: evaluate-validation: at most {count + 5} calls" in planned
        assert f"topics: x: at most {count + 3} calls" in planned
        recorded.runpytest("--live").assert_outcomes(passed=2)
    assert 2 * count + 5 + 3 == len(server.bodies)


def test_a_classifier_may_be_given_by_its_name(recorded):
    recorded.makepyfile(
        test_named="""
        import promptlab as pl
        from topics import task

        def test_it(lab):
            result = lab.evaluate(task, pl.Prompt("Better"), split="validation", classifier="small")
            assert result.macro_f1 == 1.0
        """
    )
    recorded.runpytest("test_named.py").assert_outcomes(passed=1)


def test_the_header_of_a_recording_says_for_which_test_it_was_made(recording):
    found = read_header(recording[0] / "cassettes/local/topics/evaluate-validation.jsonl")["origin"]
    assert "test_topics.py::test_three" == found["test"]
    assert ["data.csv"] == found["data"]
    assert "" == found["prompt"]
    assert "somebody" == found["by"]


def test_the_tasks_own_metric_is_in_the_junit_file(recorded):
    task = recorded.path / "topics.py"
    task.write_text(task.read_text().replace('brief="', 'metric="f1", positive="food", brief="'))
    recorded.runpytest("--junitxml=junit.xml")
    found = ElementTree.parse(recorded.path / "junit.xml").iter("property")
    figures = {one.get("name"): float(one.get("value")) for one in found}
    assert 1.0 == figures["promptlab.topics.evaluate-validation.f1"]


def test_an_unknown_profile_is_named(recorded):
    result = recorded.runpytest("--promptlab-profile=lokal")
    result.stdout.fnmatch_lines(["*DataError: *pyproject.toml: no profile 'lokal', only local, claude*"])


HELP = """\
promptlab: prompts of text classifiers:
  --promptlab-live      Make the calls of `lab` and record them.
  --promptlab-live-changed
                        Make only the calls that are not recorded, and record
                        them.
  --promptlab-live-verify=K
                        Repeat K recorded calls, write nothing, and report how
                        many labels changed.
  --promptlab-profile=NAME
                        Use this profile from [tool.promptlab] instead of the
                        configured one.
  --promptlab-report=DIR
                        Write the HTML reports into this folder (default:
                        .promptlab).
  --promptlab-base=COMMIT
                        Judge each evaluated prompt folder against its version
                        at this commit, such as origin/main.
  --promptlab-anchor=COMMIT
                        With --promptlab-base, judge against a fixed release
                        too, such as a tag; worse than it fails.
  --promptlab-fresh-base
                        With --promptlab-base and --live-changed, ask the base's
                        prompt again too, since its recording may have been a
                        lucky one.
  --promptlab-strict    With --promptlab-base, fail unless each prompt is shown
                        to be no worse.
  --promptlab-main=FILE
                        With --promptlab-base, judge by this file's labels and
                        answers too, instead of running the base's tests for
                        them.
  --promptlab-answers=FILE
                        Write what each evaluation of a prompt folder read to
                        this file, for --promptlab-main.
  --promptlab-retired=PATH
                        With --promptlab-base, this prompt folder, or this
                        recording, needs no test any more; on the command line
                        only.
  --promptlab-plan      Make no call: say how many calls, tokens and dollars
                        those that are not recorded would take.
  --promptlab-max-cost=DOLLARS
                        With an option that makes calls, spend no more than this
                        in the session.
  --promptlab-afresh    With --live, make again what a session that was stopped
                        has finished.
  --promptlab-prune     Delete the recorded calls that no test in this session
                        uses.
  --live                Short for --promptlab-live.
  --live-changed        Short for --promptlab-live-changed.
  --live-verify=K       Short for --promptlab-live-verify.
"""


def test_the_help_says_this(pytester, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert HELP in pytester.runpytest("--help").stdout.str()
