"""Close a set, and its run unless it needs another set. No run is left open."""

import logging
import time
from collections.abc import Callable

from retrofill.config import RunConfig
from retrofill.faults import Point, reach
from retrofill.model.errors import RunIncomplete
from retrofill.model.report import Report
from retrofill.model.runs import SetRef
from retrofill.pipeline.approve import conclude_approval
from retrofill.pipeline.rescue import Airflow, rescue
from retrofill.state import batches, others, runs
from retrofill.state.connection import Connection
from retrofill.state.lease import LEASE_S

log = logging.getLogger(__name__)

WAIT_S = 120.0
"""Seconds to wait for other runs that still process items of this run's listing."""

LOOK_EVERY_S = 2.0
"""Seconds between two checks."""


def close_run(conn: Connection, ref: SetRef, airflow: Airflow) -> bool:
    """Close the set; return whether the run continues with another one.

    :raises RunIncomplete: the run ends with items or partitions left
    """
    conclude_approval(conn, ref.run_id)
    batches.release_set(conn, ref)
    reach(Point.RUN_CLOSING)
    closed = runs.close_set(conn, ref)
    reach(Point.SET_CLOSED)
    report = runs.get_report(conn, ref.run_id)
    if report.status == "open" and runs.later_sets(conn, ref):
        log.info("set %d of run %d has been opened already", ref.set_no + 1, ref.run_id)
        return True
    if not report.items_left and not report.stop_reason:
        if report.partitions_left and closed.full:
            log.info("%d partitions are left for the next set", report.partitions_left)
            runs.open_next_set(conn, ref)
            return True
        if report.partitions and not report.partitions_left and closed.planned:
            waiting = _await_others(conn, ref.run_id, airflow)
            if any(other.free for other in waiting):
                log.info("the next set takes over items that other runs left behind")
                runs.open_next_set(conn, ref)
                return True
    report = _close(conn, ref)
    if report.status != "complete":
        raise RunIncomplete(_what_now(report))
    return False


def conclude(
    conn: Connection, ref: SetRef, airflow: Airflow, notify: Callable[[Report], None]
) -> Report | None:
    """Close the run of a set if it is still open, and send its notification if nobody has.

    A DAG run may end without ``close_run``: someone marks it as failed, or the task itself fails.
    Then this closes the run, once its tasks have released their batches.

    :param notify: sends the run's notification
    :returns: the report of the run; None: the run continues with another set
    :raises RunIncomplete: the run is incomplete, ``close_run`` has not closed it, or its report
        files are missing. The notification was sent before
    :raises NotNotified: the notification was not accepted
    """
    report = runs.get_report(conn, ref.run_id)
    later = runs.later_sets(conn, ref)
    abandoned = report.status == "open"
    if abandoned and later and airflow.lives(later[0][0], [one for _, one in later]):
        return None
    if later and report.status == "complete":
        return None
    if abandoned:
        _await_tasks(conn, ref.run_id)
        conclude_approval(conn, ref.run_id)
        batches.release_run(conn, ref.run_id)
        runs.close_set(conn, ref)
        report = _close(conn, ref)
    if later and not abandoned:
        log.info("the DAG run of the run's last set sends the notification")
    elif report.is_notified:
        log.info("an earlier try has sent the run's notification")
    else:
        notify(report)
        reach(Point.NOTIFIED)
        runs.mark_notified(conn, ref.run_id)
    if report.status != "complete":
        raise RunIncomplete(_what_now(report))
    if abandoned:
        raise RunIncomplete(f"run {ref.run_id} is complete, but close_run did not end; see its log")
    if report.lacks_files:
        raise RunIncomplete(
            f"run {ref.run_id} is complete, but its report files are not written; see the log of"
            " write_report, then clear it with its downstream tasks to write them"
        )
    return report


def _close(conn: Connection, ref: SetRef) -> Report:
    report = runs.close_run(conn, ref.run_id)
    reach(Point.RUN_CLOSED)
    config = RunConfig.from_stored(runs.get_run(conn, ref.run_id).config)
    log.info("%s", report.as_text(config.source_kind.reasons))
    return report


def _what_now(report: Report) -> str:
    to_do = "clear the failed tasks, or start another run of the job, to continue"
    if report.is_turned_down:
        to_do = "start another run of the job to make another plan"
    stopped = f" It was stopped: {report.stop_reason}." if report.stop_reason else ""
    return f"run {report.run_id} is incomplete: {report.missing}.{stopped} Nothing is lost: {to_do}"


def _await_others(conn: Connection, run_id: int, airflow: Airflow) -> list[others.Other]:
    """Wait for runs that process items of this run's listing; return those that still do.

    Runs that Airflow has ended are closed, which frees their items.
    """
    give_up_at = time.monotonic() + WAIT_S
    logged: list[others.Other] = []
    while (waiting := others.look(conn, run_id)) and not any(other.free for other in waiting):
        if waiting != logged:
            logged = waiting
            held = ", ".join(f"{other.items:,} with run {other.run_id}" for other in waiting)
            log.info("listed items that other runs have in process: %s", held)
        if rescue(conn, airflow, runs={other.run_id for other in waiting}):
            continue
        if time.monotonic() >= give_up_at:
            break
        time.sleep(LOOK_EVERY_S)
    return waiting


def _await_tasks(conn: Connection, run_id: int) -> None:
    """Wait until no task holds a batch of the run, so that its report has their last calls."""
    give_up_at = time.monotonic() + LEASE_S
    while batches.is_held(conn, run_id) and time.monotonic() < give_up_at:
        log.info("waiting for tasks of this DAG run to end")
        time.sleep(LOOK_EVERY_S)
