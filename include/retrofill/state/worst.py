"""What failed worst in a run: the errors by which most of its items are in quarantine."""

from typing import NamedTuple

from retrofill.model.amounts import counted
from retrofill.model.quoting import quoted
from retrofill.state.connection import Connection, rows, transaction
from retrofill.state.statements import load

_SQL = load("worst.sql")

ERRORS_TOLD = 3


class Worst(NamedTuple):
    """An error, and what is in quarantine for it."""

    error_type: str
    items: int
    for_example: str
    """The key of one of these items."""

    def __str__(self) -> str:
        named = quoted(self.error_type) if self.error_type else "an error without a type"
        return f"{counted(self.items, 'item')} by {named}, such as {quoted(self.for_example)}"


def worst_of(conn: Connection, job_id: int, run_id: int) -> list[Worst]:
    """Return the errors by which most items of a run are in quarantine, the worst first."""
    with transaction(conn) as cur:
        cur.execute(_SQL["list_worst"], {"job_id": job_id, "run_id": run_id, "most": ERRORS_TOLD})
        return rows(cur, Worst)
