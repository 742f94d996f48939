"""A Postgres that answers but fails: it is reported, and waited for, for a limited time."""

from collections.abc import Iterator
from contextlib import closing

import psycopg2
import pytest
from psycopg2.extensions import connection
from retrofill.model.calls import Call, Entry, Settlement
from retrofill.model.errors import StateUnavailable
from retrofill.state import batches
from retrofill.state.connection import connect, transaction
from retrofill.state.lease import BatchLease

from tests.integration.opened import enqueue, item, open_run

# Like a full disk, this many times; a sequence continues counting after a rollback.
REFUSING = """
CREATE SEQUENCE retrofill.tries;
CREATE FUNCTION retrofill.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('retrofill.tries') <= {times} THEN
        RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refuse BEFORE INSERT ON retrofill.invocation
FOR EACH ROW EXECUTE FUNCTION retrofill.refuse();
"""


@pytest.fixture
def conn(state_dsn: str) -> Iterator[connection]:
    with closing(connect(state_dsn)) as opened:
        yield opened


@pytest.fixture
def lease(state_dsn: str, conn: connection) -> Iterator[BatchLease]:
    ref = open_run(conn)
    enqueue(conn, ref, [item("k")])
    batches.plan(conn, ref, 1, most_items=1, fewest_items=1)
    with closing(BatchLease(state_dsn, 1, "task")) as taken:
        assert taken.take(holder_is_dead=lambda _: True)
        yield taken


def settle(lease: BatchLease) -> None:
    """Write one call ahead."""
    lease.settle(Settlement(), [Call.of([Entry(1, item("k"))])])


def refuse(conn: connection, times: int) -> None:
    """Make Postgres refuse to write calls ahead."""
    with conn, conn.cursor() as cur:
        cur.execute(REFUSING.format(times=times))


def tries(conn: connection) -> int:
    with conn, conn.cursor() as cur:
        cur.execute("SELECT last_value FROM retrofill.tries")
        return int(cur.fetchone()[0])


def test_settling_pauses_between_tries_and_gives_up_finally(
    lease: BatchLease, conn: connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrofill.state.lease.PATIENCE_S", 1.5)
    refuse(conn, 1_000_000)
    with pytest.raises(StateUnavailable, match="What to do: give its disk more space"):
        settle(lease)
    # One, another immediately after it, and one after each pause in that time.
    assert 2 <= tries(conn) <= 4


def test_settling_continues_once_the_server_can(lease: BatchLease, conn: connection) -> None:
    refuse(conn, 2)
    settle(lease)
    assert tries(conn) == 3
    with conn, conn.cursor() as cur:
        cur.execute("SELECT count(*) FROM retrofill.v_call")
        assert cur.fetchone() == (1,)


def test_an_idle_transaction_ended_by_the_server_counts_as_a_lost_server(
    conn: connection, state_dsn: str
) -> None:
    with pytest.raises(StateUnavailable, match="went away"):
        _be_idle(conn, state_dsn)


def _be_idle(conn: connection, dsn: str) -> None:
    with (
        transaction(conn) as cur,
        closing(psycopg2.connect(dsn)) as other,
        other.cursor() as looking,
    ):
        other.autocommit = True
        cur.execute("SET idle_in_transaction_session_timeout = '10ms'")
        ended = False
        while not ended:
            looking.execute("SELECT FROM pg_stat_activity WHERE pid = %s", (conn.info.backend_pid,))
            ended = looking.rowcount == 0
        cur.execute("SELECT 1")
