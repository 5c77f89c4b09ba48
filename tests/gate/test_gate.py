"""Pull requests in a real repository, with real recordings: what the gate says of each.

The recordings are those of benchmarks/pull_requests; a small model answered them at a temperature of 0.7.
"""

from __future__ import annotations

import html
import json
import re
import shutil

import pytest

from benchmarks.pull_requests.task import FIXED, TYPO
from promptlab.cassettes import format as files
from promptlab.models import prompts
from promptlab.models.messages_api import body_of
from promptlab.records import Model, Prompt
from promptlab.scoring.recorded import recorded

from ..examples import task
from ..server import message, serving
from .project import CASSETTE, PROMPTS, TESTS


def test_a_better_prompt_passes_and_is_called_better(project):
    done = project.pull_request("better")
    assert 0 == done.code, done.shown
    assert "3 passed" in done.shown
    assert "## promptlab: 1 better" in done.comment
    assert "- judged by the author's code; &#96;promptlab gate&#96; judges by main's\n" in done.comment
    assert "- a recording is as trustworthy as whoever pushed it: " in done.comment
    assert "judged by the author's code; `promptlab gate` judges by main's\n" in done.shown


def test_a_worse_prompt_fails_and_is_named_in_the_list_of_failures(project):
    project.forget_canonical()
    done = project.pull_request("worse")
    assert 1 == done.code, done.shown
    assert "FAILED test_prompt.py::prompt[insincere: evaluate-test]" in done.shown
    assert "2 failed, 1 passed" in done.shown
    assert "## promptlab: 1 of 1 evaluations fail" in done.comment


def test_a_canonical_example_that_breaks_fails_by_name_whatever_the_figures_say(project):
    done = project.pull_request("reworded")
    assert 1 == done.code, done.shown
    said = "Broken, do not merge: 2 canonical examples that the base has right came out wrong: q040, q239"
    assert f"FAILED test_prompt.py::prompt[insincere: evaluate-test] - {said}" in done.shown
    assert "❌ insincere: evaluate-test: **broken**" in done.comment


def test_the_same_quality_in_other_words_passes_as_no_worse(project):
    project.forget_canonical()
    done = project.pull_request("reworded")
    assert 0 == done.code, done.shown
    assert "3 passed in" in done.shown
    assert "## promptlab: 1 no worse" in done.comment
    said = "insincere: evaluate-test: OK to merge: shown to be no worse, since a loss of 0.05 or more of macro F1 can be ruled out;"
    assert said in done.shown


def test_a_filter_that_makes_errors_of_warnings_does_not_fail_what_cannot_be_told(project):
    project.forget_canonical()
    project.propose("reworded")
    project.commit("there")
    project.forget_canonical()
    project.propose("main")
    project.commit("back")
    done = project.pytest("--promptlab-base=there", "-W", "error::UserWarning")
    assert 0 == done.code, done.shown
    assert "3 passed, 1 warning" in done.shown


def test_what_is_not_shown_to_be_no_worse_fails_where_the_user_is_strict(project):
    project.forget_canonical()
    project.propose("reworded")
    project.commit("there")
    assert 0 == project.judged("--promptlab-strict").code  # shown to be no worse
    project.forget_canonical()
    project.propose("main")
    project.commit("back")
    done = project.pytest("--promptlab-base=there", "--promptlab-strict")
    assert 1 == done.code, done.shown
    assert "Cannot tell from 154 examples; about 250 to 2,500 would: 17 fixed, 23 broken" in done.shown


