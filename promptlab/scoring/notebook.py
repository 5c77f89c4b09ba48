"""What a notebook shows of a result: a sentence and a small table. What is shown is text, never HTML."""

import html
from collections.abc import Sequence

from promptlab.secrets import masked

LONGEST = 500  # characters of a sentence or a cell
ROWS = 12  # of a table, at most


def block(sentence: str, *rows: Sequence[str]) -> str:
    """Return the HTML of a sentence and a table, whose first row is its head; nothing is loaded or run."""
    more = [(f"and {len(rows) - ROWS} more",)] if len(rows) > ROWS else []
    lines = "".join(
        f"<tr>{_row(row, 'td' if n else 'th')}</tr>" for n, row in enumerate([*rows[:ROWS], *more])
    )
    return f"<p>{_shown(sentence)}</p>" + (f"<table>{lines}</table>" if rows else "")


def _row(cells: Sequence[str], tag: str) -> str:
    return "".join(f"<{tag}>{_shown(cell)}</{tag}>" for cell in cells)


def _shown(text: str) -> str:
    text = masked(text)  # before it is cut, which could leave half of a key
    return html.escape(text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}...")
