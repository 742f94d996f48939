"""A function that feeds its own source is noticed before it is called with its outputs."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg2.extensions import connection
from retrofill.aws.objects import pack
from retrofill.model.calls import Settlement
from retrofill.model.errors import RunIncomplete
from retrofill.model.items import Item
from retrofill.model.runs import Job, SetRef
from retrofill.pipeline.close_run import close_run
from retrofill.pipeline.plan_batches import plan_batches
from retrofill.state import batches, others, runs
from retrofill.state.connection import connect
from retrofill.state.feedback import note_later

from tests import invariants
from tests.integration.opened import (
    ALL_LIVE,
    FUNCTION,
    close,
    enqueue,
    item,
    keys_in,
    new_run,
    open_next_set,
    open_run,
)
from tests.integration.test_batches import calls_of, success, taken

CALLED = datetime(2026, 1, 2, 3, 0, tzinfo=UTC)
"""When the first run made its calls: one per second, half a second each."""

PHOTOS = [f"in/{number:03}.jpg" for number in range(20)]
FED = "the function seems to feed its own source: "


@pytest.fixture
def conn(state_dsn: str) -> Iterator[connection]:
    with closing(connect(state_dsn)) as opened_connection:
        yield opened_connection


def written(key: str, moment: datetime, etag: str = "e") -> Item:
    """Make an item written at this time."""
    return item(key, etag)._replace(content=pack(10, moment, etag, ""))


def while_called(number: int) -> datetime:
    """Return a time during the first run's call of an item."""
    return CALLED + timedelta(seconds=number + 0.4)


def called(conn: connection, dsn: str, keys: Sequence[str], **opening: Any) -> SetRef:
    """Let a run call items one after another, long ago."""
    before = CALLED - timedelta(days=1)
    ref = open_run(conn, **opening)
    enqueue(conn, ref, [written(key, before) for key in keys])
    (batch,) = batches.plan(conn, ref, 1, most_items=10**6, fewest_items=10**6)
    with closing(taken(dsn, batch_id=batch.batch_id)) as lease:
        made = calls_of(lease)
        lease.settle(Settlement(), made)
        lease.settle(success(*made), [])
        lease.release(done=True)
    close_run(conn, ref, ALL_LIVE)
    say(
        conn,
        """
        UPDATE retrofill.invocation SET
            sent_at = %(called)s::timestamptz + call_no * interval '1 s' - interval '1 s',
            ended_at = %(called)s::timestamptz + call_no * interval '1 s' - interval '1 s'
                + interval '0.5 s';
        UPDATE retrofill.results SET settled_at = ended_at
        FROM retrofill.invocation WHERE invocation.call_no = results.call_no;
        UPDATE retrofill.batch SET planned_at = %(called)s;
        UPDATE retrofill.run SET
            opened_at = %(called)s, closed_at = (SELECT max(ended_at) FROM retrofill.invocation)
        """,
    )
    return ref


def say(conn: connection, statement: str) -> None:
    with conn, conn.cursor() as cur:
        cur.execute(statement, {"called": CALLED})


def second(conn: connection, items: Sequence[Item], **opening: Any) -> SetRef:
    """Open the next day's run, which lists items."""
    ref = open_run(conn, "second", **opening)
    enqueue(conn, ref, items)
    say(
        conn,
        """
        UPDATE retrofill.run SET opened_at = %(called)s::timestamptz + interval '1 day'
        WHERE run_id = (SELECT max(run_id) FROM retrofill.run)
        """,
    )
    return ref


def stopped(conn: connection, state_dsn: str, ref: SetRef) -> str:
    """Return why a run stops before its first call; none of its listed items may be left."""
    with pytest.raises(RunIncomplete) as error:
        plan_batches(conn, ref, ALL_LIVE)
    with pytest.raises(RunIncomplete):
        close_run(conn, ref, ALL_LIVE)
    report = runs.get_report(conn, ref.run_id)
    assert report.stop_reason == str(error.value)
    assert (report.status, report.calls, report.items_left) == ("incomplete", 0, 0)
    assert report.withdrawn == report.new + report.resumed > 0
    assert "withdrawn" in report.missing
    assert keys_in(conn, "in_process") == []
    assert invariants.check_now(state_dsn, "job") == []
    return report.stop_reason


