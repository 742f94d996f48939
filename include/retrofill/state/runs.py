"""Jobs, runs, sets and partitions: opening, closing, and the report of a run."""

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
    find,
    one,
    rows,
    transaction,
    value,
)
from retrofill.state.locks import keep_job, lock_run
from retrofill.state.others import note_others
from retrofill.state.redrives import NewRedrive
from retrofill.state.statements import load
from retrofill.state.waiting import take_turn

_SQL = load("runs.sql")


class ClosedSet(NamedTuple):
    """What became of a set."""

    full: bool
    """Whether it took as many new items as it may."""

    planned: bool
    """Whether its batches were planned."""


class PartitionLeft(NamedTuple):
    """A partition that is not read to its end."""

    part_no: int
    label: str


def remember_job(conn: Connection, job: Job) -> int:
    """Return the number of the job of that name; a new name becomes a new job.

    :raises ConfigError: the name belongs to a job with another source, function or event
    """
    with transaction(conn) as cur:
        cur.execute(_SQL["insert_job"], job._asdict())
        cur.execute(_SQL["get_job"], job._asdict())
        known = one(cur, KnownJob, job=_job)
    require_same(known.job, job)
    return known.job_id


def find_job(conn: Connection, name: str) -> KnownJob | None:
    """Return the job of that name; None if there is none."""
    with transaction(conn) as cur:
        cur.execute(_SQL["get_job"], {"name": name})
        return find(cur, KnownJob, job=_job)


def _job(fields: Mapping[str, str]) -> Job:
    return Job(**fields)


def require_same(known: Job, asked: Job) -> None:
    """Check that a job is asked for as it is known.

    :raises ConfigError: its name belongs to a job with another source, function or event
    """
    if known.fingerprint != asked.fingerprint:
        raise ConfigError(
            f"job: {known.name!r} was made for {known.source} → {known.function_name}"
            f" ({known.event}), and is now asked for {asked.source} → {asked.function_name}"
            f" ({asked.event}); choose another name"
        )


def find_set(conn: Connection, dag_id: str, dag_run_id: str) -> SetRef | None:
    """Return the set that a DAG run takes; None: none was opened for it."""
    with transaction(conn) as cur:
        cur.execute(_SQL["get_set"], {"dag_id": dag_id, "dag_run_id": dag_run_id})
        return find(cur, SetRef)


