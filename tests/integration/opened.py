"""An open run, for tests of what happens during one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any

from psycopg2.extensions import connection
from retrofill.aws.objects import pack
from retrofill.config import params_for
from retrofill.engine.identity import identifier_of
from retrofill.model.calls import Entry, Loaded
from retrofill.model.delivery import Delivery
from retrofill.model.function import Pinned
from retrofill.model.items import Item
from retrofill.model.limits import Limits
from retrofill.model.listing import Page
from retrofill.model.runs import Job, NewRun, SetRef
from retrofill.state import limits, runs
from retrofill.state.lease import BatchLease
from retrofill.state.maintenance import OpenRun
from retrofill.state.screening import Chunk, Screened, get_partition, screen

MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ARN = "arn:aws:lambda:us-east-1:123456789012:function:f"
DELIVERY = Delivery(event="s3", items_per_call=1, answer="return")
FUNCTION = Pinned(
    kind="aws_lambda",
    name=ARN,
    version="1",
    timeout_s=3,
    facts={"qualifier": "1", "memory_mb": 128},
)

CONFIG = params_for("s3").config({"bucket": "bucket", "prefix": "k", "function": "f"}).as_json()
LIMITS: dict[str, Any] = {"max_concurrency": 10, "max_items_per_set": 1_000_000}

_identifier = identifier_of("s3://bucket")


def item(key: str, etag: str = "e") -> Item:
    """Make an item of these tests' source."""
    return Item(_identifier(key, etag), key, pack(10, MOMENT, etag, ""))


def page(items: Sequence[Item], **left_out: int) -> Page:
    """Make a page of these items."""
    return Page(list(items), items[-1].key, left_out)


def open_job(conn: connection, name: str = "job") -> int:
    """Store a job."""
    return runs.remember_job(conn, Job(name, "f" * 32, "s3://bucket", "f", "s3"))


def new_run(job_id: int, dag_run_id: str = "r", **changed: Any) -> NewRun:
    """Return a run of a job as it is before it opens.

    :param changed: limits or fields of the run that differ from the usual ones
    """
    names = changed.keys() & {field.name for field in fields(Limits)}
    allowed = LIMITS | {name: changed.pop(name) for name in names}
    usual = NewRun(
        job_id=job_id,
        source="s3://bucket/",
        config=CONFIG | changed.pop("config", {}),
        delivery=DELIVERY,
        modified_after=None,
        modified_before=None,
        limits=Limits(**allowed),
        dag_id="d",
        dag_run_id=dag_run_id,
    )
    return replace(usual, **changed)


def open_run(
    conn: connection,
    dag_run_id: str = "r",
    *,
    max_items: int = 1_000_000,
    partitions: int = 1,
    **changed: Any,
) -> SetRef:
    """Open a run with this many partitions; see `new_run` for its other params."""
    new = new_run(open_job(conn), dag_run_id, max_items_per_set=max_items, **changed)
    ref = runs.open_run(conn, new, FUNCTION)
    runs.add_partitions(conn, ref.run_id, [(no, f"part {no}", {}) for no in range(partitions)])
    return ref


@dataclass(frozen=True)
class StillAirflow:
    """An Airflow with some active DAG runs that records what is reported to it."""

    is_alive: Callable[[str, Sequence[str]], bool]
    reported: list[int] = field(default_factory=list)
    """The runs reported as abandoned."""

    most_mapped: int = 1_024

    def lives(self, dag_id: str, dag_run_ids: Sequence[str]) -> bool:
        return self.is_alive(dag_id, dag_run_ids)

    def is_kept_out(self, dag_id: str, dag_run_ids: Sequence[str]) -> bool:
        """Every DAG run has a place."""
        del dag_id, dag_run_ids
        return False

    def tell_abandoned(self, conn: connection, run: OpenRun) -> None:
        del conn
        self.reported.append(run.run_id)

    def tell_if_paused(self, conn: connection, run: OpenRun) -> None:
        """Report nothing: no DAG is paused."""


ALL_LIVE = StillAirflow(lambda _dag_id, _dag_run_ids: True)


def close(conn: connection, run_id: int, *, complete: bool) -> None:
    """Close a run as complete or incomplete, whatever its items."""
    status = "complete" if complete else "incomplete"
    with conn, conn.cursor() as cur:
        cur.execute(
            "UPDATE retrofill.run SET status = %s, closed_at = clock_timestamp() WHERE run_id = %s",
            (status, run_id),
        )


def change_limits(conn: connection, run_id: int, **changes: float | None) -> None:
    """Change some limits of a run, as its page does."""
    assert limits.change_limits(conn, run_id, **changes)


def open_next_set(conn: connection, ref: SetRef, *, max_items: int) -> SetRef:
    """Open the next set of a run, with room for this many items."""
    change_limits(conn, ref.run_id, max_items_per_set=max_items)
    return runs.open_next_set(conn, ref)


def enqueue(
    conn: connection,
    ref: SetRef,
    items: Sequence[Item],
    part_no: int = 0,
    *,
    done: bool = True,
    ordered: bool = True,
) -> Screened:
    """Screen items as the next chunk of a partition."""
    partition = get_partition(conn, ref.run_id, part_no)
    chunk = Chunk(pages=[page(items)] if items else [], done=done)
    return screen(conn, ref, part_no, partition, chunk, ordered=ordered)


def left_of(lease: BatchLease) -> Loaded:
    """Return what is left of a batch that is a single portion."""
    (portion,) = lease.portions(1)
    return lease.load(portion)


def entries_of(lease: BatchLease) -> list[Entry]:
    """Return the items that are left of a batch, as the entries of calls."""
    seqs, items, histories = left_of(lease)
    return [
        histories[seq].entry(seq, item) if seq in histories else Entry(seq, item)
        for seq, item in zip(seqs, items, strict=True)
    ]


def keys_in(conn: connection, table: str) -> list[str]:
    """Return the keys that a table holds, in order."""
    with conn, conn.cursor() as cur:
        cur.execute(f"SELECT item_key FROM retrofill.{table} ORDER BY item_key")  # noqa: S608
        return [row[0] for row in cur.fetchall()]