def goes_on(conn: connection, ref: SetRef) -> None:
    """Check that a run is not stopped."""
    assert plan_batches(conn, ref, ALL_LIVE) != []
    assert runs.get_report(conn, ref.run_id).stop_reason is None


OUTPUTS = {
    "an extension added": lambda key: [f"{key}.json"],
    "an extension replaced": lambda key: [key.replace(".jpg", ".webp")],
    "another folder": lambda key: [key.replace("in/", "out/")],
    "a folder in front": lambda key: [f"thumbs/{key}"],
    "a word behind": lambda key: [key.replace(".jpg", "_thumb.jpg")],
    "two an object": lambda key: [key.replace(".jpg", "-s.jpg"), key.replace(".jpg", "-m.jpg")],
    "the same key again": lambda key: [key],
}


@pytest.mark.parametrize("outputs", OUTPUTS.values(), ids=OUTPUTS)
def test_outputs_of_the_previous_run_are_not_called(
    conn: connection, state_dsn: str, outputs: Any
) -> None:
    called(conn, state_dsn, PHOTOS)
    made = [
        written(key, while_called(number), "output")
        for number, photo in enumerate(PHOTOS)
        for key in outputs(photo)
    ]
    reason = stopped(conn, state_dsn, second(conn, made))
    assert reason.startswith(f"{FED}{len(made)} of {len(made)} new items have the names of items")
    first = outputs(PHOTOS[0])[0]
    assert f"{first!r} for {PHOTOS[0]!r}" in reason
    assert "allow_feedback" in reason


def test_names_in_any_script_are_compared(conn: connection, state_dsn: str) -> None:
    photos = [f"写真/東京 {name}_é🦆.jpg" for name in "あいうえおかきくけこ"]
    called(conn, state_dsn, photos)
    made = [
        written(photo.replace(".jpg", "_縮小.webp"), while_called(number))
        for number, photo in enumerate(photos)
    ]
    assert f"{made[0].key!r} for {photos[0]!r}" in stopped(conn, state_dsn, second(conn, made))


def test_outputs_among_equally_many_originals_are_noticed(conn: connection, state_dsn: str) -> None:
    called(conn, state_dsn, PHOTOS)
    noon = CALLED + timedelta(hours=12)
    new = [written(f"in/new-{number:03}.jpg", noon) for number in range(60)]
    made = [written(f"{photo}.json", while_called(at)) for at, photo in enumerate(PHOTOS)]
    ref = second(conn, sorted([*made, *new]))
    assert stopped(conn, state_dsn, ref).startswith(f"{FED}20 of 80 new items")


