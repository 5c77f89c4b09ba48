"""What people see of a run in an interpreter and in a notebook."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

import matplotlib
import pytest

import promptlab as pl
from promptlab.records import Reply
from promptlab.scoring.evaluation import evaluation_of, predict

from .. import examples
from ..examples import model, task
from ..server import answering

HOSTILE = ("<script>alert(1)</script>", r"$\frac$ & <b>sk-" + "ant-0123456789abcdefghijklmnop</b>")
TAGS = {"p", "table", "tr", "th", "td"}


@pytest.fixture(scope="module")
def run():
    with answering(examples.answer) as server:
        settings = {"calls": 250, "iterations": 2, "per_label": 6}
        return pl.optimize(task(), classifier=model(server.url), critic=model(server.url, "c"), **settings)


@pytest.fixture(scope="module")
def hostile():
    """An evaluation whose labels are hostile, and whose prompt's folder is too."""
    of = [
        pl.Example(str(n), f"text {n}", HOSTILE[n % 2], split=("train", "validation", "test")[n % 3])
        for n in range(30)
    ]
    about = pl.Task(name="hostile", examples=of, labels=HOSTILE, brief="Which?", extract=pl.last_line())
    said = [Reply(HOSTILE[n % 3 % 2], "end_turn", ("text",), "m", 1, 1) for n in range(30)]
    rows = [predict(about, *pair) for pair in zip(about.examples, said, strict=True)]
    return replace(evaluation_of(about, "test", pl.Prompt("x"), rows), name=HOSTILE[0])


@pytest.fixture
def pyplot():
    matplotlib.use("agg")
    from matplotlib import pyplot

    yield pyplot
    pyplot.close("all")


