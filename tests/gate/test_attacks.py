"""Pull requests whose author would pass by the gate: each is tried in a session of its own, and by the command."""

from __future__ import annotations

import copy
import json
import re
import zlib

import pytest

from promptlab import cli
from promptlab.cassettes import format as files

from ..server import serving
from .project import CASSETTE

TITLE = "test_prompt.py::prompt[insincere: evaluate-test]"


def test_the_same_prompt_with_worse_answers_is_worse(project, judge):
    canonical = [row["text"] for row in project.rows if row["canonical"]]
    project.answer(lambda text, reply: reply if any(one in text for one in canonical) else "no label")
    done = judge()
    assert 1 == done.code, done.shown
    assert f"FAILED {TITLE} - Worse, do not merge: same prompt, other answers" in done.shown


@pytest.mark.parametrize(
    "change",
    [
        ("import pytest\n", "import pytest\n\npytestmark = pytest.mark.skip\n"),
        ('lab.evaluate(task, "prompt")', 'lab.evaluate(task, pl.load_prompt("prompt"))'),
        ("def test", "def rest"),
    ],
    ids=["skipped", "hidden", "deleted"],
)
def test_a_worse_prompt_that_no_test_evaluates_fails_by_name(project, judge, change):
    project.propose("worse")
    project.edit("test_prompt.py", *change)
    done = judge()
    assert 1 == done.code, done.shown
    assert (
        "FAILED promptlab::recorded[" in done.shown or f"FAILED {TITLE} - Broken, do not merge" in done.shown
    )


def test_a_worse_prompt_that_a_conftest_deselects_fails_by_name(project, judge):
    project.propose("worse")
    project.write("conftest.py", "def pytest_collection_modifyitems(items):\n    items.clear()\n")
    done = judge()
    assert 1 == done.code, done.shown
    assert (
        "FAILED promptlab::recorded[" in done.shown or f"FAILED {TITLE} - Broken, do not merge" in done.shown
    )


def test_a_prompt_that_may_go_is_named_on_the_command_line_and_in_the_comment(project, session):
    project.git("rm", "--quiet", "-r", "prompt", "test_prompt.py", "cassettes")
    project.write("test_other.py", "def test_other(lab):\n    pass\n")
    done = session("--promptlab-retired=prompt")
    assert 0 == done.code, done.shown
    assert "retired on the command line, so that no test has to judge it: prompt" in done.comment
    # When
    project.edit(
        "pyproject.toml",
        "[tool.promptlab]\n",
        "[tool.pytest]\naddopts=['--promptlab-retired=prompt']\n[tool.promptlab]\n",
    )
    # Then
    assert "give it on the command line, not in a file" in project.judged().shown


def test_relabelled_examples_do_not_hide_a_worse_prompt(project, judge):
    """The new prompt says "sincere" to everything, and nearly all examples become that."""
    rows = project.rows
    right = {row["text"]: row["label"] for row in rows}
    canonical = {row["text"] for row in rows if row["canonical"]}

    def answer(text, reply):
        return next(f"<label>{right[one]}</label>" for one in right if one in text)

    def always(text, reply):
        return answer(text, reply) if any(one in text for one in canonical) else "<label>sincere</label>"

    project.answer(answer)
    project.git("commit", "--quiet", "-am", "a good prompt")
    project.propose("reworded")
    project.answer(always)
    for row in [row for row in rows if row["split"] == "test" and row["label"] == "insincere"][10:]:
        row["label"] = "sincere"
    project.rows = rows
    done = judge("--strict")
    assert 1 == done.code, done.shown
    said = "no worse by this branch's labels and reading of replies, worse by main's"
    assert f"FAILED {TITLE} - Contested: {said}" in done.shown
    assert "relabelled: 71\n" in done.shown
    assert re.search(r"\n\| q\d+ \| .* \| insincere \| sincere \|\n", done.comment)


def test_a_test_split_without_what_the_new_prompt_breaks_is_not_what_main_judges_by(project, judge):
    project.propose("worse")
    project.rows = [row for row in project.rows if row["split"] != "test" or len(row["text"]) % 3]
    done = judge("--strict")
    assert 1 == done.code, done.shown
    assert "no longer judged, and wrong by main's reading: " in done.shown


