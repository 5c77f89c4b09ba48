"""The task: which queue does a message to the support of an online shop belong to?

The data, how it was written and what that limits: README.md beside this file.
"""

from pathlib import Path

import promptlab as pl

HERE = Path(__file__).parent

BRIEF = """\
Messages to the support of Fernpass, an online shop for outdoor gear, have to be routed to exactly one of \
four queues: payments (charges, payment methods and invoices), returns (sending goods back or exchanging \
them), delivery (shipping and parcels on their way) or product (questions about articles and how they work)."""

task = pl.Task(
    name="routing",
    examples=pl.read_csv(HERE / "data.csv"),
    labels=("payments", "returns", "delivery", "product"),
    brief=BRIEF,
    extract=pl.first_of(pl.tagged("label"), pl.last_line()),  # small models often leave out the tag
)