def test_a_model_migration_is_a_comparison_and_a_section_of_the_comment(project):
    """The larger model is synthetic, and always right; the small one answers as it is recorded."""
    replies = {
        call["request"]["body"]["messages"][0]["content"]: call["response"]["body"]["content"][0]["text"]
        for call in files.read(project.folder / CASSETTE).calls.values()
    }
    right = {row["text"]: row["label"] for row in project.rows}

    def answer(body):
        if body["model"] != "large":
            return replies[body["messages"][-1]["content"]]
        assert 0.7 == body["temperature"], "the settings are the present ones"
        text = body["messages"][-1]["content"]
        return next(f"<label>{right[one]}</label>" for one in right if one in text)

    line = '    assert lab.migrate(task, "prompt", to="large").no_worse\n'
    project.edit("test_prompt.py", "\n\ndef test_the_same", f"{line}\n\ndef test_the_same")
    (project.folder / CASSETTE).unlink()  # it is older than the seconds that recordings keep
    project.commit("migrated")
    with serving(answer) as server:
        project.edit("pyproject.toml", "http://127.0.0.1:8082", server.url)
        assert 0 == project.pytest("--live").code
    assert 2 * (154 + 3 * 8) == len(server.bodies)
    done = project.judged("--junitxml=junit.xml")
    assert 0 == done.code, done.shown
    assert "= insincere: qwen2.5-coder-1.5b-instruct -> large =" in done.shown
    title = "### Model migration: insincere: qwen2.5-coder-1.5b-instruct -&#62; large: better"
    assert title in done.comment
    assert "- OK to merge: " in done.comment
    assert re.search(r"- canonical examples right: \d of 8 -&#62; 8 of 8\n", done.comment)
    assert re.search(r"- output tokens a call: \d+\.\d -&#62; \d+\.\d\n", done.comment)
    assert re.search(r"- seconds a call \(median\): \d+\.\d\d -&#62; \d+\.\d\d\n", done.comment)
    assert "0 broken</summary>" in done.comment
    assert re.search(
        r"\nOK to merge: \d+ fixed, 0 broken\n  macro F1 .*: qwen\S+ -> large\n  canonical examples right: ",
        done.shown,
    )
    junit = (project.folder / "junit.xml").read_text(encoding="utf-8")
    assert '"promptlab.insincere.evaluate-test-large.migration" value="better"' in junit
    # When no texts are published
    project.edit("pyproject.toml", "[tool.promptlab]\n", "[tool.promptlab]\npublish_texts = false\n")
    done = project.judged()
    assert title in done.comment
    assert [] == [one for one in right if one[:25] in html.unescape(done.comment)]


def test_a_page_shows_the_prompt_against_its_base(project, judge):
    base = prompts.load_prompt(project.folder / "prompt")
    project.propose("worse")
    done = judge()
    path = project.folder / ".promptlab/insincere-evaluate-test-against-base.html"
    assert f"report: {path}" in done.shown
    page = html.unescape(path.read_text(encoding="utf-8"))
    said = "roken, do not merge: 3 canonical examples that the base has right came out wrong"
    assert f'<p class="lead">B{said}' in page
    for prompt in (base, prompts.load_prompt(PROMPTS / "worse")):
        assert f'<pre data-file="system.md">\n{prompt.system}</pre>' in page
    assert "Base: recorded 2026-" in page


def test_a_prompt_that_is_the_same_has_no_page_against_its_base(project):
    project.write("README.md", "more")
    project.commit("proposed")
    done = project.judged()
    assert 0 == done.code, done.shown
    assert [] == [*(project.folder / ".promptlab").glob("*against-base*")]


def test_a_project_may_publish_ids_only(project):
    texts = {row["text"] for row in project.rows}
    project.edit("pyproject.toml", "[tool.promptlab]\n", "[tool.promptlab]\npublish_texts = false\n")
    project.git("commit", "--quiet", "-am", "ids only")
    project.propose("worse")
    (example,) = [row for row in project.rows if row["split"] == "train" and not row["canonical"]][:1]
    shown = {"text": example["text"], "reply": "<label>sincere</label>"}
    project.write("prompt/demonstrations.jsonl", json.dumps(shown) + "\n")
    project.demonstrate()
    rows = project.rows
    for row in [row for row in rows if row["split"] == "test"][:3]:
        row["label"] = {"sincere": "insincere", "insincere": "sincere"}[row["label"]]
    project.rows = rows
    project.edit("test_prompt.py", "result.macro_f1 >= 0.1", "not result.mistakes")
    project.commit("proposed")
    done = project.judged("--junitxml=junit.xml")
    assert "Broken, do not merge" in done.comment
    assert "1 demonstrations, withheld" in done.comment
    assert "not result.mistakes" in done.shown
    published = [project.folder / "junit.xml", *(project.folder / ".promptlab").iterdir()]
    assert {
        "annotations.txt",
        "comment.md",
        "insincere-evaluate-test-against-base.html",
        "insincere-evaluate-test.html",
    } <= {one.name for one in published}
    for path in published:
        text = html.unescape(path.read_text(encoding="utf-8"))
        assert [] == [one for one in texts if one[:25] in text], path.name
    junit = (project.folder / "junit.xml").read_text(encoding="utf-8")
    assert "withheld, since publish_texts is false" in junit
    assert "Broken, do not merge" in junit


