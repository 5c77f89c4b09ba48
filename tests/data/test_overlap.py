"""Texts that are nearly the same in two splits, against a plain computation of the same definition."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptlab.data.overlap import near_duplicates, notice, quoted
from promptlab.records import Example


def example(number: int, text: str) -> Example:
    return Example(f"e{number}", text, "x")


def some(*texts: str, start: int = 0) -> tuple[Example, ...]:
    return tuple(example(start + n, text) for n, text in enumerate(texts))


def pairs(train, held_out):
    return [(a.id, b.id) for a, b in near_duplicates(train, held_out)]


def test_order_case_and_punctuation_do_not_matter():
    train = some("How do I cook rice?", "Is it cold?")
    held_out = some("rice: how do I COOK", "Is it warm?", start=10)
    assert [("e0", "e10")] == pairs(train, held_out)


def test_four_of_five_words_are_nearly_the_same_three_of_five_are_not():
    assert [("e0", "e10")] == pairs(some("a1 b1 c1 d1"), some("a1 b1 c1 d1 e1", start=10))
    assert [] == pairs(some("a1 b1 c1"), some("a1 b1 c1 d1 e1", start=10))


def test_texts_without_words_are_no_duplicates():
    assert [] == pairs(some("?!"), some("!?", start=10))
    assert [] == pairs((), some("a"))


WORDS = st.lists(st.sampled_from(["ab", "cd", "ef", "gh", "ij", "kl"]), min_size=1, max_size=6).map(" ".join)


@given(st.lists(WORDS, min_size=1, max_size=6), st.lists(WORDS, min_size=1, max_size=6))
def test_a_plain_comparison_of_all_pairs_finds_the_same(ours, theirs):
    train, held_out = some(*ours), some(*theirs, start=100)

    def words(one):
        return set(re.findall(r"\w+", one.text.lower()))

    expected = [
        (a.id, b.id)
        for a in train
        for b in held_out
        if 10 * len(words(a) & words(b)) >= 8 * len(words(a) | words(b))
    ]
    assert expected == pairs(train, held_out)


def test_the_notice_counts_and_names_the_first():
    train, held_out = some(*["a b c"] * 5), some("a b c", start=10)
    said = notice(near_duplicates(train, held_out))
    assert "validation or test: 5 (e0 and e10, e1 and e10, e2 and e10, ...); no prompt will show them" in said


@pytest.mark.parametrize(("text", "prompt", "seen"), [
    ("今天天气怎么样呢", "例子: 今天天气怎么样呢, 真诚", True),
    ("今天天气怎么样呢", "例子: 天气, 真诚", False),
    ("one two three four five", "So ONE_two, three (four) five!", True),
    ("one two three four five", "So zero one two three four.", True),
    ("one two three four five", "So one two three and four five.", False),
    ("one two three", "one two three", False),
])  # fmt: skip
def test_a_quote_is_eighty_percent_of_a_text_and_four_words_at_least(text, prompt, seen):
    (example,) = some(text)
    assert ((example,) if seen else ()) == quoted(prompt, [example])
