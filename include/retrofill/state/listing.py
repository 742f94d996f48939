"""Runs, page by page: the newest first."""

from collections.abc import Collection

from retrofill.model.report import Report
from retrofill.state.connection import Connection, values
from retrofill.state.reading import snapshot
from retrofill.state.runs import read_reports
from retrofill.state.statements import load

_SQL = load("listing.sql")

_NEWEST = 2**63 - 1


def list_runs(
    conn: Connection,
    *,
    job_id: int | None = None,
    hidden_dags: Collection[str] = (),
    before: int | None = None,
    most: int = 50,
) -> list[Report]:
    """Return runs, the newest first.

    :param job_id: of this job; None: of all
    :param hidden_dags: no run of one of these DAGs is returned
    :param before: runs that are older than the one of this number; None: the newest of all
    """
    asked = {
        "job_id": job_id,
        "hidden": list(hidden_dags),
        "before": _NEWEST if before is None else before,
        "most": most,
    }
    with snapshot(conn) as cur:
        cur.execute(_SQL["list_runs"], asked)
        run_ids = values(cur)
        return read_reports(cur, run_ids)