def test_a_typo_that_was_fixed_is_named_and_warns(project):
    project.edit("data.csv", TYPO, FIXED)
    project.take("fixed")
    project.commit("typo")
    done = project.judged()
    assert 0 == done.code, done.shown
    assert "3 passed, 1 warning" in done.shown
    assert "Unchanged: the same requests and answers, but other labels, examples or" in done.shown
    assert (
        "also changed: data: data.csv: 1 example (q009) new or changed, 1 row of main changed or gone"
        in done.shown
    )
    assert "## promptlab: 1 unchanged" in done.comment


def test_a_threshold_that_was_changed_is_named_and_makes_no_test(project):
    project.edit("test_prompt.py", "macro_f1 >= 0.1", "macro_f1 >= 0.05")
    project.commit("threshold")
    done = project.judged()
    assert 0 == done.code, done.shown
    assert "also changed: code that uses promptlab: test_prompt.py" in done.shown
    assert "## promptlab: 1 unchanged" in done.comment


def test_the_same_prompt_recorded_again_is_judged_and_shows_the_noise_floor(project):
    project.forget_canonical()
    project.take("again")
    project.commit("again")
    done = project.judged("-v")
    assert 0 == done.code, done.shown
    assert ": same prompt, other answers; " in done.shown
    assert re.search(r"noise floor: \d+ of 154 answers flipped when asked again \(\.?\d", done.shown), (
        done.shown
    )
    assert "## promptlab: 1 inconclusive" in done.comment


# -- what else may come in a pull request -----------------------------------------------------------


def test_a_session_without_a_base_judges_nothing(project):
    project.propose("better")
    done = project.pytest()
    assert 0 == done.code, done.shown
    assert "2 passed" in done.shown
    assert "" == done.comment


@pytest.mark.thorough
@pytest.mark.processes
def test_workers_judge_the_same_and_do_nothing_twice(project):
    alone = project.pull_request("worse")
    together = project.judged("-n2")
    assert (1, alone.comment) == (together.code, together.comment)
    assert "2 failed, 1 passed" in together.shown
    assert 1 == together.shown.count("= insincere: evaluate-test =")


def test_a_shallow_clone_is_told_what_to_fetch(project, tmp_path_factory):
    project.propose("worse")
    project.commit("worse")
    clone = tmp_path_factory.mktemp("shallow")
    project.git("clone", "--quiet", "--depth=1", f"file://{project.folder}", str(clone))
    project.folder = clone
    done = project.judged()
    assert 4 == done.code
    told = [line for line in done.shown.splitlines() if "fetch-depth: 0" in line]
    assert 1 == len(told)
    assert told[0].startswith("ERROR: --promptlab-base=main: this clone is shallow")


@pytest.mark.parametrize("base", ["nowhere", "--upload-pack=x", "main:prompt"])
def test_a_base_that_is_no_commit_is_refused_in_one_line(project, base):
    done = project.pytest(f"--promptlab-base={base}")
    assert 4 == done.code
    assert f"--promptlab-base={base}: git knows no such commit" in done.shown


def test_an_empty_base_is_refused(project):
    """As it comes from a variable that is not set."""
    assert 4 == project.pytest("--promptlab-base=").code


def test_a_folder_that_is_no_repository_is_named(project):
    shutil.rmtree(project.folder / ".git")
    done = project.judged(GIT_CEILING_DIRECTORIES=str(project.folder.parent))
    assert 4 == done.code
    assert "not a git repository" in done.shown


