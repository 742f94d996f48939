"""Triage on a real Postgres: groups by error, counts, and the items of a redrive."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg2.extensions import connection
from retrofill.engine.fit import Range
from retrofill.model.errors import ConfigError
from retrofill.model.globs import as_regex, matches
from retrofill.model.selection import Place, Selection
from retrofill.pipeline.ask_redrive import ask
from retrofill.state import runs, triage
from retrofill.state.connection import connect
from retrofill.state.redrives import NewRedrive, list_redrives
from retrofill.state.runs import open_run
from retrofill.state.statements import load
from retrofill.state.triage import Keys, count, groups

from tests.integration.opened import FUNCTION, close, enqueue, item, new_run
from tests.integration.opened import open_run as opened_run
from tests.integration.test_redrive import KEYS, give_up, quarantined

NOW = datetime.now(UTC)
SIGNS = "ab-!^[]*?\\.$ \n|é"


@pytest.fixture
def conn(state_dsn: str) -> Iterator[connection]:
    with closing(connect(state_dsn)) as opened:
        yield opened


def results(conn: connection, keys: list[str], run_id: int = 1) -> None:
    with conn, conn.cursor() as cur:
        cur.execute(
            "INSERT INTO retrofill.results SELECT 1, key, md5(key)::uuid, %s, 1, 1, 1, now()"
            " FROM unnest(%s) AS key",
            (run_id, keys),
        )


def test_quarantine_is_grouped_by_error_with_its_last_items(
    state_dsn: str, conn: connection
) -> None:
    quarantined(state_dsn, conn)
    with conn, conn.cursor() as cur:
        cur.execute(
            "UPDATE retrofill.quarantine SET error_type = 'Rare', unsure = true,"
            " quarantined_at = now() WHERE item_key = 'in/00'"
        )
        cur.execute(
            "UPDATE retrofill.quarantine SET quarantined_at = now() + interval '1 h'"
            " WHERE item_key = 'in/03'"
        )
    found = groups(conn, 1, Selection())
    assert found is not None
    assert [(one.error_type, one.items, one.unsure, one.is_cut) for one in found] == [
        ("Even.Error", 5, 0, False), ("Odd.Error", 4, 0, False), ("Rare", 1, 1, False),
    ]  # fmt: skip
    (rare,) = found[2].examples
    assert (rare.key, rare.error, rare.request_id, rare.version) == ("in/00", "no", "r", "1")
    assert len(found[0].examples) == triage.EXAMPLES
    assert found[0].examples[0].key == "in/03", "the last one first"
    assert found[0].first_at <= found[0].last_at


@pytest.mark.parametrize(
    ("selection", "items"),
    [
        (Selection(error="Odd*"), {"Odd.Error": 5}),
        (Selection(error="Odd*|Even.Error", key="in/0[01]"), {"Odd.Error": 1, "Even.Error": 1}),
        (Selection(version="1"), {"Odd.Error": 5, "Even.Error": 5}),
        (Selection(version="2"), {}),
        (Selection(unsure=True), {}),
        (Selection(after=NOW - timedelta(days=1)), {"Odd.Error": 5, "Even.Error": 5}),
        (Selection(before=NOW - timedelta(days=1)), {}),
    ],
)
def test_a_selection_narrows_groups_and_count_alike(
    state_dsn: str, conn: connection, selection: Selection, items: dict[str, int]
) -> None:
    quarantined(state_dsn, conn)
    found = groups(conn, 1, selection)
    assert {one.error_type: one.items for one in found or ()} == items
    assert count(conn, 1, selection) == sum(items.values())
    assert groups(conn, 2, selection) == []


def test_the_version_is_the_one_that_executed_the_call(state_dsn: str, conn: connection) -> None:
    quarantined(state_dsn, conn)
    with conn, conn.cursor() as cur:
        cur.execute("UPDATE retrofill.invocation SET executed_version = '7' WHERE call_no = 1")
        cur.execute("UPDATE retrofill.invocation SET executed_version = '' WHERE call_no = 2")
        cur.execute("UPDATE retrofill.quarantine SET call_no = 99 WHERE call_no = 3")
    assert count(conn, 1, Selection(version="7")) == 1
    assert count(conn, 1, Selection(version="1")) == 9, "the run's version, if no call has one"
    assert count(conn, 1, Selection(version="7"), Keys("in/01")) == 0


def test_the_number_of_items_read_per_error_is_limited(
    state_dsn: str, conn: connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    quarantined(state_dsn, conn)
    monkeypatch.setattr(triage, "LOOKED_AT", 3)
    found = groups(conn, 1, Selection())
    assert [(one.items, one.is_cut) for one in found or ()] == [(3, True), (3, True)]
    monkeypatch.setattr(triage, "ERRORS", 1)
    assert [one.error_type for one in groups(conn, 1, Selection()) or ()] == ["Even.Error"]


def test_a_query_that_takes_too_long_is_cancelled(
    conn: connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = {
        "limit_time": load("triage.sql")["limit_time"],
        "count_quarantined": "SELECT pg_sleep(9)",
    }
    monkeypatch.setattr(triage, "_SQL", slow)
    monkeypatch.setattr(triage, "COUNT_S", 1)
    assert count(conn, 1, Selection()) is None
    monkeypatch.undo()
    assert count(conn, 1, Selection()) == 0, "the connection is still usable"


def test_successes_are_counted_by_key_time_and_version(conn: connection) -> None:
    opened_run(conn)
    results(conn, ["in/1", "in/2", "out/1"])
    asked = Selection(place=Place.SUCCESSES, key="in/*")
    assert count(conn, 1, asked) == 2
    assert count(conn, 1, Selection(place=Place.SUCCESSES, version="1")) == 3
    assert count(conn, 1, Selection(place=Place.SUCCESSES, version="2")) == 0
    assert count(conn, 1, Selection(place=Place.SUCCESSES, before=NOW - timedelta(days=1))) == 0


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.tuples(st.text(SIGNS, min_size=1, max_size=8), st.text(SIGNS, max_size=5)),
        min_size=20,
        max_size=40,
    )
)
@example([("[a-c-e]", "d"), ("[]-a]", "-"), ("[--b]", "a"), ("[!]a]*", "b"), ("a|", "")])
def test_a_pattern_means_the_same_in_postgres(
    conn: connection, pairs: list[tuple[str, str]]
) -> None:
    with conn, conn.cursor() as cur:
        cur.execute(
            "SELECT text ~ regex FROM unnest(%s, %s) AS asked (text, regex)",
            ([text for _, text in pairs], [as_regex(pattern) for pattern, _ in pairs]),
        )
        said = [row[0] for row in cur.fetchall()]
    assert said == [matches(pattern)(text) for pattern, text in pairs]


def test_a_redrive_is_counted_forecast_and_configured_like_the_last_run(
    state_dsn: str, conn: connection
) -> None:
    config = {
        "prefix": "in/",
        "key_glob": "*",
        "min_size": 3,
        "canary": 5,
        "max_attempts": 7,
        "approve": True,
    }
    ref = opened_run(conn, config=config)
    enqueue(conn, ref, [item(key) for key in KEYS])
    give_up(state_dsn, conn, ref)
    close(conn, ref.run_id, complete=True)
    with conn, conn.cursor() as cur:
        cur.execute("UPDATE retrofill.batch SET cost = 0.5")
    selection = Selection(error="Odd.Error")
    assert ask(conn, "job", selection).cost is None, "its price is unknown"
    with conn, conn.cursor() as cur:
        cur.execute("""UPDATE retrofill.run SET price = '{"most_per_call": 0.1}'""")
    asked = ask(conn, "job", selection, "fixed")
    assert (asked.items, asked.cost, asked.dag_id) == (5, Range(0.25, 0.25, 0.25), "d")
    carried = {"redrive", "redrive_error", "redrive_note", "job", "max_attempts"}
    assert {name: asked.params[name] for name in carried} == {
        "redrive": "quarantine", "redrive_error": "Odd.Error", "redrive_note": "fixed",
        "job": "job", "max_attempts": 7,
    }  # fmt: skip
    given_up = {name: asked.params[name] for name in ("prefix", "key_glob", "min_size", "canary")}
    assert given_up == {"prefix": "", "key_glob": None, "min_size": None, "canary": None}
    assert asked.params["approve"] is False, "the user has confirmed the redrive"
    listing = ask(conn, "job", Selection(place=Place.SUCCESSES, version="1")).params
    assert (listing["prefix"], listing["min_size"], listing["canary"]) == ("in/", 3, None)
    assert listing["approve"] is True, "new items are called, too, and were not confirmed"


def test_only_successes_with_keys_of_the_last_run_are_counted(conn: connection) -> None:
    """Otherwise a run that lists less than intended would be green without redriving anything."""
    opened_run(conn, config={"prefix": "in/"})
    results(conn, ["in/a.jpg", "in/b.png", "out/c.jpg"])
    everything = Selection(place=Place.SUCCESSES, key="*")
    assert ask(conn, "job", everything).items == 2
    opened_run(conn, "again", config={"prefix": "in/", "key_glob": "*.png"})
    assert ask(conn, "job", everything).items == 1
    assert ask(conn, "job", Selection(place=Place.SUCCESSES, key="out/*")).items == 0


def test_items_outside_all_intervals_are_not_listed_for_a_redrive(conn: connection) -> None:
    for day in (3, 1, 2):
        start = datetime(2026, 1, day, tzinfo=UTC)
        opened_run(
            conn,
            f"day {day}",
            config={"use_data_interval": True},
            interval_start=start,
            modified_after=start - timedelta(hours=24),
            modified_before=start + timedelta(hours=24),
        )
    params = ask(conn, "job", Selection(place=Place.SUCCESSES, key="*")).params
    window = [params[name] for name in ("modified_after", "modified_before", "use_data_interval")]
    assert window == ["2025-12-31T00:00:00+00:00", "2026-01-04T00:00:00+00:00", False]
    quarantine = ask(conn, "job", Selection()).params
    assert (quarantine["modified_after"], quarantine["modified_before"]) == (None, None)


def test_items_counted_but_not_redriven_are_reported(conn: connection) -> None:
    opened_run(conn)
    asked = NewRedrive(Selection(place=Place.SUCCESSES, key="*"), "fixed", "ada", 7, None)
    ref = open_run(conn, new_run(1, "again", config={"redrive": "successes"}), FUNCTION, asked)
    with conn, conn.cursor() as cur:
        cur.execute("UPDATE retrofill.run_set SET redriven = 5 WHERE run_id = %s", (ref.run_id,))
    close(conn, ref.run_id, complete=True)
    report = runs.get_report(conn, ref.run_id)
    assert (report.redriven, report.redrive_counted, report.not_redriven) == (5, 7, 2)
    assert "redriven    5 that had succeeded, of those known, of 7 counted" in report.as_text({})
    assert report.to_do.startswith("2 items of those to redrive not redriven: check whether")


@pytest.mark.parametrize(
    ("job", "selection", "says"),
    [
        ("other", Selection(), "job: there is no job 'other'"),
        ("job", Selection(), "job: no run of 'job' has listed its source"),
    ],
)
def test_impossible_redrives_are_explained(
    conn: connection, job: str, selection: Selection, says: str
) -> None:
    opened_run(conn, config={"redrive": "quarantine"})
    with pytest.raises(ConfigError, match=says):
        ask(conn, job, selection)


def test_a_redrive_is_recorded_with_the_result_of_its_run(conn: connection) -> None:
    opened_run(conn)
    asked = NewRedrive(Selection(error="Odd*"), "fixed", "ada", 7, Range(0.5, None, 1.0))
    ref = open_run(conn, new_run(1, "again", config={"redrive": "quarantine"}), FUNCTION, asked)
    (kept,) = list_redrives(conn, 1)
    assert (kept.selection, kept.note, kept.asked_by, kept.counted, kept.forecast) == asked
    assert (kept.run_id, kept.status, kept.moved, kept.dag_run_id) == (
        ref.run_id, "open", 0, "again",
    )  # fmt: skip
    assert list_redrives(conn, 2) == []
    assert asked.text == "7 items of quarantine: error Odd*; cost $0.50 to $1.00, asked by ada"
