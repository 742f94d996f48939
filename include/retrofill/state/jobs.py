"""Jobs for pages: the standing of each job, its runs, and their totals."""

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from retrofill.model.needs import LEAST_URGENT, RANKS
from retrofill.state.connection import (
    Connection,
    executed,
    one,
    read_by_index,
    rows,
    snapshot,
    value,
    values,
)
from retrofill.state.runs import BEHIND_ALL
from retrofill.state.statements import load

_SQL = load("jobs.sql")

MOST_COUNTED = 10_000
"""Items in quarantine that are counted for one job. Beyond that, pages only show "more"."""

_TIMES = ("opened_at", "closed_at", "read_at")


class JobLine(NamedTuple):
    """A job, and the run that represents it: the newest open one, or else the newest."""

    job_id: int
    job: str
    source: str
    function_name: str
    event: str
    being_forgotten: bool
    quarantines: bool
    run_id: int | None
    """None: it has no run, and the rest is None too."""

    status: str | None
    opened_at: datetime | None
    closed_at: datetime | None
    stop_reason: str | None
    function_version: str | None
    approval: str | None
    """The status of its approval; None: none was requested."""

    paused: bool | None
    dag_id: str | None
    dag_run_id: str | None
    """The DAG run of its last set."""

    held: bool | None
    read_at: datetime


class ListedJobs(NamedTuple):
    """A page of jobs, and how many jobs there are."""

    in_all: int
    needing: int
    """Jobs that need attention; 0 if that was not requested."""

    of: int
    """Jobs that match the filter ``show``."""

    lines: Sequence[JobLine]


class Dags(NamedTuple):
    """The state of the DAGs of jobs in Airflow."""

    alive: Collection[tuple[str, str]] = ()
    """Queued and running DAG runs, as (dag_id, dag_run_id)."""

    paused: Collection[str] = ()
    off: Collection[str] = ()
    """DAGs that are paused and have a schedule."""


class JobCounts(NamedTuple):
    """The counts of the run that represents a job, and of the whole job."""

    job_id: int
    total: int
    """Items that the run took: new, resumed and redriven ones, less withdrawn ones."""

    succeeded: int
    quarantined: int
    cost: float | None
    """Dollars; None: unknown."""

    cost_in_all: float | None
    """Dollars of all its runs with a known price; None: there are none."""

    in_quarantine: int
    """Items of the job in quarantine now, counted up to MOST_COUNTED + 1."""


class CountedJob(NamedTuple):
    """A job, and its counts."""

    job: JobLine
    counts: JobCounts


class RunLine(NamedTuple):
    """A run of a job, and its counts."""

    run_id: int
    status: str
    opened_at: datetime
    closed_at: datetime | None
    stop_reason: str | None
    source: str
    function_version: str
    approval: str | None
    paused: bool
    redrive: str | None
    """``quarantine`` or ``successes``; None: it does not redrive."""

    dag_id: str
    dag_run_id: str
    listed: int
    partitions_left: int
    total: int
    succeeded: int
    quarantined: int
    calls: int
    cost: float | None
    held: bool
    others: Sequence[Mapping[str, Any]]
    """Runs that have its listed items in process: ``run_id``, ``status`` and ``items`` of each."""


class JobTotals(NamedTuple):
    """The totals of all runs of a job."""

    runs: int
    complete: int
    listed: int
    new: int
    redriven: int
    withdrawn: int
    succeeded: int
    quarantined: int
    calls: int
    cost: float | None
    of_unknown_cost: int
    """Runs with calls whose price is unknown."""

    @property
    def in_process(self) -> int:
        """Items that are in process."""
        entered = self.new + self.redriven
        return max(0, entered - self.withdrawn - self.succeeded - self.quarantined)


def dags_of(conn: Connection, job_id: int) -> tuple[str, ...]:
    """Return the DAGs that ran a job, the last one first."""
    with executed(conn, _SQL["dags_of"], job_id=job_id) as cur:
        return tuple(values(cur))


def list_dags(conn: Connection) -> list[str]:
    """Return the DAGs that ran any job."""
    with executed(conn, _SQL["list_dags"]) as cur:
        return values(cur)


def list_jobs(
    conn: Connection,
    *,
    search: str = "",
    hidden_dags: Collection[str] = (),
    show: str = "",
    dags: Dags | None = None,
    most: int | None = None,
    offset: int = 0,
) -> ListedJobs:
    """Return a page of jobs, the most recently active first.

    It reads only a few rows of each job.

    :param search: a text that name, source or function must contain, in any case
    :param hidden_dags: jobs that one of these DAGs ran are left out
    :param show: ``needs`` (attention), ``open``, ``quarantine``, ``incomplete``, ``complete`` or
        ``never`` (run); empty: all
    :param dags: the state of DAGs in Airflow: with it, jobs that need attention come first
    :param most: the size of the page; None: all jobs
    :param offset: jobs before the page
    """
    known = dags or Dags()
    alive: defaultdict[str, dict[str, bool]] = defaultdict(dict)
    for dag_id, dag_run_id in known.alive:
        alive[dag_id][dag_run_id] = True
    with snapshot(conn) as cur:
        read_by_index(cur)
        cur.execute(
            _SQL["list_jobs"],
            {
                "search": search,
                "hidden": list(hidden_dags),
                "show": show,
                "ranks": json.dumps(RANKS if dags else {}),
                "least": LEAST_URGENT,
                "last": BEHIND_ALL,
                "alive": json.dumps(alive),
                "paused": list(known.paused),
                "off": list(known.off),
                "most": most,
                "offset": offset,
            },
        )
        return one(cur, ListedJobs, lines=lambda lines: [_line(fields) for fields in lines])


def _line(fields: dict[str, Any]) -> JobLine:
    times = {name: fields[name] and datetime.fromisoformat(fields[name]) for name in _TIMES}
    return JobLine(**{**fields, **times})


def count_jobs(conn: Connection, lines: Sequence[JobLine]) -> dict[int, JobCounts]:
    """Return the counts of jobs by job number."""
    asked = {
        "job_ids": [line.job_id for line in lines],
        "run_ids": [line.run_id for line in lines],
        "most": MOST_COUNTED + 1,
    }
    with snapshot(conn, in_order=True) as cur:
        cur.execute(_SQL["count_jobs"], asked)
        return {counts.job_id: counts for counts in rows(cur, JobCounts)}


def count_quarantined(conn: Connection, job_id: int) -> int:
    """Return how many items of a job are in quarantine, counted up to MOST_COUNTED + 1."""
    with snapshot(conn, in_order=True) as cur:
        cur.execute(_SQL["count_quarantined"], {"job_id": job_id, "most": MOST_COUNTED + 1})
        return int(value(cur))


def counted(conn: Connection, lines: Sequence[JobLine]) -> list[CountedJob]:
    """Return the counts of jobs with the jobs."""
    counts = count_jobs(conn, lines)
    return [CountedJob(line, counts[line.job_id]) for line in lines]


def list_runs(
    conn: Connection, job_id: int, *, most: int, before: int | None = None
) -> list[RunLine]:
    """Return runs of a job, the newest first.

    :param before: only runs with a lower number; None: all
    """
    asked = {"job_id": job_id, "most": most, "before": BEHIND_ALL if before is None else before}
    with snapshot(conn) as cur:
        cur.execute(_SQL["list_runs"], asked)
        return rows(cur, RunLine)


def get_totals(conn: Connection, job_id: int) -> JobTotals:
    """Return the totals of all runs of a job."""
    with snapshot(conn) as cur:
        cur.execute(_SQL["get_totals"], {"job_id": job_id})
        return one(cur, JobTotals)