def test_the_base_is_where_the_branch_began(project):
    """What main learned since is no change of this branch."""
    project.propose("worse")
    project.commit("worse")
    project.git("checkout", "--quiet", "main")
    project.propose("better")
    project.git("commit", "--quiet", "-am", "later")
    project.git("checkout", "--quiet", "-b", "own", "HEAD~1")
    project.edit("test_prompt.py", "< 700", "< 600")
    project.git("commit", "--quiet", "-am", "own")
    assert "## promptlab: 1 unchanged" in project.judged().comment


def move(project):
    (project.folder / "prompt").rename(project.folder / "moved")
    project.edit("test_prompt.py", '"prompt"', '"moved"')


def test_a_folder_that_was_renamed_is_unchanged(project):
    move(project)
    project.commit("moved")
    assert "## promptlab: 1 unchanged" in project.judged("--promptlab-strict").comment


def test_a_prompt_that_is_new_is_not_judged(project):
    project.git("rm", "--quiet", "-r", "prompt", "cassettes")
    project.git("commit", "--quiet", "-m", "none yet")
    project.propose("better")
    project.commit("new")
    done = project.judged("--promptlab-strict")
    assert 0 == done.code, done.shown
    assert "has no prompt in prompt, so there is nothing to compare" in done.shown


def test_a_recording_under_another_name_is_found(project):
    project.forget_canonical()
    project.propose("worse")
    (project.folder / CASSETTE).rename((project.folder / CASSETTE).with_name("mine.jsonl"))
    project.edit("test_prompt.py", '"prompt")', '"prompt", name="mine")')
    project.commit("named")
    assert re.search("Worse, do not merge.*\n.* on 154 test examples", project.judged().shown)


def test_a_session_that_judges_nothing_says_so(project):
    project.git("rm", "--quiet", "-r", "cassettes", "prompt")
    project.write("test_prompt.py", "def test_other(lab):\n    pass\n")
    project.commit("main")
    done = project.judged()
    assert 0 == done.code
    assert "no prompt was judged: no test that ran passes a prompt folder to lab.evaluate" in done.shown
    assert "FAILED promptlab::a prompt is judged" in project.judged("--promptlab-strict").shown


def test_a_session_that_cannot_start_replaces_the_comment(project):
    project.judged()
    project.edit("data.csv", f"{TYPO},sincere", f"{TYPO},sinsere")
    done = project.judged()
    assert "**not evaluated**: it did not finish" in done.comment


def test_a_recording_of_the_base_that_is_damaged_is_named(project):
    path = project.folder / CASSETTE
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole[: len(whole) // 2], encoding="utf-8")
    project.git("commit", "--quiet", "-am", "damaged")
    shown = project.pull_request("worse").shown
    assert f"\n  could not be read from the base: main:{CASSETTE}, line " in shown


def test_examples_that_are_not_recorded_on_both_sides_are_named_and_left_out(project):
    project.forget_canonical()
    project.propose("worse")
    project.edit(CASSETTE, json.dumps(TYPO)[1:-1], json.dumps(FIXED)[1:-1])  # as if recorded after the fix
    project.edit("data.csv", TYPO, FIXED)
    project.commit("worse")
    done = project.judged()
    assert 1 == done.code, done.shown
    assert re.search("Worse, do not merge.*\n.* on 153 test examples", done.shown)
    assert "not compared: 1 of 154 examples are not recorded on both sides: q009" in done.shown


def test_too_few_examples_on_both_sides_fail_with_the_command_that_records_them(project):
    """What is asked then is answered by a synthetic server."""
    path = project.folder / CASSETTE
    first, *calls, last = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join([first, *calls[:100], last]), encoding="utf-8")
    project.git("commit", "--quiet", "-am", "half")
    done = project.pull_request("worse")
    assert 1 == done.code, done.shown
    assert "Incomplete: only " in done.shown
    command = "pytest --live-changed --promptlab-base=main test_prompt.py::test_the_prompt_is_good_enough"
    assert f"at least 90% are needed; to record the rest: {command}" in done.shown
    # When
    with serving(lambda body: "<label>sincere</label>") as server:
        project.edit("pyproject.toml", "http://127.0.0.1:8082", server.url)
        project.pytest(*command.split()[1:])
    # Then
    assert 59 + 2 * 8 == len(server.bodies)  # what main lacks of the test split; canonical examples again
    done = project.judged()
    assert re.search("(Worse|Broken), do not merge.*\n.* on 154 test examples", done.shown)
    assert "not compared" not in done.shown


