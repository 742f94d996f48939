"""Close a set, and the run with its last set."""

import logging

from include.retrofill.faults import Point, reach
from include.retrofill.model.errors import RunIncomplete
from include.retrofill.model.runs import SetRef
from include.retrofill.state import batches, runs
from include.retrofill.state.connection import Connection

log = logging.getLogger(__name__)


def close_run(conn: Connection, ref: SetRef) -> bool:
    """Close the set; return whether the run needs another one.

    :raises RunIncomplete: items or partitions are left, and not because the set was full
    """
    batches.release_set(conn, ref)
    reach(Point.RUN_CLOSING)
    full = runs.close_set(conn, ref)
    reach(Point.SET_CLOSED)
    report = runs.get_report(conn, ref.run_id)
    log.info("%s", report.as_text())
    if not report.items_left and not report.partitions_left:
        runs.close_run(conn, ref.run_id, complete=True)
        reach(Point.RUN_CLOSED)
        return False
    if full and not report.items_left and not report.stop_reason:
        log.info("%d partitions are left for the next set", report.partitions_left)
        return True
    runs.close_run(conn, ref.run_id, complete=False)
    raise RunIncomplete(
        f"{report.items_left:,} items and {report.partitions_left:,} partitions are left"
        f"{'; stopped: ' + report.stop_reason if report.stop_reason else ''}."
        " Nothing is lost: clear the failed tasks, or start another run of the job, to go on"
    )