class Page(HTMLParser):
    """Collects tags, attributes and rows of cells."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.rows = set(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes += attributes
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data):
        if self.rows:
            self.rows[-1][-1] += data


def test_the_repr_of_a_run_says_what_was_found_in_four_lines(run):
    assert [
        f"<Run topics: {run.comparison.headline}",
        f"  macro F1 on test {run.test_first.macro_f1:.3f} -> 1.000 (n = {run.test.examples})",
        f"  first ({run.first.id}) -> iteration 1 ({run.best.id}), proposed by rewritten",
        f"  iterations: {len(run.history)}, new prompts: {sum(len(s.candidates) for s in run.history)}, "
        f"calls: {run.usage.calls}>",
    ] == repr(run).splitlines()


def test_a_run_that_found_nothing_says_so(run):
    nothing = replace(run, best=run.first, test=run.test_first)
    assert repr(nothing).startswith("<Run topics: no better prompt was found: the first is still the best\n")


def test_reprs_are_short(run):
    for one in (run, run.history[0], run.best and run.finalists[0], run.test, run.comparison, task()):
        assert 0 < len(repr(one)) < 500
        assert 1 <= len(repr(one).splitlines()) <= 5


def test_the_repr_of_a_task_names_ten_labels_at_most():
    assert "<Task topics: 80 examples, labels 'weather', 'food'>" == repr(task())
    many = tuple(f"label{n}" for n in range(12))
    of = [pl.Example(str(n), f"text {n}", many[n % 12]) for n in range(24)]
    assert repr(pl.Task(name="many", examples=of, labels=many, brief="?")).endswith("'label9', ...>")


def test_a_notebook_shows_the_way_to_the_best_prompt(run):
    page = Page(run._repr_html_())
    assert TAGS == page.tags
    assert ["first", *(f"iteration {one.number}" for one in run.history), "best"] == [
        row[0] for row in page.rows[1:]
    ]
    assert run.best.id == page.rows[-1][1]
    assert run.test.primary_interval.around(1.0) == page.rows[-1][-1]
    assert len(run._repr_html_()) < 2000


def test_a_notebook_shows_both_sides_of_a_comparison(run):
    page = Page(run.comparison._repr_html_())
    sides = [f"base: {run.test_first.subject}", f"new: {run.test.subject}", "difference"]
    assert sides == [row[0] for row in page.rows[1:]]
    fixed, broken = len(run.comparison.fixed), len(run.comparison.broken)
    wrong = [f"{len(one.mistakes)} of 30" for one in (run.test_first, run.test)]
    assert [*wrong, f"{fixed} fixed, {broken} broken"] == [row[2] for row in page.rows[1:]]
    assert run.comparison.difference.point == pytest.approx(float(page.rows[3][1].split()[0]), abs=0.0005)


def test_what_a_notebook_shows_is_text_and_masked(hostile):
    for one in (hostile, pl.compare(hostile, hostile), pl.compare(hostile, replace(hostile, name="other"))):
        page = Page(one._repr_html_())
        assert TAGS >= page.tags
        assert [] == page.attributes
        assert "sk-" + "ant-" not in one._repr_html_()
    shown = Page(hostile._repr_html_()).rows
    assert HOSTILE[0] == shown[1][0]
    assert shown[2][0].startswith(r"$\frac$ & <b>[masked ")


def test_a_notebook_shows_twelve_labels_at_most():
    many = tuple(f"label{n}" for n in range(40))
    of = [pl.Example(str(n), f"text {n}", many[n % 40]) for n in range(120)]
    about = pl.Task(name="many", examples=of, labels=many, brief="?", extract=pl.last_line())
    said = Reply("label1", "end_turn", ("text",), "m", 1, 1)
    result = evaluation_of(about, "test", pl.Prompt("x"), [predict(about, one, said) for one in of])
    rows = Page(result._repr_html_()).rows
    assert 13 == len(rows)
    assert ["and 29 more"] == rows[-1]


def test_the_plot_of_a_run_has_each_prompt_with_its_interval_and_test_apart(run, pyplot):
    shown = run.plot()
    stages = ["first", *(f"iteration {one.number}" for one in run.history), "finalists", "test"]
    assert stages == [one.get_text() for one in shown.ax_.get_xticklabels()]
    first = run.history[0].parents[0].validation
    answered = [first, *(one.validation for step in run.history for one in step.candidates if one.validation)]
    answered += [*(one.validation for one in run.finalists), run.test_first, run.test]
    drawn = shown.ax_.containers
    assert [one.primary for one in answered] == [float(one.lines[0].get_ydata()[0]) for one in drawn]
    ends = [one.lines[2][0].get_segments()[0][:, 1].tolist() for one in drawn]
    assert [pytest.approx([*one.primary_interval]) for one in answered] == ends
    places = [float(one.lines[0].get_xdata()[0]) for one in drawn]
    line = shown.ax_.lines[-1].get_xdata()[0]
    assert [True] * (len(places) - 2) + [False] * 2 == [place < line for place in places]


def test_the_plot_of_an_evaluation_has_the_counts_of_the_confusion_matrix(run, pyplot):
    shown = run.test_first.plot()
    counts = [int(one.get_text()) for one in shown.ax_.texts]
    assert run.test_first.confusion.to_numpy().ravel().tolist() == counts
    assert ["weather", "food", "(no label)"] == [one.get_text() for one in shown.ax_.get_xticklabels()]
    assert ["weather", "food"] == [one.get_text() for one in shown.ax_.get_yticklabels()]


@pytest.mark.parametrize("of", ["run", "test"])
def test_plots_go_where_they_are_sent(run, pyplot, of):
    figure, (left, right) = pyplot.subplots(1, 2)
    shown = (run if of == "run" else run.test).plot(ax=right)
    assert (right, figure) == (shown.ax_, shown.figure_)
    assert [] == left.get_children()[:0] == [*left.texts, *left.containers]
    assert [figure.number] == pyplot.get_fignums()


def test_labels_are_plotted_as_they_are_and_masked(hostile, pyplot):
    shown = hostile.plot()
    shown.figure_.canvas.draw()  # a formula in a label would be an error here
    names = [one.get_text() for one in shown.ax_.get_xticklabels()]
    assert HOSTILE[0] == names[0]
    assert names[1].startswith(r"$\frac$ & <b>[masked ")


def test_without_matplotlib_the_extra_is_named(run, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    for one in (run, run.test):
        with pytest.raises(pl.PromptlabError, match=r"pip install 'pytest-promptlab\[plot\]'"):
            one.plot()