def test_a_prompt_that_was_not_recorded_is_told_how_in_the_comment(project):
    shutil.copy(PROMPTS / "better/system.md", project.folder / "prompt/system.md")
    project.commit("unrecorded")
    done = project.judged()
    assert 1 == done.code, done.shown
    assert "## promptlab: 1 of 1 evaluations fail" in done.comment
    assert (
        "**not evaluated**: cassettes/local/insincere/evaluate-test.jsonl: system.md changed; 162 of 162 calls to "
        in html.unescape(done.comment)
    )
    assert "pytest --live-changed test&#95;prompt.py::test&#95;the&#95;prompt" in done.comment


def test_a_changed_extractor_is_named_and_reads_both_sides(project):
    project.propose("worse")
    project.edit("test_prompt.py", 'pl.tagged("label")', 'pl.choice(("sincere", "insincere"))')
    project.commit("extractor")
    done = project.judged()
    said = "also changed: code that uses promptlab: test_prompt.py"
    assert said in done.shown
    base = re.search(r"macro F1 (\d\.\d+) -> ", done.shown)[1]
    project.git("checkout", "--quiet", "main")
    project.edit("test_prompt.py", 'pl.tagged("label")', 'pl.choice(("sincere", "insincere"))')
    assert f"macro F1 {base}, accuracy" in project.pytest().shown


def test_data_outside_the_repository_are_named_and_judged_all_the_same(project, tmp_path_factory):
    project.forget_canonical()
    outside = tmp_path_factory.mktemp("outside") / "data.csv"
    shutil.copy(project.folder / "data.csv", outside)
    project.edit("test_prompt.py", '"data.csv"', repr(str(outside)))
    project.propose("worse")
    project.commit("outside")
    done = project.judged()
    assert re.search("(Worse|Broken), do not merge.*\n.* on 154 test examples", done.shown)
    assert (
        f"also changed: data: {outside} lies outside the repository, so its changes cannot be seen"
        in done.shown
    )


def test_a_changed_label_is_named_and_counts_for_both_sides(project):
    project.propose("worse")
    project.edit("data.csv", f"{TYPO},sincere", f"{TYPO},insincere")
    project.commit("label")
    assert "also changed: data: data.csv: 1 example (q009) new or changed" in project.judged().shown


def test_an_overlay_is_named_when_it_comes_and_when_it_changes(project):
    project.propose("worse")
    project.edit("test_prompt.py", 'read_csv("data.csv")', 'read_csv("data.csv", overlay="overlay.csv")')
    project.write("overlay.csv", "id,label,exclude,reason\nq009,insincere,,misread\nq010,,yes,a copy\n")
    project.commit("overlay")
    said = "also changed: data: overlay.csv: 2 examples (q009, q010) new or changed, 0 rows of main changed or gone"
    assert said in project.judged().shown


def test_a_changed_model_is_named_and_judged(project):
    project.edit("pyproject.toml", "max_tokens = 160", "max_tokens = 200")
    path = project.folder / CASSETTE
    path.write_text(
        path.read_text(encoding="utf-8").replace('"max_tokens": 160', '"max_tokens": 200'), encoding="utf-8"
    )
    project.commit("model")
    done = project.judged()
    assert "also changed: classifier: max_tokens 160 -> 200" in done.shown
    assert "## promptlab: 1 no worse" in done.comment


ASSERTIONS = """

@pytest.mark.parametrize("example", task.canonical)
def test_canonical(lab, example):
    assert lab.evaluate(task, "prompt").canonical[example].correct


def test_all_canonical_are_right(lab):
    assert lab.evaluate(task, "prompt").canonical.all_correct


def test_no_worse(lab):
    result = lab.evaluate(task, "prompt")
    assert lab.compare(result).no_worse
    assert result.no_worse_than(lab.compare(result).base, margin=0.05)


def test_tokens(lab):
    assert lab.evaluate(task, "prompt").tokens_per_call < 1
"""