def test_a_sample_is_enough(
    conn: connection, state_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrofill.pipeline.feedback.SAMPLE", 60)
    monkeypatch.setattr("retrofill.pipeline.feedback.LOOKED_UP", 30)
    photos = [f"in/{number:03}.jpg" for number in range(300)]
    called(conn, state_dsn, photos)
    made = [written(f"{photo}.json", while_called(at)) for at, photo in enumerate(photos)]
    assert stopped(conn, state_dsn, second(conn, made)).startswith(
        f"{FED}about 300 of 300 new items"
    )


def test_unplanned_items_of_an_earlier_run_are_withdrawn(conn: connection, state_dsn: str) -> None:
    called(conn, state_dsn, PHOTOS)
    made = [written(f"{photo}.json", while_called(at)) for at, photo in enumerate(PHOTOS)]
    broken = second(conn, made)
    close(conn, broken.run_id, complete=False)
    third = open_run(conn, "third")
    enqueue(conn, third, [written("in/new.jpg", CALLED + timedelta(days=1))])
    assert stopped(conn, state_dsn, third).startswith(f"{FED}20 of 21 new items")
    report = runs.get_report(conn, third.run_id)
    assert (report.new, report.resumed, report.withdrawn) == (1, 20, 21)


def test_planned_items_stay(conn: connection, state_dsn: str) -> None:
    called(conn, state_dsn, PHOTOS)
    made = [written(f"{photo}.json", while_called(at)) for at, photo in enumerate(PHOTOS)]
    ref = second(conn, made)
    batches.plan(conn, ref, 1, most_items=10**6, fewest_items=10**6)
    say(conn, "UPDATE retrofill.extent SET whole = true")
    assert plan_batches(conn, ref, ALL_LIVE), "one of its batches may have been called"


def test_a_run_that_excludes_outputs_continues_after_one_that_did_not(
    conn: connection, state_dsn: str
) -> None:
    called(conn, state_dsn, PHOTOS)
    made = [written(f"{photo}.json", while_called(at)) for at, photo in enumerate(PHOTOS)]
    new = written("in/new.jpg", CALLED + timedelta(hours=12))
    stopped(conn, state_dsn, second(conn, [*made, new]))
    third = open_run(conn, "third")
    enqueue(conn, third, [new])
    goes_on(conn, third)
    assert keys_in(conn, "in_process") == ["in/new.jpg"]


def test_feedback_may_be_allowed(conn: connection, state_dsn: str) -> None:
    called(conn, state_dsn, PHOTOS)
    made = [written(f"{photo}.json", while_called(at)) for at, photo in enumerate(PHOTOS)]
    goes_on(conn, second(conn, made, config={"allow_feedback": True}))


def test_a_job_of_another_name_is_the_same_backfill(conn: connection, state_dsn: str) -> None:
    called(conn, state_dsn, PHOTOS)
    made = [written(f"{photo}.json", while_called(at)) for at, photo in enumerate(PHOTOS)]
    for name, function, stops in (("scan", "another", False), ("renamed", "f", True)):
        job = runs.remember_job(conn, Job(name, name * 8, "s3://bucket", function, "s3"))
        ref = runs.open_run(conn, new_run(job, name), FUNCTION)
        runs.add_partitions(conn, ref.run_id, [(0, "part", {})])
        enqueue(conn, ref, made)
        if stops:
            with pytest.raises(RunIncomplete, match="20 of 20 new items"):
                plan_batches(conn, ref, ALL_LIVE)
        else:
            assert plan_batches(conn, ref, ALL_LIVE), "another function may process outputs"


def test_forgotten_calls_count_with_the_functions_timeout(conn: connection, state_dsn: str) -> None:
    called(conn, state_dsn, PHOTOS)
    say(conn, "DELETE FROM retrofill.invocation")
    made = [written(f"{photo}.json", while_called(at)) for at, photo in enumerate(PHOTOS)]
    assert stopped(conn, state_dsn, second(conn, made)).startswith(f"{FED}20 of 20 new items")


def test_outputs_of_quarantined_items_are_noticed(conn: connection, state_dsn: str) -> None:
    called(conn, state_dsn, PHOTOS)
    say(
        conn,
        """
        INSERT INTO retrofill.quarantine (
            job_id, item_key, identifier, run_id, batch_id, call_no, attempts, failures, unsure,
            request_id, error_type, error, quarantined_at
        )
        SELECT job_id, item_key, identifier, run_id, batch_id, call_no, 3, 3, false, '', 'E', 'e',
            settled_at
        FROM retrofill.results;
        UPDATE retrofill.batch SET quarantined = succeeded, succeeded = 0;
        DELETE FROM retrofill.results
        """,
    )
    made = [written(f"{photo}.json", while_called(at)) for at, photo in enumerate(PHOTOS)]
    assert stopped(conn, state_dsn, second(conn, made)).startswith(f"{FED}20 of 20 new items")


HOUR = timedelta(hours=1)
OF_PEOPLE = {
    "others of these names, uploaded the next hour": [
        written(photo.replace(".jpg", "-2.jpg"), while_called(number) + HOUR)
        for number, photo in enumerate(PHOTOS)
    ],
    "thumbnails that were uploaded with the originals": [
        written(f"thumbs/{photo}", CALLED - timedelta(days=1)) for photo in PHOTOS
    ],
    "uploads by a live source while the run called": [
        written(f"in/new-{number}.jpg", while_called(number)) for number in range(20)
    ],
    "the next day's files, with the names of each day": [
        written(photo.replace("in/", "2026-01-03/"), while_called(number))
        for number, photo in enumerate(PHOTOS)
    ],
    "files of a folder a day, some by chance in time": [
        written(photo.replace("in/", "other/"), while_called(number * 40))
        for number, photo in enumerate(PHOTOS)
    ],
    "files that somebody changes all the time": [
        written(photo, while_called(number) + HOUR, "changed")
        for number, photo in enumerate(PHOTOS)
    ],
    "logs of the next days": [
        written(f"logs/2026-01-{3 + number:02}.log", while_called(number)) for number in range(20)
    ],
    "some outputs among very many others": [
        *(written(f"in/{number:03}.jpg.json", while_called(number)) for number in range(9)),
        *(written(f"in/new-{number}.jpg", CALLED + HOUR) for number in range(100)),
    ],
    "two variants, by chance in time": [
        written("in/001-2.jpg", while_called(1)), written("in/002-2.jpg", while_called(2)),
    ],
}  # fmt: skip


@pytest.mark.parametrize("items", OF_PEOPLE.values(), ids=OF_PEOPLE)
def test_files_of_other_origin_stop_no_run(
    conn: connection, state_dsn: str, items: list[Item]
) -> None:
    dated = [photo.replace("in/", "2026-01-02/") for photo in PHOTOS]
    logs = [f"logs/2026-01-{1 + number:02}.log" for number in range(2)]
    called(conn, state_dsn, [*dated, *PHOTOS, *logs])
    # Calls are in order of key: those of photos come after those of dated keys.
    shifted = [one for one in items if one.key.startswith("2026")]
    later = [one if one in shifted else _later(one, len(dated)) for one in sorted(set(items))]
    goes_on(conn, second(conn, later))


def _later(one: Item, seconds: int) -> Item:
    size, moment, *rest = one.content.split("\x1f")
    return one._replace(content="\x1f".join([size, str(float(moment) + seconds), *rest]))


def test_outputs_counted_as_later_stop_the_next_set(conn: connection, state_dsn: str) -> None:
    first = called(conn, state_dsn, PHOTOS[:10], max_items=10)
    say(conn, "UPDATE retrofill.run SET status = 'open', closed_at = NULL")
    say(conn, "UPDATE retrofill.partition SET done = false")
    made = [written(f"{photo}.out", while_called(at)) for at, photo in enumerate(PHOTOS[:10])]
    note_later(conn, first.run_id, 0, made)
    note_later(conn, first.run_id, 0, made)
    ref = open_next_set(conn, first, max_items=10)
    enqueue(conn, ref, [written(photo, CALLED - HOUR) for photo in PHOTOS[10:]])
    with pytest.raises(RunIncomplete, match="10 of 10 items modified after"):
        plan_batches(conn, ref, ALL_LIVE)
    with pytest.raises(RunIncomplete):
        close_run(conn, ref, ALL_LIVE)
    report = runs.get_report(conn, ref.run_id)
    assert (report.status, report.calls, report.withdrawn) == ("incomplete", 10, 10)
    assert invariants.check_now(state_dsn, "job") == []


def test_new_live_objects_do_not_stop_the_next_set(conn: connection, state_dsn: str) -> None:
    first = called(conn, state_dsn, PHOTOS[:10], max_items=10)
    say(conn, "UPDATE retrofill.run SET status = 'open', closed_at = NULL")
    say(conn, "UPDATE retrofill.partition SET done = false")
    live = [written(f"in/live-{number}.jpg", while_called(number)) for number in range(10)]
    note_later(conn, first.run_id, 0, live)
    ref = open_next_set(conn, first, max_items=10)
    enqueue(conn, ref, [written(photo, CALLED - HOUR) for photo in PHOTOS[10:]])
    goes_on(conn, ref)


def nameless(number: int, moment: datetime) -> Item:
    return written(f"out/{number * 7919 % 10_007:05}{number % 7}.bin", moment)


def test_outputs_with_unrelated_names_are_noticed_by_number_and_time(
    conn: connection, state_dsn: str
) -> None:
    photos = [f"in/{number:03}.jpg" for number in range(200)]
    called(conn, state_dsn, photos)
    made = sorted(nameless(at, while_called(at)) for at in range(200))
    new = [written(f"in/new-{number}.jpg", CALLED + number * HOUR / 20) for number in range(200)]
    reason = stopped(conn, state_dsn, second(conn, sorted([*new, *made])))
    assert "new items were written while run 1 made 200 calls with 200 items" in reason


@pytest.mark.parametrize(
    ("count", "moment"),
    [
        pytest.param(200, lambda at: while_called(at // 20), id="in a burst"),
        pytest.param(150, while_called, id="another number"),
        pytest.param(200, lambda at: while_called(at) + HOUR, id="another time"),
    ],
)
def test_uploads_of_another_number_or_pace_stop_no_run(
    conn: connection, state_dsn: str, count: int, moment: Any
) -> None:
    called(conn, state_dsn, [f"in/{number:03}.jpg" for number in range(200)])
    goes_on(conn, second(conn, sorted(nameless(at, moment(at)) for at in range(count))))


def test_the_first_run_of_a_job_needs_no_lookup(
    conn: connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr("retrofill.state.feedback.find_origins", never)
    monkeypatch.setattr("retrofill.state.feedback.get_pace", never)
    goes_on(conn, second(conn, [item(photo) for photo in PHOTOS]))


def test_items_that_another_open_run_waits_for_are_left_to_its_own_check(
    conn: connection, state_dsn: str
) -> None:
    called(conn, state_dsn, PHOTOS)
    made = [written(f"{photo}.json", while_called(at)) for at, photo in enumerate(PHOTOS)]
    ref = second(conn, made)
    parallel = open_run(conn, "parallel")
    enqueue(conn, parallel, made)
    with pytest.raises(RunIncomplete, match="20 of 20 new items"):
        plan_batches(conn, ref, ALL_LIVE)
    close(conn, ref.run_id, complete=False)
    assert len(keys_in(conn, "in_process")) == 20
    with pytest.raises(RunIncomplete, match="20 of 20 new items"):
        plan_batches(conn, parallel, ALL_LIVE)
    report = runs.get_report(conn, parallel.run_id)
    assert (report.known, report.resumed, report.withdrawn, report.items_left) == (20, 20, 20, 0)
    assert keys_in(conn, "in_process") == []
    assert invariants.check_now(state_dsn, "job") == []


def test_items_that_a_closed_run_waits_for_are_not_withdrawn(
    conn: connection, state_dsn: str
) -> None:
    """After it is cleared, it must not be complete without these items."""
    called(conn, state_dsn, PHOTOS)
    made = [written(f"{photo}.json", while_called(at)) for at, photo in enumerate(PHOTOS)]
    ref = second(conn, made)
    third = open_run(conn, "third")
    enqueue(conn, third, made)
    close(conn, third.run_id, complete=False)
    with pytest.raises(RunIncomplete, match="feed"):
        plan_batches(conn, ref, ALL_LIVE)
    with pytest.raises(RunIncomplete):
        close_run(conn, ref, ALL_LIVE)
    runs.reopen(conn, third.run_id)
    assert [(one.items, one.free) for one in others.look(conn, third.run_id)] == [(20, True)]
    assert invariants.check_now(state_dsn, "job") == []
