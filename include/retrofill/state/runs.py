"""Jobs, runs, sets and partitions: open and close them, and report a run."""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from itertools import starmap
from typing import Any, NamedTuple

from retrofill.faults import Point, reach
from retrofill.model.approval import Approval
from retrofill.model.cost import Price
from retrofill.model.delivery import Delivery
from retrofill.model.errors import ConfigError, NoSuchRun
from retrofill.model.function import Pinned
from retrofill.model.listing import Partition
from retrofill.model.report import Report
from retrofill.model.runs import DagRun, Job, KnownJob, NewRun, Run, SetRef
from retrofill.state import redrives
from retrofill.state.connection import (
    Connection,
    Cursor,
    execute,
    executed,
    find,
    one,
    pairs,
    rows,
    snapshot,
    transaction,
    value,
    values,
)
from retrofill.state.locks import keep_job, lock_run
from retrofill.state.others import note_others
from retrofill.state.redrives import NewRedrive
from retrofill.state.statements import load
from retrofill.state.waiting import take_turn

_SQL = load("runs.sql")

BEHIND_ALL = 2**63 - 1
"""A number above that of every run."""


class ClosedSet(NamedTuple):
    """A closed set."""

    full: bool
    """Whether it took as many new items as it may."""

    planned: bool


def remember_job(conn: Connection, job: Job) -> int:
    """Return the number of the job with this name, and add it if the name is new.

    :raises ConfigError: the name belongs to a job with another source, function or event
    """
    with executed(conn, _SQL["insert_job"], **job._asdict()) as cur:
        cur.execute(_SQL["get_job"], {"name": job.name, "job_id": None})
        known = one(cur, KnownJob, job=_job)
    require_same(known.job, job)
    return known.job_id


def find_job(
    conn: Connection, name: str | None = None, *, job_id: int | None = None
) -> KnownJob | None:
    """Return the job with this name or number; None: there is none."""
    with executed(conn, _SQL["get_job"], name=name, job_id=job_id) as cur:
        return find(cur, KnownJob, job=_job)


def _job(fields: Mapping[str, str]) -> Job:
    return Job(**fields)


def require_same(known: Job, asked: Job) -> None:
    """Check that a request matches the known job of its name.

    :raises ConfigError: the job has another source, function or event
    """
    if known.fingerprint != asked.fingerprint:
        raise ConfigError(
            f"job: {known.name!r} belongs to {known.source} → {known.function_name}"
            f" ({known.event}), not to {asked.source} → {asked.function_name}"
            f" ({asked.event}); choose another name"
        )


def find_set(conn: Connection, dag_id: str, dag_run_id: str) -> SetRef | None:
    """Return the set that a DAG run processes; None: it has none."""
    with executed(conn, _SQL["get_set"], dag_id=dag_id, dag_run_id=dag_run_id) as cur:
        return find(cur, SetRef)


def open_run(
    conn: Connection, new: NewRun, function: Pinned, redrive: NewRedrive | None = None
) -> SetRef:
    """Open a run and its first set, even if other runs of the job are open.

    :param redrive: what was requested of a run that redrives; None: it does not redrive
    :raises ConfigError: the job is being forgotten
    """
    with transaction(conn) as cur:
        ref = _insert_run(cur, new, function, redrive)
    reach(Point.RUN_OPENED)
    return ref


def open_alone(
    conn: Connection,
    new: NewRun,
    function: Pinned,
    but: Collection[int],
    redrive: NewRedrive | None = None,
) -> SetRef | None:
    """Open a run and its first set; return None if another run of the job is open.

    :param but: open runs to ignore
    :param redrive: as for :func:`open_run`
    :raises ConfigError: the job is being forgotten
    """
    with transaction(conn) as cur:
        if not take_turn(cur, new.job_id, DagRun(new.dag_id, new.dag_run_id), but):
            return None
        ref = _insert_run(cur, new, function, redrive)
    reach(Point.RUN_OPENED)
    return ref


def _insert_run(cur: Cursor, new: NewRun, function: Pinned, redrive: NewRedrive | None) -> SetRef:
    if not keep_job(cur, new.job_id):
        raise ConfigError(
            "job: it is being forgotten; let the DAG retrofill_forget finish, or choose another"
            " name"
        )
    cur.execute(
        _SQL["insert_run"],
        {
            "job_id": new.job_id,
            "source": new.source,
            "config": json.dumps(new.config),
            "delivery": json.dumps(new.delivery.as_json()),
            "modified_after": new.modified_after,
            "modified_before": new.modified_before,
            "function": json.dumps(
                {
                    "kind": function.kind,
                    "name": function.name,
                    "version": function.version,
                    "facts": dict(function.facts),
                }
            ),
            "function_timeout_s": function.timeout_s,
            "limits": json.dumps(new.limits.as_json()),
            "source_seen": new.source_seen,
            "interval_start": new.interval_start,
            "price": json.dumps(new.price.with_most(function.timeout_s)),
        },
    )
    ref = SetRef(value(cur), 1)
    _open_set(cur, ref, new.dag_id, new.dag_run_id)
    if redrive is not None:
        redrives.insert(cur, ref.run_id, redrive)
    return ref


def open_next_set(conn: Connection, ref: SetRef) -> SetRef:
    """Open the set after this one, for the DAG run ``ref.next_dag_run_id``.

    That DAG run finds its set by its own id, so its params do not matter.
    """
    with executed(conn, _SQL["get_set_of"], **ref._asdict()) as cur:
        this = one(cur, DagRun)
        following = SetRef(ref.run_id, ref.set_no + 1)
        _open_set(cur, following, this.dag_id, ref.next_dag_run_id(this.dag_run_id))
    reach(Point.RUN_OPENED)
    return following