def test_assertions_explain_themselves(project):
    project.write("test_prompt.py", TESTS + ASSERTIONS)
    project.git("commit", "--quiet", "-am", "assertions")
    done = project.pull_request("worse")
    wrong = re.findall(r"^FAILED test_prompt.py::test_canonical\[(q\d+)\]", done.shown, re.MULTILINE)
    assert wrong, done.shown
    assert re.search(rf"<Prediction {wrong[0]}: \w+, answered [^;]+; '", done.shown)
    assert re.search(rf"<failed: {wrong[0]} is \w+, answered [^;]+", done.shown)
    assert re.search(r"assert \d+\.\d+ < 1", done.shown)
    assert "<failed: no worse than prompt" in done.shown or "no_worse" in done.shown


def test_without_a_base_a_comparison_is_skipped(project):
    project.write("test_prompt.py", TESTS + ASSERTIONS)
    done = project.pytest("-rs", "-k", "no_worse")
    assert "SKIPPED" in done.shown
    assert "give --promptlab-base=origin/main" in done.shown


def test_canonical_examples_that_are_not_marked_are_asked_for(project):
    project.write("test_prompt.py", TESTS + ASSERTIONS)
    project.edit("data.csv", ",true,train\n", ",,train\n")
    done = project.pytest("-k", "all_canonical")
    assert "has no canonical examples: mark some in the column 'canonical'" in done.shown


def test_on_github_there_are_annotations_and_a_summary_and_no_text_is_a_command(project, tmp_path_factory):
    project.forget_canonical()
    summary = tmp_path_factory.mktemp("runner") / "summary.md"
    done = project.pull_request("worse", GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY=str(summary))
    assert done.comment == summary.read_text(encoding="utf-8")
    stops, resumes = (
        re.findall(pattern, done.shown, re.MULTILINE)
        for pattern in (r"^::stop-commands::(\w+)$", r"^::(\w{32})::$")
    )
    assert stops == resumes
    assert 2 == len(stops)
    assert not [line for line in done.shown.splitlines() if line.startswith("::error ")]
    commands = (project.folder / ".promptlab/annotations.txt").read_text(encoding="utf-8").splitlines()
    assert commands
    assert all(
        re.match(
            r"::error file=prompt/\w+\.md,line=\d+,title=insincere%3A evaluate-test%3A worse::Worse, do", one
        )
        for one in commands
    )
    assert all("%0A" in one for one in commands)


def test_the_figures_stand_in_junit(project):
    project.forget_canonical()
    project.propose("worse")
    project.commit("worse")
    project.judged("--junitxml=junit.xml")
    text = (project.folder / "junit.xml").read_text(encoding="utf-8")
    case = re.search(
        r'<testcase[^>]* name="prompt\[insincere: evaluate-test\]".*?</testcase>', text, re.DOTALL
    )[0]
    for name, value in {"verdict": "worse", "metric": "macro_f1", "compared": "154"}.items():
        assert f'<property name="promptlab.{name}" value="{value}" />' in case
    assert '<failure message="Worse, do not merge: 22 broken, 0 fixed"' in case


# -- a release to judge against too -----------------------------------------------------------------


def release(project, kept=None):
    """Release a prompt as v1, then lose some of its quality on main, as several merges may."""
    project.propose("better")
    project.git("commit", "--quiet", "-am", "release")
    project.forget_canonical()
    if kept is not None:
        recording = files.read(project.folder / CASSETTE)
        files.write(project.folder / CASSETTE, files.without(recording, list(recording.calls)[kept:]))
        project.git("commit", "--quiet", "--amend", "-am", "release")
    project.git("tag", "v1")
    project.propose("main")
    project.git("commit", "--quiet", "-am", "later")
    project.forget_canonical()


def test_small_losses_do_not_add_up_unseen(project):
    release(project)
    assert 0 == project.pull_request("reworded").code
    done = project.judged("--promptlab-anchor=v1", "-v")
    assert 1 == done.code, done.shown
    assert "FAILED test_prompt.py::prompt[insincere: evaluate-test, since v1] - Worse, do not" in done.shown
    assert "judged against the release v1 (" in done.shown
    assert "insincere: evaluate-test: OK to merge: shown to be no worse" in done.shown
    assert (
        "if each of the 2 prompts judged is as good as its base, the chance that one is called worse is about 10%"
        in done.shown
    )
    assert "since v1: **worse**" in done.comment


