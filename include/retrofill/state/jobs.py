"""Jobs, as people look for them: how each is, its runs, and what they have done together."""

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from retrofill.model.needs import LEAST_URGENT, RANKS
from retrofill.model.runs import Job, KnownJob
from retrofill.state.connection import (
    Connection,
    Cursor,
    find,
    one,
    pairs,
    read_in_order,
    rows,
    transaction,
    values,
)
from retrofill.state.reading import read_by_index, snapshot
from retrofill.state.statements import load

_SQL = load("jobs.sql")

MOST_COUNTED = 10_000
"""Items of quarantine that are counted of one job: of more it is said only that there are."""

_LAST = 2**63 - 1
_TIMES = ("opened_at", "closed_at", "read_at")


class JobLine(NamedTuple):
    """A job, with the run that tells how it is: its newest open one, or else its newest."""

    job_id: int
    job: str
    source: str
    function_name: str
    event: str
    being_forgotten: bool
    quarantines: bool
    """Whether items of it wait in quarantine."""

    run_id: int | None
    """None: no run of it was opened; the rest is None too."""

    status: str | None
    opened_at: datetime | None
    closed_at: datetime | None
    stop_reason: str | None
    function_version: str | None
    approval: str | None
    """What became of its plan; None: nobody was asked."""

    paused: bool | None
    dag_id: str | None
    dag_run_id: str | None
    """The DAG run of its last set."""

    held: bool | None
    """Whether a task holds a batch of it now."""

    read_at: datetime


class ListedJobs(NamedTuple):
    """Some of the jobs, and how many there are."""

    in_all: int
    needing: int
    """How many of all need a person; 0 where nobody has asked for that."""

    of: int
    """How many of all are as those that are shown."""

    lines: Sequence[JobLine]


class Dags(NamedTuple):
    """What Airflow knows of the DAGs that work for jobs."""

    alive: Collection[tuple[str, str]] = ()
    """The DAG runs that are queued or running, by DAG and name."""

    paused: Collection[str] = ()
    off: Collection[str] = ()
    """Those that are paused and have a schedule."""


class _Sums(NamedTuple):
    """What the run that tells how a job is has done, and what all runs of the job cost."""

    job_id: int
    total: int
    succeeded: int
    quarantined: int
    cost: float | None
    cost_in_all: float | None


class JobCounts(NamedTuple):
    """What the run that tells how a job is has done, and what the job has in all."""

    job_id: int
    total: int
    """Items that the run took: new, resumed and redriven, less what was withdrawn."""

    succeeded: int
    quarantined: int
    cost: float | None
    """Dollars; None: that is unknown."""

    cost_in_all: float | None
    """Dollars of all its runs of which the price is known; None: it is of none."""

    in_quarantine: int
    """Items of the job that wait in quarantine now, up to one more than MOST_COUNTED."""


class CountedJob(NamedTuple):
    """A job, and its counts."""

    job: JobLine
    counts: JobCounts


class RunLine(NamedTuple):
    """A run of a job, and what it has done."""

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
    """What it redrives, ``quarantine`` or ``successes``; None: nothing."""

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
    """Who has items in process that it has listed: ``run_id``, ``status`` and ``items`` each."""


class JobTotals(NamedTuple):
    """What all runs of a job have done together."""

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
    """Runs that called and whose price is unknown."""

    @property
    def in_process(self) -> int:
        """Items that wait in process, or are being called."""
        entered = self.new + self.redriven
        return max(0, entered - self.withdrawn - self.succeeded - self.quarantined)


def get_job(conn: Connection, job_id: int) -> KnownJob | None:
    """Return a job; None if there is none of this number."""
    with transaction(conn) as cur:
        cur.execute(_SQL["get_job"], {"job_id": job_id})
        return find(cur, KnownJob, job=lambda fields: Job(**fields))


def dags_of(conn: Connection, job_id: int) -> tuple[str, ...]:
    """Return the DAGs whose DAG runs worked for a job, the one that did so last first."""
    with transaction(conn) as cur:
        cur.execute(_SQL["dags_of"], {"job_id": job_id})
        return tuple(values(cur))


def list_dags(conn: Connection) -> list[str]:
    """Return the DAGs whose DAG runs worked for any job."""
    with transaction(conn) as cur:
        cur.execute(_SQL["list_dags"])
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
    """Return some of the jobs, the one where something happened last first.

    It reads a few rows of each job, however large that is.

    :param search: what name, source or function must contain, whatever the case
    :param hidden_dags: no job is counted for which a DAG run of one of these DAGs worked
    :param show: which of them: ``needs`` a person, ``open``, ``quarantine``, ``incomplete``,
        ``complete`` or ``never`` run; empty: all
    :param dags: what Airflow knows: then those come first that need a person
    :param most: how many; None: all
    :param offset: how many to leave out before
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
                "last": _LAST,
                "alive": json.dumps(alive),
                "paused": list(known.paused),
                "off": list(known.off),
                "most": most,
                "offset": offset,
            },
        )
        return one(cur, ListedJobs, lines=lambda lines: [_line(fields) for fields in lines])


def _line(fields: dict[str, Any]) -> JobLine:
    told = {name: fields[name] and datetime.fromisoformat(fields[name]) for name in _TIMES}
    return JobLine(**{**fields, **told})


def count_jobs(conn: Connection, lines: Sequence[JobLine]) -> dict[int, JobCounts]:
    """Return the counts of some jobs by their numbers, from the sums that their parts keep."""
    job_ids = [line.job_id for line in lines]
    with snapshot(conn) as cur:
        asked = {"job_ids": job_ids, "run_ids": [line.run_id for line in lines]}
        cur.execute(_SQL["count_jobs"], asked)
        sums = rows(cur, _Sums)
        waiting = _count_quarantined(cur, job_ids)
    return {each.job_id: JobCounts(*each, waiting[each.job_id]) for each in sums}


def count_quarantined(conn: Connection, job_id: int) -> int:
    """Return how many items of a job wait in quarantine, up to one more than MOST_COUNTED."""
    with snapshot(conn) as cur:
        return _count_quarantined(cur, [job_id])[job_id]


def _count_quarantined(cur: Cursor, job_ids: Sequence[int]) -> dict[int, int]:
    read_in_order(cur)
    cur.execute(_SQL["count_quarantined"], {"job_ids": list(job_ids), "most": MOST_COUNTED + 1})
    return pairs(cur)


def counted(conn: Connection, lines: Sequence[JobLine]) -> list[CountedJob]:
    """Return some jobs with their counts."""
    counts = count_jobs(conn, lines)
    return [CountedJob(line, counts[line.job_id]) for line in lines]


def list_runs(
    conn: Connection, job_id: int, *, most: int, before: int | None = None
) -> list[RunLine]:
    """Return runs of a job, the newest first.

    :param before: only runs with a number below
    """
    asked = {"job_id": job_id, "most": most, "before": _LAST if before is None else before}
    with snapshot(conn) as cur:
        cur.execute(_SQL["list_runs"], asked)
        return rows(cur, RunLine)


def get_totals(conn: Connection, job_id: int) -> JobTotals:
    """Return what all runs of a job have done together."""
    with snapshot(conn) as cur:
        cur.execute(_SQL["get_totals"], {"job_id": job_id})
        return one(cur, JobTotals)
