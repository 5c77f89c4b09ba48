"""What the models take: requests are built from the table, and what a model rejects costs no call."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

import promptlab as pl
from promptlab.cassettes import format as files
from promptlab.errors import DataError, ModelError
from promptlab.models import catalog
from promptlab.models.messages_api import arguments, body_of, model_with, plain, refuse, settings_in
from promptlab.models.profiles import CLAUDE
from promptlab.models.prompts import build, classifier_of
from promptlab.records import Model, Request

from .. import examples
from ..examples import model as example_model
from ..examples import task
from ..server import serving

HAIKU, OPUS, SONNET = "claude-haiku-5-5", "claude-opus-5-5", "claude-sonnet-5-5"
REJECTED = [
    (Model(HAIKU, extra_body={"temperature": 0}), "takes no temperature: take it out of extra_body"),
    (Model(OPUS, extra_body={"top_p": 1, "top_k": 2}), "takes no top_p, top_k"),
    (
        Model(OPUS, thinking={"type": "disabled"}),
        "takes no thinking of type 'disabled', only adaptive: .*effort",
    ),
    (Model(SONNET, thinking={"type": "disabled"}), "only adaptive and between_tools"),
    (Model(HAIKU, thinking={"type": "enabled", "budget_tokens": 9}), "only adaptive and disabled"),
    (
        Model(HAIKU, thinking={"type": "disabled"}, effort="max"),
        "thinks at effort 'max': set it to high or less",
    ),
    (
        Model("claude-opus-4-1", structured={"type": "object"}),
        "takes no structured outputs: leave structured out",
    ),
]


@pytest.mark.parametrize(("model", "why"), REJECTED)
def test_what_a_model_rejects_is_refused_before_a_call_with_the_way_out(model, why):
    with pytest.raises(ModelError, match=f"^{model.name} .*{why}"):
        refuse(Request(model, "", (("user", "hi"),)))


@pytest.mark.parametrize("role", ["classifier", "critic"])
def test_nothing_is_paid_before_a_setting_is_refused(role):
    """The critic is asked only after the classifier."""
    with serving(examples.answer) as server:
        models = {one: example_model(server.url, HAIKU) for one in ("classifier", "critic")}
        models[role] = replace(models[role], extra_body={"temperature": 0})
        with pytest.raises(ModelError, match="takes no temperature"):
            pl.optimize(task(), **models)
    assert [] == server.bodies


def test_what_is_recorded_is_replayed_whatever_the_table_says_by_now(tmp_path, monkeypatch):
    """An update of promptlab must not make recordings worthless."""
    from promptlab.cassettes import recorder

    def evaluate(url, mode):
        with recorder.use(tmp_path / "a.jsonl", mode=mode, record_with=""):
            return pl.evaluate(
                task(),
                pl.Prompt("x"),
                classifier=replace(example_model(url, HAIKU), thinking={"type": "disabled"}),
            )

    with serving(examples.answer) as server:
        live = evaluate(server.url, "live")
    monkeypatch.setitem(catalog.MODELS, HAIKU, replace(catalog.MODELS[HAIKU], thinking=("adaptive",)))
    assert live.scores == evaluate("http://127.0.0.1:9", "replay").scores
    with pytest.raises(ModelError, match="takes no thinking of type 'disabled'"):
        evaluate("http://127.0.0.1:9", "live")


def test_fields_of_a_request_that_promptlab_sets_are_not_the_user_s():
    model = Model("m", extra_body={"max_tokens": 10**9, "temperature": 0})
    with pytest.raises(ModelError, match="extra_body of m sets max_tokens, which promptlab sets itself"):
        arguments(Request(model, "", (("user", "hi"),)))


TAKEN = [
    Model(HAIKU, thinking={"type": "disabled"}, effort="high"),
    Model(SONNET, thinking={"type": "between_tools"}),
    Model("claude-haiku-4-5-20251001", thinking={"type": "enabled", "budget_tokens": 1024}),
    Model("claude-sonnet-7", effort="low", structured={"type": "object"}),
    Model("qwen2.5", extra_body={"temperature": 0, "top_k": 1}, thinking={"type": "any"}),
    CLAUDE.classifier,
    CLAUDE.critic,
]


@pytest.mark.parametrize("model", TAKEN)
def test_what_it_takes_is_sent(model):
    assert model.name == arguments(Request(model, "", (("user", "hi"),)))["model"]


def test_the_longest_name_that_fits_counts():
    assert catalog.known(Model("claude-haiku-5-5-20261007")) is catalog.MODELS[HAIKU]
    assert catalog.known(Model("claude-haiku-9")) is catalog.MODELS["claude-"]
    assert catalog.known(Model("qwen2.5")) is None


def test_the_built_in_profile_is_a_small_model_at_low_effort_and_a_large_one_as_it_comes():
    assert (Model(HAIKU, max_tokens=2048, effort="low"), Model(OPUS, max_tokens=16_000)) == (
        CLAUDE.classifier,
        CLAUDE.critic,
    )


# -- what is cached -----------------------------------------------------------------------------

MARK = {"type": "ephemeral"}
SHOWN = pl.Prompt("System", "<", ">", demonstrations=[("a", "b"), ("c", "d")])


def test_the_mark_stands_on_the_last_demonstration():
    body = arguments(build(SHOWN, "text", Model(HAIKU)))
    marked = [turn for turn in body["messages"] if not isinstance(turn["content"], str)]
    block = {"type": "text", "text": "d", "cache_control": MARK}
    assert [{"role": "assistant", "content": [block]}] == marked
    assert marked[0] is body["messages"][3]
    assert "System" == body["system"]


def test_without_demonstrations_it_stands_on_the_system_prompt():
    body = arguments(build(pl.Prompt("System", reply_prefix="R:"), "text", Model("claude-haiku-4-5")))
    assert [{"type": "text", "text": "System", "cache_control": MARK}] == body["system"]
    assert ["text", "R:"] == [turn["content"] for turn in body["messages"]]


@pytest.mark.parametrize(
    "request_",
    [
        build(pl.Prompt("", "<"), "text", Model(HAIKU)),
        build(pl.Prompt(" \n", "<"), "text", Model(HAIKU)),
        build(SHOWN, "text", Model("qwen2.5")),
        Request(Model(OPUS), "the critic's", (("user", "once"),)),
    ],
)
def test_what_no_other_call_shares_is_not_marked(request_):
    assert "cache_control" not in repr(arguments(request_))


def test_what_is_matched_is_spelled_without_the_mark():
    asked = build(SHOWN, "text", Model(HAIKU))
    turns = [{"role": role, "content": text} for role, text in asked.messages]
    unmarked = {"model": HAIKU, "max_tokens": 1024, "messages": turns, "system": "System"}
    assert unmarked == plain(body_of(asked))
    assert files.request_key("POST", "/v1/messages", unmarked) == files.message_key(asked)


def test_blocks_that_say_more_than_a_text_are_left_as_they_are():
    two = {"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}
    cited = {"system": [{"type": "text", "text": "a", "citations": []}]}
    assert (two, cited) == (plain(two), plain(cited))


# -- structured outputs --------------------------------------------------------------------------


def test_a_structured_answer_is_a_reason_and_one_of_the_labels():
    of = task(extract=pl.json_field("topic"))
    asked = arguments(
        build(pl.Prompt("x"), "text", classifier_of(Model(HAIKU, structured=True, effort="low"), of))
    )
    schema = {
        "type": "object",
        "properties": {"reason": {"type": "string"}, "topic": {"enum": ["weather", "food"]}},
        "required": ["reason", "topic"],
        "additionalProperties": False,
    }
    assert {"format": {"type": "json_schema", "schema": schema}, "effort": "low"} == asked["output_config"]
    assert of.schema == schema


def test_the_schema_is_the_task_s_alone():
    with pytest.raises(
        DataError, match=re.escape("structured outputs need labels and extract=json_field('label')")
    ):
        classifier_of(Model(HAIKU, structured=True), task())
    with pytest.raises(ModelError, match=r"which only a task can fill in: give task.schema"):
        pl.request(pl.Prompt("x"), "text", Model(HAIKU, structured=True))
    own = {"type": "object"}
    assert own == classifier_of(Model(HAIKU, structured=own), task()).structured


@pytest.mark.parametrize(
    "model",
    [
        Model("m", effort="low", structured={"type": "object"}),
        Model("m", structured={"type": "object"}, extra_body={"temperature": 0}),
        Model("m", effort="low"),
        Model("m", thinking={"type": "disabled"}),
    ],
)
def test_the_model_of_a_recorded_call_is_the_one_that_asked(model):
    assert model == model_with(settings_in(body_of(Request(model, "s", (("user", "hi"),)))))
