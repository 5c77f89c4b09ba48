"""Plots in the manner of scikit-learn's displays. They need the extra `plot`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from promptlab.errors import PromptlabError
from promptlab.scoring.weights import Interval
from promptlab.secrets import masked

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LONGEST = 30  # characters of a label
WIDTH = 0.7  # of the space between two stages, which the points of one share


@dataclass(frozen=True, repr=False)
class Display:
    """What was plotted.

    Attributes:
        ax_: the axes, to change or add to.
        figure_: their figure, to save.
        title: what the plot shows.
    """

    ax_: Axes
    figure_: Figure
    title: str

    def __repr__(self) -> str:
        return f"<Display {self.title}>"


class Point(NamedTuple):
    """A figure, a share of 0 to 1, with its interval; `chosen` ones stand out."""

    value: float
    interval: Interval
    chosen: bool


def heatmap(title: str, counts: pandas.DataFrame, ax: Axes | None) -> Display:
    """Plot a confusion matrix; the darker, the larger the share of its row."""
    rows, columns = counts.shape
    found = _display(title, ax, (3 + 0.7 * columns, 2 + 0.5 * rows))
    shares = counts.div(counts.sum(axis=1).clip(lower=1), axis=0).to_numpy()
    found.ax_.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for row, line in enumerate(counts.to_numpy()):
        for column, count in enumerate(line):
            color = "white" if shares[row, column] > 0.5 else "black"
            found.ax_.text(column, row, str(count), ha="center", va="center", color=color)
    names = [_short(str(one)) for one in counts.columns]
    found.ax_.set_xticks(range(columns), names, rotation=45, ha="right", rotation_mode="anchor")
    found.ax_.set_yticks(range(rows), names[:rows])
    found.ax_.set(xlabel=f"{counts.columns.name} label", ylabel=f"{counts.index.name} label")
    return _plain(found)


def intervals(title: str, figure: str, stages: Mapping[str, Sequence[Point]], ax: Axes | None) -> Display:
    """Plot the points of each stage side by side; the last stage, test, apart."""
    found = _display(title, ax, (8, 4.5))
    for number, points in enumerate(stages.values()):
        for n, one in enumerate(points):
            place = number + WIDTH * ((n + 0.5) / len(points) - 0.5)
            off = [[max(0, one.value - one.interval.low)], [max(0, one.interval.high - one.value)]]
            color = "tab:blue" if one.chosen else "tab:gray"
            found.ax_.errorbar(place, one.value, yerr=off, fmt="o", color=color, capsize=2)
    found.ax_.axvline(len(stages) - 1.5, color="black", linestyle=":")
    found.ax_.set_xticks(range(len(stages)), [_short(stage) for stage in stages])
    which = "on validation, behind the line on test; blue: what was kept"
    found.ax_.set(xlabel=which, ylabel=_short(figure), ylim=(-0.02, 1.02))
    return _plain(found)


def _display(title: str, ax: Axes | None, size: tuple[float, float]) -> Display:
    """Return a display on these axes, or on those of a new figure of so many inches."""
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise PromptlabError("plots need matplotlib: pip install 'pytest-promptlab[plot]'") from error
    if ax is None:
        ax = pyplot.subplots(figsize=size, layout="constrained")[1]
    ax.set_title(_short(title, 100))
    figure = ax.get_figure(root=True)
    assert figure
    return Display(ax, figure, title)


def _plain(found: Display) -> Display:
    """Show texts as they are: a dollar sign in a label begins no formula."""
    ax = found.ax_
    for text in (ax.title, ax.yaxis.label, *ax.get_xticklabels(), *ax.get_yticklabels()):
        text.set_parse_math(False)
    return found


def _short(text: str, longest: int = LONGEST) -> str:
    text = masked(text).replace("\n", " ")
    return text if len(text) <= longest else f"{text[: longest - 3]}..."