def open_run(
    conn: Connection, new: NewRun, function: Pinned, redrive: NewRedrive | None = None
) -> SetRef:
    """Open a run and its first set, whatever other runs of the job are open.

    :param redrive: what it redrives; None: nothing
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

    :param but: open runs that do not matter
    :param redrive: what it redrives; None: nothing
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
            "job: it is being forgotten; let the DAG retrofill_forget end with it, or choose"
            " another name"
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
        redrives.write(cur, ref.run_id, redrive)
    return ref


def open_next_set(conn: Connection, ref: SetRef) -> SetRef:
    """Open the set after this one, for the DAG run that ``ref.next_dag_run_id`` names.

    That DAG run finds its set by its own id: nothing of what it does depends on its params.
    """
    with transaction(conn) as cur:
        cur.execute(_SQL["get_set_of"], ref._asdict())
        this = one(cur, DagRun)
        following = SetRef(ref.run_id, ref.set_no + 1)
        _open_set(cur, following, this.dag_id, ref.next_dag_run_id(this.dag_run_id))
    reach(Point.RUN_OPENED)
    return following


def _open_set(cur: Cursor, ref: SetRef, dag_id: str, dag_run_id: str) -> None:
    cur.execute(
        _SQL["insert_set"],
        {**ref._asdict(), "dag_id": dag_id, "dag_run_id": dag_run_id},
    )


def later_sets(conn: Connection, ref: SetRef) -> list[DagRun]:
    """Return the sets after this one."""
    with transaction(conn) as cur:
        cur.execute(_SQL["list_later_sets"], ref._asdict())
        return rows(cur, DagRun)


def is_to_come(conn: Connection, moment: datetime) -> bool:
    """Return whether a moment is to come, by more than clocks may differ."""
    with transaction(conn) as cur:
        cur.execute(_SQL["is_to_come"], {"moment": moment})
        return bool(value(cur))


def next_run_id(conn: Connection) -> int:
    """Return the number that the next run gets, unless the opening of one has failed before."""
    with transaction(conn) as cur:
        cur.execute(_SQL["next_run_id"])
        return int(value(cur))


def get_run(conn: Connection, run_id: int) -> Run:
    """Return a run.

    :raises NoSuchRun: there is no such run
    """
    with transaction(conn) as cur:
        cur.execute(_SQL["get_run"], {"run_id": run_id})
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


def add_partitions(
    conn: Connection,
    run_id: int,
    partitions: Sequence[Partition | tuple[int, str, Mapping[str, Any]]],
) -> None:
    """Write down the partitions of a run, if it has none.

    :param partitions: those into which nobody looked may be (number, label, description) each
    """
    with transaction(conn) as cur:
        lock_run(cur, run_id)
        cur.execute(_SQL["has_partitions"], {"run_id": run_id})
        if value(cur):
            return
        for part_no, label, description, seen in starmap(Partition, partitions):
            cur.execute(
                _SQL["insert_partition"],
                {
                    "run_id": run_id,
                    "part_no": part_no,
                    "label": label,
                    "description": json.dumps(dict(description)),
                    "seen": seen,
                },
            )


def has_partitions(conn: Connection, run_id: int) -> bool:
    """Return whether the partitions of a run were written down."""
    with transaction(conn) as cur:
        cur.execute(_SQL["has_partitions"], {"run_id": run_id})
        return bool(value(cur))


def partitions_left(conn: Connection, run_id: int) -> list[PartitionLeft]:
    """Return the partitions that are not read to their ends."""
    with transaction(conn) as cur:
        cur.execute(_SQL["list_partitions_left"], {"run_id": run_id})
        return rows(cur, PartitionLeft)


def close_set(conn: Connection, ref: SetRef) -> ClosedSet:
    """Close a set."""
    with transaction(conn) as cur:
        cur.execute(_SQL["close_set"], ref._asdict())
        return one(cur, ClosedSet)


def close_run(conn: Connection, run_id: int) -> Report:
    """Close a run, and return its report: what the state holds says whether it is complete."""
    with transaction(conn) as cur:
        conclude(cur, run_id)
        return read_report(cur, run_id)


def reopen(conn: Connection, run_id: int) -> None:
    """Open a run again that was closed as incomplete: its tasks were cleared, and are at work."""
    with transaction(conn) as cur:
        cur.execute(_SQL["reopen_run"], {"run_id": run_id})


def conclude(cur: Cursor, run_id: int) -> None:
    """Close a run within a transaction.

    It is complete if its partitions were written down and each was read to its end, and if no
    item that it lists waits, with itself or with another run.
    """
    lock_run(cur, run_id)
    note_others(cur, run_id)
    cur.execute(_SQL["close_run"], {"run_id": run_id})


def mark_notified(conn: Connection, run_id: int) -> None:
    """Record that the notification of a run was handed over."""
    with transaction(conn) as cur:
        cur.execute(_SQL["mark_notified"], {"run_id": run_id})


def mark_wait_notified(conn: Connection, run_id: int) -> None:
    """Record that people were told what a run waits for."""
    with transaction(conn) as cur:
        cur.execute(_SQL["mark_wait_notified"], {"run_id": run_id})


def get_report(conn: Connection, run_id: int) -> Report:
    """Return the true counts of a run, as ``retrofill.v_run`` shows them.

    :raises NoSuchRun: there is no such run
    """
    with transaction(conn) as cur:
        return read_report(cur, run_id)


def read_report(cur: Cursor, run_id: int) -> Report:
    """Return the true counts of a run, within a transaction.

    :raises NoSuchRun: there is no such run
    """
    reports = read_reports(cur, [run_id])
    if not reports:
        raise NoSuchRun(run_id)
    return reports[0]


def read_reports(cur: Cursor, run_ids: Sequence[int]) -> list[Report]:
    """Return the true counts of those runs that there are, the newest first."""
    cur.execute(_SQL["list_reports"], {"run_ids": list(run_ids)})
    return rows(cur, Report)
