"""Runs that wait for earlier runs of their job, on a real Postgres."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field

import pytest
from psycopg2.extensions import connection
from retrofill.model.runs import DagRun, SetRef
from retrofill.pipeline.overlap import LATEST_S, SOONEST_S, await_turn, forget_gone
from retrofill.pipeline.rescue import rescue
from retrofill.state import runs
from retrofill.state.connection import connect
from retrofill.state.maintenance import OpenRun

from tests.integration.opened import FUNCTION, close, new_run, open_job, open_next_set, open_run

SECOND, THIRD = DagRun("d", "second"), DagRun("d", "third")


@dataclass
class Airflow:
    """An Airflow in which some DAG runs have ended, and others have no place."""

    over: set[str] = field(default_factory=set)
    kept_out: set[str] = field(default_factory=set)
    reported: list[int] = field(default_factory=list)
    most_mapped: int = 1_024

    def lives(self, dag_id: str, dag_run_ids: Sequence[str]) -> bool:
        del dag_id
        return bool(set(dag_run_ids) - self.over)

    def is_kept_out(self, dag_id: str, dag_run_ids: Sequence[str]) -> bool:
        del dag_id
        return bool(set(dag_run_ids) & self.kept_out)

    def tell_abandoned(self, conn: connection, run: OpenRun) -> None:
        del conn
        self.reported.append(run.run_id)

    def tell_if_paused(self, conn: connection, run: OpenRun) -> None:
        """Report nothing: no DAG is paused."""


@pytest.fixture
def conn(state_dsn: str) -> Iterator[connection]:
    with closing(connect(state_dsn)) as opened:
        yield opened


def waiting(conn: connection) -> list[tuple[str, list[int], list[str]]]:
    with conn, conn.cursor() as cur:
        cur.execute("SELECT dag_run_id, runs, behind FROM retrofill.waiting ORDER BY since")
        return cur.fetchall()


def opened_alone(conn: connection, dag_run: DagRun, but: Sequence[int] = ()) -> SetRef | None:
    return runs.open_alone(conn, new_run(1, dag_run.dag_run_id), FUNCTION, but)


def test_a_run_waits_until_the_earlier_one_is_closed_and_logs_it(
    conn: connection, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    first, airflow = open_run(conn, "first"), Airflow()
    assert await_turn(conn, 1, SECOND, airflow) == (SOONEST_S, ())
    assert waiting(conn) == [("second", [1], [])]
    assert "waiting, as overlap requires, for run 1 of the job to be closed" in caplog.text
    open_next_set(conn, first, max_items=1)
    close_later = await_turn(conn, 1, SECOND, airflow)
    assert close_later.look_again_s == SOONEST_S, "the run continues in another set"
    close(conn, 1, complete=False)
    assert await_turn(conn, 1, SECOND, airflow) == (None, [])
    assert opened_alone(conn, SECOND) == (2, 1)
    assert waiting(conn) == []


def test_the_longer_a_run_waits_the_less_often_it_checks(conn: connection) -> None:
    open_run(conn, "first")
    looks = []
    for since in ("0 s", "2 min", "1 h"):
        with conn, conn.cursor() as cur:
            cur.execute(
                "INSERT INTO retrofill.waiting VALUES ('d', 'second', 1, now() - %s::interval,"
                " '{}', '{}') ON CONFLICT (dag_id, dag_run_id)"
                " DO UPDATE SET since = excluded.since",
                (since,),
            )
        looks.append(round(await_turn(conn, 1, SECOND, Airflow()).look_again_s or 0))
    assert looks == [SOONEST_S, 30, LATEST_S]


def test_a_run_of_another_job_is_not_waited_for(conn: connection) -> None:
    open_run(conn, "first")
    other = open_job(conn, "another")
    assert await_turn(conn, other, SECOND, Airflow()).look_again_s is None


def test_the_first_run_to_wait_opens_first(conn: connection) -> None:
    open_run(conn, "first")
    airflow = Airflow()
    await_turn(conn, 1, SECOND, airflow)
    await_turn(conn, 1, THIRD, airflow)
    close(conn, 1, complete=True)
    assert await_turn(conn, 1, THIRD, airflow).look_again_s is not None
    assert waiting(conn)[1] == ("third", [], ["second"])
    airflow.over.add("second")
    assert await_turn(conn, 1, THIRD, airflow).look_again_s is None, "the second has ended"
    assert [row[0] for row in waiting(conn)] == ["third"]


def test_of_two_runs_that_open_together_one_opens(state_dsn: str, conn: connection) -> None:
    open_job(conn)
    together = threading.Barrier(2)

    def open_one(dag_run: DagRun) -> SetRef | None:
        with closing(connect(state_dsn)) as own:
            together.wait()
            return opened_alone(own, dag_run)

    with ThreadPoolExecutor(2) as executor:
        opened = list(executor.map(open_one, (SECOND, THIRD)))
    assert sorted(opened, key=bool) == [None, (1, 1)]


def test_a_run_that_airflow_ended_is_closed_without_waiting(conn: connection) -> None:
    open_run(conn, "first")
    airflow = Airflow(over={"first"})
    assert await_turn(conn, 1, SECOND, airflow).look_again_s is None
    assert airflow.reported == [1]
    assert runs.get_report(conn, 1).status == "incomplete"


def test_a_run_that_needs_the_place_of_this_one_is_not_waited_for(conn: connection) -> None:
    """Otherwise each would wait for the other: the DAG's max_active_runs are taken."""
    first, airflow = open_run(conn, "first"), Airflow()
    following = first.next_dag_run_id("first")
    open_next_set(conn, first, max_items=1)
    airflow.kept_out.add(following)
    assert await_turn(conn, 1, SECOND, airflow) == (None, [1])
    assert opened_alone(conn, SECOND) is None
    assert opened_alone(conn, SECOND, [1]) == (2, 1)
    assert await_turn(conn, 1, THIRD, airflow).look_again_s is not None, "the second has a place"


def test_a_cleared_run_without_a_place_is_not_waited_for(conn: connection) -> None:
    first, airflow = open_run(conn, "first"), Airflow()
    for dag_run in (SECOND, THIRD):
        assert await_turn(conn, 1, dag_run, airflow).look_again_s is not None
    close(conn, first.run_id, complete=True)
    assert await_turn(conn, 1, THIRD, airflow).look_again_s is not None, "the second one is first"
    airflow.kept_out.add(SECOND.dag_run_id)
    assert await_turn(conn, 1, THIRD, airflow).look_again_s is None


def test_maintenance_forgets_waiting_runs_that_are_gone(conn: connection) -> None:
    open_run(conn, "first")
    airflow = Airflow()
    await_turn(conn, 1, SECOND, airflow)
    await_turn(conn, 1, THIRD, airflow)
    airflow.over.add("third")
    assert rescue(conn, airflow) == []
    forget_gone(conn, airflow)
    assert [row[0] for row in waiting(conn)] == ["second"]
