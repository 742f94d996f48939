"""The invariant checks report planted violations, and nothing in a correct state."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from psycopg2.extensions import connection
from retrofill.model.calls import EndedCall, Quarantined, Settlement
from retrofill.pipeline.close_run import close_run
from retrofill.state import batches, runs
from retrofill.state.connection import connect

from tests.integration.opened import ALL_LIVE, enqueue, item, open_run
from tests.integration.test_batches import calls_of, taken
from tests.invariants import Sampler, Seen, check, check_now, find_secrets, view_texts

LISTED = {"a", "b", "c", "d"}
ONCE = dict.fromkeys(LISTED, 1)
WELL: dict[str, Any] = {
    "listed": LISTED,
    "executed": ONCE,
    "succeeded": dict.fromkeys("abc", 1),
    "poison": {"d"},
    "most_duplicates": 0,
}


@pytest.fixture
def conn(state_dsn: str) -> Iterator[connection]:
    with closing(connect(state_dsn)) as opened:
        yield opened


@pytest.fixture
def notice(state_dsn: str, conn: connection) -> str:
    """Complete a run of two calls, one of which fails permanently; return its notification."""
    ref = open_run(conn)
    enqueue(conn, ref, [item(key) for key in sorted(LISTED)])
    batches.plan(conn, ref, 1, most_items=10, fewest_items=10)
    with closing(taken(state_dsn)) as lease:
        good, bad = calls_of(lease, 3)
        lease.settle(Settlement(), [good, bad])
        bad.entries[0].attempts = bad.entries[0].failures = 1
        failed = EndedCall(bad.number, "failed", "r", "1", "Error", "no good")
        settlement = Settlement(
            ended=[EndedCall(good.number, "succeeded", "r"), failed],
            succeeded=[(span, good.number) for span in good.spans],
            quarantined=[Quarantined(bad.entries[0], failed, "poison")],
        )
        lease.settle(settlement, [])
        lease.release(done=True)
    assert not close_run(conn, ref, ALL_LIVE)
    return runs.get_report(conn, ref.run_id).as_text({})


def execute(conn: connection, statement: str) -> None:
    with conn, conn.cursor() as cur:
        cur.execute(statement)
        assert cur.rowcount, "the planted statement changes something"


def test_a_correct_state_has_no_violations(state_dsn: str, notice: str) -> None:
    assert check(state_dsn, "job", notices=[notice], **WELL) == []
    assert check_now(state_dsn, "job", Seen(2, 4)) == []


IN_PROCESS = (
    "INSERT INTO retrofill.in_process (job_id, seq, run_id, identifier, item_key,"
    " content) SELECT 1, 90, 1, identifier, item_key, ''"
    " FROM retrofill.results WHERE item_key = 'a'"
)


@pytest.mark.parametrize(
    ("plant", "violation"),
    [
        (IN_PROCESS, "I1: 'a' is in in_process and results"),
        (
            (
                "ALTER TABLE retrofill.results DROP CONSTRAINT results_pkey;"
                "INSERT INTO retrofill.results SELECT * FROM retrofill.results WHERE item_key = 'a'"
            ),
            "I2: results hold 'a' twice",
        ),
        (
            "DELETE FROM retrofill.invocation WHERE call_no = 2",
            "I3: the function saw 2 calls of 4 items; written ahead are 1 of 3",
        ),
        (
            (
                "ALTER TABLE retrofill.partition DROP CONSTRAINT partition_listed_is_new_and_known;"
                "UPDATE retrofill.partition SET known = 1"
            ),
            "I5: run 1 listed 4: 4 new, 1 known",
        ),
        (
            "DELETE FROM retrofill.results WHERE item_key = 'a'",
            "I5: the runs found 4 new items that nobody withdrew, in the three places are 3",
        ),
        (
            "UPDATE retrofill.batch SET succeeded = 2",
            "I8: run 1 is complete with 1 items and 0 partitions left",
        ),
        (
            "UPDATE retrofill.partition SET done = false",
            "I8: run 1 is complete with 0 items and 1 partitions left",
        ),
        (IN_PROCESS, "I8: run 1 is complete with 1 items in process"),
    ],
)
@pytest.mark.usefixtures("notice")
def test_the_sampler_finds_violations(
    state_dsn: str, conn: connection, plant: str, violation: str
) -> None:
    with Sampler(state_dsn, "job", lambda: Seen(2, 4)) as sampler:
        execute(conn, plant)
    assert violation in sampler.violations
    assert sampler.samples >= 1


@pytest.mark.parametrize(
    ("plant", "violation"),
    [
        ("UPDATE retrofill.job SET name = 'job'", None),
        (
            "DELETE FROM retrofill.results WHERE item_key = 'a'",
            "I1: 1 items are not in the three places: 'a'",
        ),
        (
            "DELETE FROM retrofill.results WHERE item_key = 'a'",
            "I7: the runs count 3 succeeded, results holds 2",
        ),
        (
            "UPDATE retrofill.results SET attempts = 0 WHERE item_key = 'b'",
            "I3: 'b' has 0 attempts, the function ran 1 times",
        ),
        (
            "DELETE FROM retrofill.quarantine",
            "I6: 1 items are not in quarantine: 'd'",
        ),
        (
            "UPDATE retrofill.quarantine SET item_key = 'e'",
            "I6: 1 items are wrongly in quarantine: 'e'",
        ),
        (
            "UPDATE retrofill.batch SET calls = 1",
            "I7: calls, retries, refused, duplicates of run 1: (1, 0, 0, 0), v_call (2, 0, 0, 0)",
        ),
        (
            "UPDATE retrofill.invocation SET duplicates = 1 WHERE call_no = 1",
            "I4: 1 duplicates, at most 0 are explained",
        ),
        (
            "UPDATE retrofill.batch SET succeeded = 4",
            "I7: run 1 has succeeded 4, notified was 3",
        ),
        (
            "UPDATE retrofill.run SET status = 'incomplete'",
            "I8: the last run is incomplete, not complete",
        ),
        (
            "UPDATE retrofill.run SET status = 'incomplete'",
            "I7: run 1 is incomplete, notified was complete",
        ),
        (IN_PROCESS, "I8: 1 items are left in process"),
        (
            "UPDATE retrofill.invocation SET outcome = NULL, ended_at = NULL WHERE call_no = 1",
            "I8: 1 calls have no outcome",
        ),
    ],
)
def test_final_invariants_are_checked(
    state_dsn: str, conn: connection, notice: str, plant: str, violation: str | None
) -> None:
    execute(conn, plant)
    found = check(state_dsn, "job", notices=[notice], **WELL)
    assert (found == []) if violation is None else (violation in found)


@pytest.mark.parametrize(
    ("world", "violation"),
    [
        ({"listed": LISTED | {"e"}}, "I1: 1 items are not in the three places: 'e'"),
        ({"listed": LISTED | {"e"}}, "I5: run 1 listed 4 items, the source has 5"),
        ({"listed": LISTED - {"a"}}, "I1: 1 items are wrongly in the three places: 'a'"),
        ({"executed": ONCE | {"a": 2}}, "I3: 'a' has 1 attempts, the function ran 2 times"),
        ({"executed": ONCE | {"z": 1}}, "I3: 'z' has 0 attempts, the function ran 1 times"),
        (
            {"executed": ONCE | {"a": 3}},
            (
                "I4: 2 further executions, explained are 0 duplicates, 1 items in failed calls"
                " and 0 named as failed"
            ),
        ),
        (
            {"succeeded": {"a": 2, "b": 1, "c": 1}},
            "I4: work was done twice 1 times, counted are 0 duplicates",
        ),
        ({"poison": set()}, "I6: 1 items are wrongly in quarantine: 'd'"),
        ({"redriven": 1}, "I7: the runs count 1 quarantined, quarantine holds 1"),
        ({"notices": ["hello"]}, "I7: a notification names no run of the job: 'hello'"),
    ],
)
@pytest.mark.usefixtures("notice")
def test_counts_of_the_outside_world_are_compared(
    state_dsn: str, world: dict[str, Any], violation: str
) -> None:
    assert violation in check(state_dsn, "job", **{**WELL, **world})


def test_a_secret_is_found_wherever_it_could_be_read(
    state_dsn: str, conn: connection, notice: str
) -> None:
    assert find_secrets(["s3cr3t"], {**view_texts(state_dsn), "notice": notice}) == []
    execute(conn, "UPDATE retrofill.invocation SET error = 'with s3cr3t in it' WHERE call_no = 1")
    assert find_secrets(["other", "s3cr3t"], view_texts(state_dsn)) == [
        "I9: retrofill.v_call holds secret 2"
    ]
    with pytest.raises(ValueError, match="no secret to look for"):
        find_secrets([""], {})


def test_an_error_of_the_sampler_is_raised(state_dsn: str) -> None:
    def seen() -> Seen:
        raise ValueError("of the test")

    with pytest.raises(ValueError, match="of the test"), Sampler(state_dsn, "job", seen):
        pass