def test_a_release_with_few_common_examples_says_nothing(project):
    release(project, kept=40)
    done = project.pull_request("reworded", "--promptlab-anchor=v1", "--promptlab-strict")
    assert 0 == done.code, done.shown
    assert re.search(r"since v1: Cannot tell: only \d\d examples are recorded both for", done.shown)


def test_a_release_is_judged_at_its_own_commit(project):
    """Not where the branch began: a release may be on a branch of its own."""
    project.forget_canonical()
    project.git("checkout", "--quiet", "-b", "stable")
    project.propose("better")
    project.git("commit", "--quiet", "-am", "stable")
    project.forget_canonical()
    project.git("tag", "v1")
    project.git("checkout", "--quiet", "main")
    assert "since v1: Worse, do not merge" in project.pull_request("reworded", "--promptlab-anchor=v1").shown


def test_a_release_is_judged_beside_a_base_and_has_to_exist(project):
    assert "--promptlab-anchor needs --promptlab-base=COMMIT" in project.pytest("--promptlab-anchor=v1").shown
    assert "--promptlab-anchor=v9: git knows no such commit" in project.judged("--promptlab-anchor=v9").shown


def test_all_recorded_answers_to_an_example_are_read():
    about, prompt, model = task(), Prompt("s"), Model("small")
    first, other = about.examples[:2]
    calls = {
        files.message_key(prompts.build(prompt, first.text, model, repeat)): {
            "response": {"body": message(f"<label>{label}</label>")}
        }
        for repeat, label in enumerate(("weather", "food", "weather"))
    }
    found = recorded(about, prompt, model, (first, other), calls)
    assert {first.id: [(0, "weather"), (1, "food"), (2, "weather")]} == {
        name: [(row.repeat, row.label) for row in rows] for name, rows in found.items()
    }


def test_an_example_that_the_api_refused_on_main_has_no_label_there():
    about, prompt, model = task(), Prompt("s"), Model("small")
    example = about.examples[0]
    refusal = {"type": "error", "error": {"type": "invalid_request_error", "message": "too long"}}
    asked = prompts.build(prompt, example.text, model)
    entry = {"kind": "rejected", "request": {"body": body_of(asked)}, "response": {"body": refusal}}
    ((row,),) = recorded(about, prompt, model, (example,), {files.message_key(asked): entry}).values()
    assert (None, "rejected", "too long", 0) == (row.label, row.missing, row.reply.text, row.score)


def test_a_label_that_the_prompt_no_longer_names_is_pointed_out(project):
    """The answers stay as they were: a model that does not react to it hides what was forgotten."""

    def without(text: str) -> str:
        return re.sub(r"\binsincere\b", "mean", text)

    old = prompts.load_prompt(project.folder / "prompt")
    for path in (project.folder / "prompt").iterdir():
        project.write(f"prompt/{path.name}", without(path.read_text(encoding="utf-8")))
    recording = files.read(project.folder / CASSETTE)
    for call in recording.calls.values():
        body = call["request"]["body"]
        body["system"] = without(body["system"])
        (turn,) = body["messages"]
        text = turn["content"].removeprefix(old.prefix).removesuffix(old.suffix)
        turn["content"] = without(old.prefix) + text + without(old.suffix)
    files.write(project.folder / CASSETTE, recording)
    project.commit("proposed")
    done = project.judged()
    assert 0 == done.code, done.shown
    assert "OK to merge" in done.shown
    assert "no answer changed between right and wrong" in done.shown
    assert "also changed: the prompt no longer names the label 'insincere'" in done.shown


def test_answers_that_are_lacking_are_no_reason_to_retire_the_prompt(project):
    path = project.folder / "prompt/system.md"
    path.write_text(path.read_text(encoding="utf-8") + " More.", encoding="utf-8")
    project.commit("proposed")
    done = project.judged()
    assert 1 == done.code
    assert f"{CASSETTE}: lacks answers to the prompt prompt. On the branch, record them" in done.shown
    assert "--promptlab-retired" not in done.shown + done.comment