def test_a_folder_that_was_renamed_is_followed_and_judged(project, judge):
    project.propose("worse")
    (project.folder / "prompt").rename(project.folder / "moved")
    project.edit("test_prompt.py", '"prompt"', '"moved"')
    done = judge()
    assert 1 == done.code, done.shown
    assert f"FAILED {TITLE} - Broken, do not merge" in done.shown
    by_main = "judged by main's code" in done.shown
    assert by_main == ("renamed, and judged in its old place: prompt -> moved" in done.shown)


def test_a_folder_that_cannot_be_followed_is_gone_and_fails(project, judge):
    for path in (project.folder / "prompt").iterdir():
        path.unlink()
    project.write("moved/system.md", "Say something else altogether.\n")
    project.edit("test_prompt.py", '"prompt"', '"moved"')
    done = judge()
    assert 1 == done.code, done.shown


def test_another_model_through_the_test_is_judged_and_named(project, session):
    project.edit(
        "test_prompt.py", 'lab.evaluate(task, "prompt")', 'lab.evaluate(task, "prompt", classifier=small)'
    )
    project.edit(
        "test_prompt.py", "\n\ndef test_the_prompt", '\nsmall = pl.Model("small")\n\n\ndef test_the_prompt'
    )
    recording = files.read(project.folder / CASSETTE)
    for call in recording.calls.values():
        call["request"]["body"] = {
            "model": "small",
            "max_tokens": 1024,
            "system": call["request"]["body"]["system"],
            "messages": call["request"]["body"]["messages"],
        }
        call["response"]["body"]["content"][0]["text"] = "no label"
    files.write(project.folder / CASSETTE, recording)
    done = session()
    assert 1 == done.code, done.shown
    assert f"FAILED {TITLE} - " in done.shown
    assert "classifier: name 'qwen2.5-coder-1.5b-instruct' -> 'small'" in done.shown


def test_a_schema_of_the_answers_is_one_of_the_models_settings(project, session):
    """The base's is known from its recording alone: to drop it is another model, and is judged as one."""
    settings = '"qwen2.5-coder-1.5b-instruct", max_tokens=160, extra_body={"temperature": 0.7}'
    asked = 'lab.evaluate(task, "prompt"'
    project.edit("test_prompt.py", f"{asked})", f"{asked}, classifier=held)")
    held = f'held = pl.Model({settings}, structured={{"type": "object"}})'
    project.edit("test_prompt.py", "\n\ndef test_the_prompt", f"\n{held}\n\n\ndef test_the_prompt")
    recording = files.read(project.folder / CASSETTE)
    form = {"format": {"type": "json_schema", "schema": {"type": "object"}}}
    for call in recording.calls.values():
        call["request"]["body"]["output_config"] = form
    files.write(project.folder / CASSETTE, recording)
    project.git("commit", "--quiet", "-am", "structured")
    project.edit("test_prompt.py", ', structured={"type": "object"}', "")
    for call in recording.calls.values():
        del call["request"]["body"]["output_config"]
        call["response"]["body"]["content"][0]["text"] = "no label"
    files.write(project.folder / CASSETTE, recording)
    done = session()
    assert 1 == done.code, done.shown
    assert f"FAILED {TITLE} - Broken, do not merge" in done.shown
    assert "classifier: structured {'type': 'object'} -> False" in done.shown


def test_another_model_is_seen_where_all_texts_are_new(project, session):
    """Nothing that the base's recording answers is asked any more, but it still says who answered."""
    project.edit(
        "test_prompt.py", 'lab.evaluate(task, "prompt")', 'lab.evaluate(task, "prompt", classifier=small)'
    )
    project.edit(
        "test_prompt.py", "\n\ndef test_the_prompt", '\nsmall = pl.Model("small")\n\n\ndef test_the_prompt'
    )
    project.edit("test_prompt.py", "macro_f1 >= 0.1", "macro_f1 >= 0")
    project.rows = [row | {"text": f"New: {row['text']}"} for row in project.rows]
    recording = files.read(project.folder / CASSETTE)
    for call in recording.calls.values():
        body = call["request"]["body"]
        (turn,) = body["messages"]
        found = next(
            row["text"].removeprefix("New: ") for row in project.rows if row["text"][5:] in turn["content"]
        )
        content = turn["content"].replace(found, f"New: {found}")
        messages = [{"role": "user", "content": content}]
        call["request"]["body"] = {
            "model": "small",
            "max_tokens": 1024,
            "system": body["system"],
            "messages": messages,
        }
    files.write(project.folder / CASSETTE, recording)
    done = session()
    assert 1 == done.code, done.shown
    assert f"FAILED {TITLE} - Incomplete: only 0 examples are recorded" in done.shown