def _open_set(cur: Cursor, ref: SetRef, dag_id: str, dag_run_id: str) -> None:
    key = {**ref._asdict(), "dag_id": dag_id, "dag_run_id": dag_run_id}
    cur.execute(_SQL["insert_set"], key)


def later_sets(conn: Connection, ref: SetRef) -> list[DagRun]:
    """Return the DAG runs of the sets after this one, in order."""
    with executed(conn, _SQL["list_later_sets"], **ref._asdict()) as cur:
        return rows(cur, DagRun)


def is_to_come(conn: Connection, moment: datetime) -> bool:
    """Return whether a time is in the future, with ten minutes' allowance for clock differences."""
    with executed(conn, _SQL["is_to_come"], moment=moment) as cur:
        return bool(value(cur))


def next_run_id(conn: Connection) -> int:
    """Return the number that the next run gets, unless an attempt to open one has failed."""
    with executed(conn, _SQL["next_run_id"]) as cur:
        return int(value(cur))


def get_run(conn: Connection, run_id: int) -> Run:
    """Return a run.

    :raises NoSuchRun: there is no such run
    """
    with executed(conn, _SQL["get_run"], run_id=run_id) as cur:
        run = find(
            cur,
            Run,
            delivery=Delivery.from_json,
            function=Pinned.from_json,
            price=Price.from_json,
            approval=Approval.from_json_if_any,
        )
    if run is None:
        raise NoSuchRun(run_id)
    return run


def is_open(cur: Cursor, run_id: int) -> bool:
    """Return whether a run is open."""
    cur.execute(_SQL["is_open"], {"run_id": run_id})
    return values(cur) == [True]


def add_partitions(
    conn: Connection,
    run_id: int,
    partitions: Sequence[Partition | tuple[int, str, Mapping[str, Any]]],
) -> None:
    """Add the partitions of a run, if it has none.

    :param partitions: (number, label, description) for those that were not surveyed
    """
    with transaction(conn) as cur:
        lock_run(cur, run_id)
        cur.execute(_SQL["has_partitions"], {"run_id": run_id})
        if value(cur):
            return
        for partition in starmap(Partition, partitions):
            description = json.dumps(dict(partition.description))
            added = {**partition._asdict(), "run_id": run_id, "description": description}
            cur.execute(_SQL["insert_partition"], added)


def has_partitions(conn: Connection, run_id: int) -> bool:
    """Return whether the partitions of a run were added."""
    with executed(conn, _SQL["has_partitions"], run_id=run_id) as cur:
        return bool(value(cur))


def partitions_left(conn: Connection, run_id: int) -> list[tuple[int, str]]:
    """Return number and label of the partitions that are not listed to their end."""
    with executed(conn, _SQL["list_partitions_left"], run_id=run_id) as cur:
        return list(pairs(cur).items())


def close_set(conn: Connection, ref: SetRef) -> ClosedSet:
    """Close a set."""
    with executed(conn, _SQL["close_set"], **ref._asdict()) as cur:
        return one(cur, ClosedSet)


def close_run(conn: Connection, run_id: int) -> Report:
    """Close a run, as :func:`conclude` does, and return its report."""
    with transaction(conn) as cur:
        conclude(cur, run_id)
        return read_report(cur, run_id)


def reopen(conn: Connection, run_id: int) -> None:
    """Open an incomplete run again, because its tasks were cleared and are running."""
    execute(conn, _SQL["reopen_run"], run_id=run_id)


def conclude(cur: Cursor, run_id: int) -> None:
    """Close a run within a transaction.

    It is complete if it has partitions, each was listed to its end, and none of its listed items is
    in process, in this run or another.
    """
    lock_run(cur, run_id)
    note_others(cur, run_id)
    cur.execute(_SQL["close_run"], {"run_id": run_id})


def mark_notified(conn: Connection, run_id: int) -> None:
    """Record that the notification of a run was accepted."""
    execute(conn, _SQL["mark_notified"], run_id=run_id)


def mark_wait_notified(conn: Connection, run_id: int) -> None:
    """Record that a notification was sent about what a run waits for."""
    execute(conn, _SQL["mark_wait_notified"], run_id=run_id)


def get_report(conn: Connection, run_id: int) -> Report:
    """Return the report of a run, as ``retrofill.v_run`` shows it.

    :raises NoSuchRun: there is no such run
    """
    with transaction(conn) as cur:
        return read_report(cur, run_id)


def read_report(cur: Cursor, run_id: int) -> Report:
    """Do what :func:`get_report` does, within a transaction."""
    reports = read_reports(cur, [run_id])
    if not reports:
        raise NoSuchRun(run_id)
    return reports[0]


def read_reports(cur: Cursor, run_ids: Sequence[int]) -> list[Report]:
    """Return the reports of the given runs that exist, the newest first."""
    cur.execute(_SQL["list_reports"], {"run_ids": list(run_ids)})
    return rows(cur, Report)


def list_runs(
    conn: Connection,
    *,
    job_id: int | None = None,
    hidden_dags: Collection[str] = (),
    before: int | None = None,
    most: int = 50,
) -> list[Report]:
    """Return the reports of runs, the newest first.

    :param job_id: only runs of this job; None: of all jobs
    :param hidden_dags: runs of these DAGs are left out
    :param before: only runs with a lower number; None: all
    """
    asked = {
        "job_id": job_id,
        "hidden": list(hidden_dags),
        "before": BEHIND_ALL if before is None else before,
        "most": most,
    }
    with snapshot(conn) as cur:
        cur.execute(_SQL["list_runs"], asked)
        return read_reports(cur, values(cur))
