"""What has the shape of a key is masked, wherever it stands and whatever is written."""

from __future__ import annotations

import ast
import json
import os
import re
import string

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from promptlab import cli, secrets
from promptlab.errors import ModelError, PromptlabError, shorten
from promptlab.models.messages_api import shown_url, url_of
from promptlab.plugin.decisions import _escaped
from promptlab.records import Model
from promptlab.report.markdown import literal

from . import examples
from .conftest import ROOT
from .examples import connect
from .server import serving

WORD, HEX, UPPER = (
    string.ascii_letters + string.digits,
    "0123456789abcdef",
    string.ascii_uppercase + string.digits,
)
#: Vendor, what its keys begin with, of which characters the rest is, and how many.
KEYS = (
    ("Anthropic, OpenAI and others", f"sk-{'ant'}-api03-", WORD + "-_", 95),
    ("Anthropic, OpenAI and others", "sk-proj-", WORD + "-_", 48),
    ("GitHub", "ghp_", WORD, 36),
    ("GitHub", "github_pat_", WORD + "_", 82),
    ("GitLab", "glpat-", WORD + "-_", 20),
    ("GitLab", "glrt-", WORD, 20),
    ("Slack", "xoxb-1234567890-", WORD, 24),
    ("Slack", "xapp-1-A012-", WORD, 64),
    ("AWS", "AKIA", UPPER, 16),
    ("Google", "AIza", WORD + "-_", 35),
    ("Google", "GOCSPX-", WORD + "-_", 28),
    ("Google", "ya29.", WORD + "-_", 100),
    ("Stripe", "sk_live_", WORD, 24),
    ("Stripe", "whsec_", WORD, 32),
    ("SendGrid", f"SG.{'aB3' * 7}x.", WORD, 43),
    ("npm", "npm_", WORD, 36),
    ("PyPI", "pypi-AgEIcHlwaS5vcmc", WORD + "-_", 150),
    ("Hugging Face", "hf_", WORD, 34),
    ("xAI", "xai-", WORD, 80),
    ("Groq", "gsk_", WORD, 52),
    ("Replicate", "r8_", WORD, 37),
    ("DigitalOcean", "dop_v1_", HEX, 64),
    ("Databricks", "dapi", HEX, 32),
    ("HashiCorp Vault", "hvs.", WORD + "-_", 90),
    ("Shopify", "shpat_", HEX, 32),
    ("Linear", "lin_api_", WORD, 40),
    ("New Relic", "NRAK-", UPPER, 27),
    ("LangSmith", f"lsv2_pt_{'0a' * 16}_", HEX, 10),
    ("age", "AGE-SECRET-KEY-1", UPPER, 58),
    ("JSON web tokens", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.", WORD + "-_", 43),
    (
        "PEM and PGP, with or without headers and end",
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n",
        WORD,
        64,
    ),
    ("HTTP headers", "Bearer ", WORD, 32),
    ("HTTP headers", "basic ", WORD + "+/", 24),
    ("a password in a URL", "postgres://me:", WORD, 12),
)
AFTER = {
    "PEM and PGP, with or without headers and end": "\n-----END RSA PRIVATE KEY-----",
    "a password in a URL": "@db.example/x",
}


@st.composite
def keys(draw):
    """Draw a key of a vendor, and the part of it that must not remain."""
    vendor, start, alphabet, length = draw(st.sampled_from(KEYS))
    rest = draw(st.text(alphabet, min_size=length - 1, max_size=length - 1))
    secret = rest[: length // 2] + "7" + rest[length // 2 :]
    return start + secret + AFTER.get(vendor, ""), secret


BEFORE = st.one_of(
    st.just(""), st.characters(exclude_categories=("Cs",)).filter(lambda c: not re.match("[A-Za-z0-9]", c))
)


def test_each_vendor_has_an_example():
    assert {*secrets.VENDORS, "a password in a URL"} == {vendor for vendor, *_ in KEYS}


def check_no_key_remains(key, before):
    text = f"{before}{key[0]} {before}"
    value = {"a": [text, {text: before}], "b": (1, None, text)}
    for shown in (
        secrets.masked(text),
        json.dumps(secrets.screened(value)),
        literal(text),
        str(PromptlabError(text)),
        _escaped(text),
        repr(shorten(text, 1_000)),
    ):
        assert key[1] not in shown


@given(keys(), BEFORE)
@example(("\n" + "sk-" + "a1" * 20, "a1" * 20), "\t")
def test_no_key_remains(key, before):
    check_no_key_remains(key, before)


@pytest.mark.thorough
@settings(max_examples=10_000)
@given(keys(), BEFORE)
def test_no_key_of_ten_thousand_remains(key, before):
    check_no_key_remains(key, before)


ENGLISH = [
    "the",
    "risk",
    "adjusted",
    "return",
    "on",
    "capital",
    "of",
    "a",
    "task",
    "based",
    "desk",
    "sk",
    "learn",
    "compatible",
    "basic",
    "bearer",
    "project",
    "proxy",
    "state",
    "of",
    "the",
    "art",
    "well",
    "known",
    "long",
    "term",
    "up",
    "to",
    "date",
    "hf",
    "pypi",
    "npm",
    "glpat",
    "xai",
    "age",
    "secret",
    "key",
    "live",
    "test",
    "api",
    "token",
]
HYPHENATED = st.lists(
    st.lists(st.sampled_from(ENGLISH), min_size=1, max_size=9).map("-".join), max_size=6
).map(" ".join)


@given(HYPHENATED)
@example("risk-adjusted-return-on-capital sk-learn-compatible-estimators")
def test_english_with_hyphens_is_never_masked(text):
    assert text == secrets.masked(text)


@pytest.mark.thorough
@settings(max_examples=10_000)
@given(HYPHENATED)
def test_english_with_hyphens_is_never_masked_ten_thousand_times(text):
    assert text == secrets.masked(text)


def test_what_follows_a_key_without_an_end_stays():
    assert re.fullmatch(
        r"is \[masked \w{8}\]\? Say yes\.", secrets.masked("is -----BEGIN PRIVATE KEY-----? Say yes.")
    )


@pytest.mark.parametrize("url", ["http://h/?key=a", "http://h/x#a", "h:8082", "file:///x", "https://"])
def test_an_address_with_more_than_host_and_path_is_refused(url):
    with pytest.raises(ModelError, match=r"base_url of m: .*: expected http\(s\)://host\[:port\]\[/path\]"):
        url_of(Model("m", base_url=url))


def test_an_address_is_shown_without_what_may_be_secret():
    assert "https://h:1/..." == shown_url(Model("m", base_url="https://me:pass@h:1/v2/token-1234?q=2"))
    assert "http://[::1]:8" == shown_url(Model("m", base_url="http://[::1]:8/"))


# -- a session -------------------------------------------------------------------------------------

PLANTED = f"sk-{'ant'}-api03-{'Zq9' * 20}"
PASSWORD = "pa55word-of-a-url"
TESTS = f"""
import promptlab as pl

KEY = "{PLANTED}"
task = pl.Task(
    name="topics",
    examples=pl.read_csv("data.csv"),
    labels=("weather", "food"),
    brief="Weather or food?",
)

def test_a_run(lab):
    lab.optimize(task, iterations=1, per_label=6, calls=60)

def test_a_folder(lab):
    print("\\t" + KEY)
    result = lab.evaluate(task, "prompt")
    assert not result.rows[0].example.text, KEY

def test_an_error(lab):
    def extract(reply):
        raise ValueError(reply + "\\n" + KEY)
    from dataclasses import replace
    lab.evaluate(replace(task, extract=extract), pl.Prompt("x"), name="other")

def test_a_skip():
    import pytest
    pytest.skip("\\n" + KEY)

def test_a_refusal(lab):
    lab.evaluate(task, pl.Prompt("refuse"), name="third")
"""


@pytest.mark.parametrize("before", ["\n", pytest.param("é", marks=pytest.mark.thorough)])
def test_nothing_that_a_live_session_writes_holds_a_key(pytester, before):
    """It is planted in the data, the prompt, replies, a refusal, an error, and in what a test prints and asserts."""
    planted = f"{before}{PLANTED}"

    def answer(body):
        if "refuse" in body.get("system", ""):
            return 400, {}, {"type": "error", "error": {"type": "invalid_request_error", "message": planted}}
        return f"{examples.answer(body)}{planted}"

    rows = [f'{e.id},"{e.text} {planted}",{e.label},"{planted}"\n' for e in examples.examples()]
    pytester.path.joinpath("data.csv").write_text("id,text,label,note\n" + "".join(rows))
    pytester.makepyfile(test_it=TESTS)
    pytester.path.joinpath("prompt").mkdir()
    pytester.path.joinpath("prompt/system.md").write_text(f"Better: weather or food? {planted}")
    given = {path for path in pytester.path.rglob("*") if path.is_file()}
    with serving(answer) as server:
        connect(pytester.path, server.url.replace("//", f"//somebody:{PASSWORD}@") + "/gateway-0123456789")
        done = pytester.runpytest("--live", "-v", "--junitxml=junit.xml", "--promptlab-answers=answers.jsonl")
    done.assert_outcomes(passed=1, failed=3, skipped=1)
    shown = done.stdout.str() + done.stderr.str()
    for secret in (PLANTED, PASSWORD, "gateway-0123456789", "somebody"):
        assert secret not in shown
    given.add(pytester.path / "pyproject.toml")
    ours = {path for path in pytester.path.rglob("*") if path.is_file()} - given
    names = {path.name for path in ours}
    assert {
        "optimize.jsonl",
        "optimize.examples.jsonl",
        "evaluate-test.jsonl",
        "topics-optimize.html",
        "junit.xml",
        "answers.jsonl",
    } <= names
    for path in ours:
        text = path.read_bytes().decode(errors="replace") if path.suffix != ".pyc" else ""
        assert [] == [one for one in (PLANTED, PASSWORD, "gateway-0123456789", "somebody") if one in text], (
            path
        )
    assert 0 == cli.main(["cassettes", "verify", str(pytester.path / "cassettes")])
    replayed = pytester.runpytest("-k", "run or folder")
    replayed.assert_outcomes(passed=1, failed=1, deselected=3)


def test_credentials_are_known_from_the_environment_and_from_the_sdks_files(tmp_path, monkeypatch):
    for name in [one for one in os.environ if one.startswith(("ANTHROPIC_", "CLAUDE_"))]:
        monkeypatch.delenv(name)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/default.json").write_text('{"api_key": "in-a-profile-1", "region": "eu-west-1"}')
    (tmp_path / "token").write_text("in-a-file-2\n")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe")
    for name, value in {
        "CLAUDE_CODE_OAUTH_TOKEN": "for-claude-3",
        "ANTHROPIC_CUSTOM_HEADERS": "x-gateway: in-a-header-4\naccept: text/plain",
        "ANTHROPIC_CONFIG_DIR": str(tmp_path),
        "ANTHROPIC_IDENTITY_TOKEN_FILE": str(tmp_path / "token"),
        "ANTHROPIC_MISSING_FILE": str(tmp_path / "none"),
    }.items():
        monkeypatch.setenv(name, value)
    ours = {name: value for name, value in secrets.kept() if re.search(r"-\d$", value)}
    assert {
        "CLAUDE_CODE_OAUTH_TOKEN": "for-claude-3",
        "header 'x-gateway' of ANTHROPIC_CUSTOM_HEADERS": "in-a-header-4",
        str(tmp_path / "configs/default.json"): "in-a-profile-1",
        str(tmp_path / "token"): "in-a-file-2",
    } == ours


def test_a_copy_of_examples_is_verified_too(tmp_path, capsys):
    path = tmp_path / "optimize.examples.jsonl"
    path.write_text(json.dumps({"id": "a", "text": f"\n{PLANTED}"}) + "\n")
    assert 1 == cli.main(["cassettes", "verify", str(tmp_path)])
    assert f"{path}, line 1: example.text holds what looks like a key\n" in capsys.readouterr().out
    path.write_text('{"id": "a", "text": "b"}\n{"id"\n')
    assert 1 == cli.main(["cassettes", "verify", str(tmp_path)])
    assert f"{path}, line 2: " in capsys.readouterr().out
    path.write_text('{"id": "a", "text": "b"}\n')
    assert 0 == cli.main(["cassettes", "verify", str(tmp_path)])


def test_an_error_while_tests_are_collected_holds_no_key(pytester):
    pytester.makepyfile(test_it=f"raise ValueError('\\n{PLANTED}')")
    done = pytester.runpytest("--junitxml=junit.xml")
    done.assert_outcomes(errors=1)
    assert "[masked " in done.stdout.str()
    assert PLANTED not in done.stdout.str() + pytester.path.joinpath("junit.xml").read_text()


def test_a_text_that_holds_the_password_of_the_server_s_address_is_not_sent(pytester):
    texts = [(e.id, f"{e.text} {PASSWORD}", e.label) for e in examples.examples()]
    pytester.path.joinpath("data.csv").write_text(
        "id,text,label\n" + "".join(",".join(row) + "\n" for row in texts)
    )
    pytester.makepyfile(test_it=TESTS)
    with serving(examples.answer) as server:
        connect(pytester.path, server.url.replace("//", f"//somebody:{PASSWORD}@"))
        done = pytester.runpytest("--live", "-k", "refusal")
    assert [] == server.bodies
    done.stdout.fnmatch_lines(["*holds a credential that is in use, from the server's URL.*"])
    assert PASSWORD not in done.stdout.str()


#: Every function of the package that writes a file, and why no key gets there.
WRITERS = {
    "bulk.files._answered": "why rows were not asked, screened",
    "bulk.files.write": "the user's own rows, with answers that are screened",
    "bulk.output._lines": "the same",
    "cli._merge": "the sides of a file that git has, in a private folder",
    "cassettes.format.write": "entries are screened when they are made, the header here",
    "cassettes.journal.Journal.__init__": "opens it",
    "cassettes.journal.Journal.append": "what the recorder has screened",
    "cassettes.snapshots.save": "screened",
    "data.freeze.freeze": "the user's own file, with a column more",
    "gate.answers.write": "screened",
    "gate.answers.write_notes": "names of files",
    "gate.git.Commit.extract": "a copy out of git, in a private folder",
    "gate.judge._keep": "recordings that a session has written",
    "gate.ledger.write": "hashes and names of tasks",
    "gate.worktree.lay": "a copy out of git, in a private folder",
    "models.progress.Progress.line": "a stream, and what is masked already",
    "models.prompts.save_prompt": "the prompt that the user saves, byte by byte",
    "plugin.decisions._write": "masked piece by piece, before it is escaped",
    "plugin.lab._kept": "masked",
    "plugin.junit.withhold": "pytest's own file, after what tests said was masked",
    "plugin.resuming.Resuming.finished": "names of recordings, and hashes",
    "plugin.sharing.turn": "a private folder, for other processes of the session",
    "report.html.write": "each text is masked, before it is escaped",
    "scaffold.files.create": "templates, labels, and a copy of the user's own data",
}
WRITING = ("write_text", "write_bytes", "copyfile", "write", "writelines", "touch")


def test_these_are_all_the_functions_that_write_files():
    found = set()
    for path in sorted((ROOT / "promptlab").rglob("*.py")):
        module = ".".join(path.relative_to(ROOT / "promptlab").with_suffix("").parts)

        def visit(node, names, module=module):
            for child in ast.iter_child_nodes(node):
                inner = [*names, child.name] if isinstance(child, ast.FunctionDef | ast.ClassDef) else names
                if isinstance(child, ast.Call) and isinstance(child.func, ast.Attribute):
                    called = child.func
                    others = (
                        "stdout",
                        "stderr",
                        "sys.stdout",
                        "sys.stderr",
                        "files",
                        "html",
                        "ledger",
                        "answers",
                    )
                    shown = ast.unparse(called.value) in others  # streams, and writers that are listed
                    opens = called.attr == "open" and any(
                        isinstance(one, ast.Constant) and str(one.value)[:1] in "wax" for one in child.args
                    )
                    opens = opens or (called.attr == "open" and ast.unparse(called.value) == "os")
                    if (called.attr in WRITING and not shown) or opens:
                        found.add(".".join([module, *inner]))
                visit(child, inner)

        visit(ast.parse(path.read_text(encoding="utf-8")), [])
    assert WRITERS.keys() == found
