from __future__ import annotations

from promptlab.records import Prompt
from promptlab.report.changes import in_words

OLD = Prompt("Say yes or no.", "Text: ", demonstrations=(("Hail?", "weather"),))


def test_each_file_that_changed_is_a_line():
    new = Prompt(
        "Say yes or never.", "Text: ", "\n", demonstrations=(("Soup?", "food"), ("Rain?", "weather"))
    )
    assert [
        "system.md: removed 'no.', added 'never.'",
        "demonstrations.jsonl: 2 added, 1 removed, such as 'Soup?': 'food'",
        "suffix.md: white space",
    ] == list(in_words(OLD, new))


def test_nothing_changed_is_nothing():
    assert [] == list(in_words(OLD, OLD))


def test_another_order_of_the_demonstrations_is_said():
    two = (("Hail?", "weather"), ("Soup?", "food"))
    (line,) = in_words(Prompt("s", demonstrations=two), Prompt("s", demonstrations=two[::-1]))
    assert "demonstrations.jsonl: another order" == line