def test_an_extractor_that_favours_the_new_prompt_does_not_hide_that_it_is_worse(project, session):
    project.propose("worse")
    project.write(
        "reading.py",
        """\
import promptlab as pl


def read(reply):
    return pl.tagged("label")(reply) or "sincere"
""",
    )
    project.edit(
        "test_prompt.py", 'extract=pl.tagged("label")', 'extract=read, answer_format="<label>LABEL</label>"'
    )
    project.edit(
        "test_prompt.py", "import promptlab as pl\n", "import promptlab as pl\nfrom reading import read\n"
    )
    done = session("--strict")
    assert 1 == done.code, done.shown
    assert "read differently: " in done.shown


def test_a_repository_named_by_the_environment_is_not_the_base(project, session, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    project.git("clone", "--quiet", "--bare", ".", str(other / "x.git"))
    project.propose("worse")
    project.commit("proposed")
    done = project.judged(GIT_DIR=str(other / "x.git"))
    assert 1 == done.code, done.shown
    assert f"FAILED {TITLE} - Broken, do not merge" in done.shown


def test_a_test_beside_the_prompt_does_not_make_the_base_unreadable(project, session):
    """A file of the prompt's folder was extracted first, and then the folder was taken for complete."""
    project.git("mv", "test_prompt.py", "prompt/test_prompt.py")
    project.edit("prompt/test_prompt.py", '"prompt"', "HERE")
    project.edit("prompt/test_prompt.py", '"data.csv"', 'HERE.parent / "data.csv"')
    project.edit("prompt/test_prompt.py", "import pytest\n", "from pathlib import Path\n\nimport pytest\n")
    project.edit("prompt/test_prompt.py", "\ntask = ", "\nHERE = Path(__file__).parent\ntask = ")
    project.git("commit", "--quiet", "-am", "beside")
    project.propose("worse")
    project.edit("prompt/test_prompt.py", "< 700", "< 701")
    done = session()
    assert 1 == done.code, done.shown
    assert "Broken, do not merge" in done.shown


def test_a_base_whose_prompt_is_a_pointer_fails_and_says_what_to_do(project, session):
    system = (project.folder / "prompt/system.md").read_text(encoding="utf-8")
    project.write("prompt/system.md", "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 1\n")
    project.git("commit", "--quiet", "-am", "pointer")
    project.write("prompt/system.md", system)
    done = session()
    assert 1 == done.code, done.shown
    assert f"FAILED {TITLE} - Unreadable: main" in done.shown
    assert "is in Git LFS" in done.shown


def test_ends_of_lines_are_those_of_a_checkout_on_both_sides(project, judge):
    """What was recorded has them, so the base is not found without them."""
    project.write(".gitattributes", "prompt/*.md eol=crlf\n")
    project.crlf()
    project.git("add", ".")
    project.git("commit", "--quiet", "-m", "windows")
    project.propose("worse")
    project.crlf()
    done = judge()
    assert 1 == done.code, done.shown
    assert f"FAILED {TITLE} - Broken, do not merge" in done.shown


def test_a_damaged_recording_of_the_base_fails_by_its_name(project, session):
    """Under another name than that of the test, too."""
    path = project.folder / CASSETTE
    text = path.read_text(encoding="utf-8")
    project.write(CASSETTE.replace("-test", "-old"), text[: len(text) // 2])
    path.unlink()
    project.git("add", ".")
    project.git("commit", "--quiet", "-m", "damaged")
    project.propose("worse")
    done = session()
    assert 1 == done.code, done.shown
    assert f"FAILED {TITLE} - Unreadable: main" in done.shown
    assert f"could not be read from the base: main:{CASSETTE.replace('-test', '-old')}" in done.shown


def test_a_base_that_does_not_say_who_answered_fails(project, session):
    """Two models, neither the profile's, have answered all of it."""
    recording = files.read(project.folder / CASSETTE)
    for key, call in list(recording.calls.items()):
        del recording.calls[key]
        for name in ("one", "two"):
            other = copy.deepcopy(call)
            other["request"]["body"]["model"] = name
            recording.calls[files.request_key("POST", "/v1/messages", other["request"]["body"])] = other
    files.write(project.folder / CASSETTE, recording)
    project.git("commit", "--quiet", "-am", "two")
    project.propose("worse")
    done = session()
    assert 1 == done.code, done.shown
    assert (
        "the recordings of main hold answers of one and two with different settings to the same" in done.shown
    )


def test_data_behind_a_link_are_refused(project, gate):
    (project.folder / "prompt/system.md").unlink()
    (project.folder / "prompt/system.md").symlink_to("/etc/hostname")
    done = gate()
    assert 1 == done.code
    assert "prompt/system.md: is no plain file in proposed" in done.shown


@pytest.mark.thorough
def test_a_folder_that_was_a_link_leads_nowhere_else(project, gate, tmp_path):
    (project.folder / "linked").symlink_to(tmp_path)
    project.commit("main")
    (project.folder / "linked").unlink()
    project.write("linked/below/system.md", "escaped")
    done = gate()
    assert [] == list(tmp_path.iterdir()), done.shown


def test_a_demonstration_out_of_the_test_split_is_refused_by_name(project, judge):
    (shown,) = [row for row in project.rows if row["split"] == "test"][:1]
    project.write(
        "prompt/demonstrations.jsonl",
        f'{{"text": {json.dumps(shown["text"])}, "reply": "<label>sincere</label>"}}\n',
    )
    done = judge()
    assert 1 == done.code, done.shown
    assert f"is example '{shown['id']}', which is in validation or test" in done.shown


@pytest.mark.thorough
def test_a_prompt_that_goes_may_go_by_the_command_too(project, gate):
    project.git("rm", "--quiet", "-r", "prompt", "test_prompt.py", "cassettes")
    done = gate("--retired=prompt")
    assert 0 == done.code, done.shown
    assert "retired on the command line, so that no test has to judge it: prompt" in done.comment


@pytest.mark.thorough
def test_a_prompt_that_is_deleted_is_gone_and_fails(project, gate):
    project.git("rm", "--quiet", "-r", "prompt")
    done = gate()
    assert 1 == done.code, done.shown
    assert "**not evaluated**: prompt: " in done.comment


def test_a_prompt_that_quotes_the_test_split_fails_by_name(project, judge):
    project.propose("better")
    (shown,) = [row for row in project.rows if row["split"] == "test"][:1]
    project.quote(f"For example: {shown['text'].upper()} That one is {shown['label']}.")
    done = judge()
    assert 1 == done.code, done.shown
    said = "Leaks, do not merge: the prompt quotes examples that it is judged on, so it would be judged on what it knows"
    assert f"FAILED {TITLE} - {said}: {shown['id']}" in done.shown


def test_a_canonical_example_that_is_one_no_more_is_still_main_s(project, judge):
    project.propose("worse")
    project.rows = [row | {"canonical": ""} for row in project.rows]
    done = judge("--strict")
    assert 1 == done.code, done.shown
    assert "by main's labels and reading: Broken, do not merge: 3 canonical examples" in done.shown


def test_examples_that_are_put_into_one_group_do_not_make_a_loss_invisible(project, judge):
    """Examples of one group count as one, so nothing can be shown by them."""
    canonical = {row["text"]: row["label"] for row in project.rows if row["canonical"]}
    project.propose("reworded")
    project.answer(
        lambda text, _: next((f"<label>{canonical[one]}</label>" for one in canonical if one in text), "none")
    )
    project.rows = [row | {"group": "all" if row["split"] == "test" else ""} for row in project.rows]
    done = judge("--strict")
    assert 1 == done.code, done.shown
    assert "by main's labels and reading: Worse, do not merge" in done.shown
    assert "new, or in another group: 154 examples" in done.shown


@pytest.mark.thorough
def test_data_are_no_tests(project, gate, tmp_path):
    """Main may collect doctests from Markdown; a branch's prompt is none."""
    project.edit(
        "pyproject.toml",
        "[tool.promptlab]\n",
        "[tool.pytest]\naddopts = ['--doctest-glob=*.md']\n\n[tool.promptlab]\n",
    )
    project.commit("main")
    mark = tmp_path / "was-here"
    project.propose("better")
    project.write("notes/system.md", f">>> open({str(mark)!r}, 'w').close()\n")
    done = gate()
    assert not mark.exists()
    assert 0 == done.code, done.shown


def test_the_luckiest_of_many_recordings_is_not_called_better(project, session):
    """Of 2,000 on one test split, one looks better by chance."""
    project.propose("better")
    project.looked(*(f"{n:08x}" for n in range(2_000)))
    done = session()
    assert 0 == done.code, done.shown
    assert "insincere: evaluate-test: OK to merge: shown to be no worse, since " in done.shown
    assert (
        "alone it would count as better; of 2000 recordings on these examples, one may look so" in done.shown
    )
    assert (
        '2000 recordings were judged on this test split, so that "better" has to hold'
        in project.judged("-v").shown
    )


def test_after_a_lucky_base_an_equal_prompt_is_not_worse_when_both_are_asked_again(project):
    """Main was recorded when all went well; the model, which is synthetic here, is right about two of three."""
    right = {row["text"]: row["label"] for row in project.rows}
    canonical = {row["text"] for row in project.rows if row["canonical"]}

    def label(text):
        return next(f"<label>{right[one]}</label>" for one in right if one in text)

    def answer(body):
        text = body["messages"][-1]["content"]
        lucky = (
            any(one in text for one in canonical) or zlib.crc32(json.dumps(body, sort_keys=True).encode()) % 3
        )
        return label(text) if lucky else "I cannot say."

    project.answer(lambda text, _: label(text))
    project.git("commit", "--quiet", "-am", "lucky")
    project.propose("reworded", "main")
    project.commit("proposed")
    with serving(answer) as server:
        project.edit("pyproject.toml", "http://127.0.0.1:8082", server.url)
        project.judged("--live-changed")
        assert 1 == project.judged().code
        assert "Worse, do not merge" in project.judged().shown
        asked = len(server.bodies)
        project.judged("--live-changed", "--promptlab-fresh-base")
        assert asked + 154 == len(server.bodies)
    done = project.judged()
    assert 0 == done.code, done.shown
    assert "the base was asked again beside it" in done.shown
    assert "insincere: evaluate-test: OK to merge: shown to be no worse, since " in done.shown
    ledger = (project.folder / "cassettes/ledger.csv").read_text().splitlines()
    assert 1 + 2 == len(ledger), "the base's new recording is a look too"
    needs = "--promptlab-fresh-base asks the base again: it needs --live-changed, or --live"
    assert needs in project.judged("--promptlab-fresh-base").shown


def test_easy_examples_that_are_added_do_not_outvote_what_was_broken(project, judge):
    """Main knows none of them, so that they count for nothing by its labels."""
    rows, canonical = project.rows, {row["text"] for row in project.rows if row["canonical"]}
    right = {row["text"]: row["label"] for row in rows}
    project.answer(lambda text, _: next(f"<label>{right[one]}</label>" for one in right if one in text))
    project.git("commit", "--quiet", "-am", "a good prompt")
    project.propose("reworded")
    broken = [row["text"] for row in rows if row["split"] == "test" and row["text"] not in canonical][:12]
    project.answer(
        lambda text, _: (
            next(f"<label>{right[one]}</label>" for one in right if one in text)
            if not any(one in text for one in broken)
            else "none"
        )
    )
    easy = [
        rows[0] | {"id": f"e{n}", "text": f"Easy one {n}?", "canonical": "", "split": "test"}
        for n in range(600)
    ]
    project.rows = [*rows, *easy]
    for prompt in ("reworded", "main"):
        project.ask(prompt, [row["text"] for row in easy], f"<label>{rows[0]['label']}</label>")
    done = judge("--strict")
    assert 1 == done.code, done.shown
    assert "by main's labels and reading: Worse, do not merge" in done.shown
    assert "new, or in another group: 600 examples" in done.shown


def test_relabelling_without_a_change_of_the_prompt_warns_since_the_next_one_is_judged_by_it(project, judge):
    rows = project.rows
    for row in [row for row in rows if row["split"] == "test"][:30]:
        row["label"] = {"sincere": "insincere", "insincere": "sincere"}[row["label"]]
    project.rows = rows
    done = judge("--strict")
    assert 0 == done.code, done.shown
    assert (
        "PromptWarning: insincere: evaluate-test: Unchanged: the same requests and answers, but" in done.shown
    )
    assert "relabelled: 30\n" in done.shown


def test_looks_count_although_a_branch_changes_an_example(project, judge):
    """Another example makes another test split, but not one that nobody has looked at."""
    project.looked(*(f"{n:08x}" for n in range(2_000)))
    project.git("add", ".")
    project.git("commit", "--quiet", "-m", "looks")
    project.propose("better")
    rows = project.rows
    for row in [row for row in rows if row["split"] == "test"][:1]:
        row["label"] = {"sincere": "insincere", "insincere": "sincere"}[row["label"]]
    project.rows = rows
    assert "of 2000 recordings on these examples, one may look so by chance" in judge().shown


@pytest.mark.thorough
def test_a_prompt_that_no_test_of_main_evaluates_is_listed(project, gate):
    project.write("other/system.md", "Say yes.\n")
    project.git("add", ".")
    project.git("commit", "--quiet", "-m", "other")
    project.write("other/system.md", "Say no.\n")
    done = gate()
    assert "- prompts that no test of main evaluates, changed or new: other\n" in done.comment
    assert "prompts that no test of main evaluates, changed or new: other\n" in done.shown


def test_a_quote_with_unseen_characters_in_its_words_is_a_quote(project, session):
    project.propose("better")
    (shown,) = [row for row in project.rows if row["split"] == "test"][:1]
    project.quote("For example: " + " ".join(f"{word[:2]}\u200b{word[2:]}" for word in shown["text"].split()))
    assert "Leaks, do not merge: the prompt quotes examples that it is judged on" in session().shown


def test_looks_that_a_branch_takes_out_of_the_ledger_still_count(project, judge):
    project.looked(*(f"{n:08x}" for n in range(2_000)))
    project.git("add", ".")
    project.git("commit", "--quiet", "-m", "looks")
    project.propose("better")
    project.looked("00000000")
    done = judge()
    assert "of 2000 recordings on these examples, one may look so by chance" in done.shown


@pytest.mark.thorough
def test_looks_that_a_branch_enters_count_by_the_command(project, gate):
    project.propose("better")
    project.looked(*(f"{n:08x}" for n in range(2_000)))
    assert "of 2000 recordings on these examples, one may look so by chance" in gate().shown


@pytest.mark.parametrize("change", ["test_prompt.py", "data.csv", "prompt", "nothing"])
def test_an_honest_better_prompt_passes_with_strict(project, judge, change):
    """Whatever else its branch does that is no trick."""
    project.propose("better")
    if change == "test_prompt.py":
        project.edit("test_prompt.py", "< 700", "< 650")
    if change == "data.csv":
        row = project.rows[0]
        project.rows = [
            *project.rows,
            row | {"id": "new", "text": "Why not?", "canonical": "", "split": "train"},
        ]
    if change == "prompt":
        (project.folder / "prompt").rename(project.folder / "moved")
        project.edit("test_prompt.py", '"prompt"', '"moved"')
    done = judge("--strict")
    assert 0 == done.code, done.shown
    assert "evaluate-test: OK to merge: " in done.shown


def test_what_the_base_has_recorded_is_missed_by_its_header_alone(project):
    """Where a branch changes prompts alone, main's tests are not run to find out."""
    project.propose("worse")
    project.commit("worse")
    done = project.judged("--deselect=test_prompt.py")
    assert 1 == done.code, done.shown
    said = f"{CASSETTE}: main ("
    assert f"FAILED promptlab::recorded[{CASSETTE}] - {said}" in done.shown
    assert "has it recorded for the prompt prompt, and no test that ran judges that one" in done.shown
    for retired in ("prompt", CASSETTE):
        done = project.judged("--deselect=test_prompt.py", f"--promptlab-retired={retired}")
        assert "FAILED" not in done.shown


def test_what_is_recorded_here_alone_is_missed_too(project):
    project.take("better", CASSETTE.replace("-test", "-other"), "other")
    project.commit("other")
    done = project.judged()
    assert 1 == done.code, done.shown
    name = CASSETTE.replace("-test", "-other")
    assert (
        f"FAILED promptlab::recorded[{name}] - {name}: this branch has it recorded for the prompt other"
        in done.shown
    )


@pytest.mark.thorough
def test_a_branch_that_conflicts_with_main_is_told_to_merge_it(project, monkeypatch, capfd):
    project.write("notes.txt", "one")
    project.commit("proposed")
    project.git("checkout", "--quiet", "main")
    project.write("notes.txt", "two")
    project.git("add", ".")
    project.git("commit", "--quiet", "-m", "two")
    monkeypatch.chdir(project.folder)
    assert 1 == cli.main(["gate", "main", "proposed"])
    said = (
        "promptlab: proposed cannot be merged into main: on the branch, git merge main; join each recording "
    )
    assert said in capfd.readouterr().err


def test_a_session_about_other_tests_does_not_miss_the_prompt(project):
    """CI may split its tests over several sessions; what the command line names is not the author's to say."""
    project.write("other/test_other.py", "def test_other(lab):\n    pass\n")
    project.commit("other")
    assert 0 == project.judged("other").code
    assert 1 == project.judged("other", "test_prompt.py", "--deselect=test_prompt.py").code
