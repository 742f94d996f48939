"""Every problem with the state is reported before anything is done, with its fix."""

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
from psycopg2 import sql
from psycopg2.extensions import connection
from retrofill.connections import open_state
from retrofill.model.calls import Call, EndedCall, Settlement
from retrofill.model.errors import (
    SchemaMismatch,
    StateError,
    StateNotConfigured,
    StateUnavailable,
    StateUnfit,
)
from retrofill.state import batches, runs
from retrofill.state.connection import connect
from retrofill.state.grants import RUNTIME, statements
from retrofill.state.lease import BatchLease
from retrofill.state.migrate import Migration, migrate, migrations, require_current

from stack.services import Postgres, free_port, running
from tests.fault_proxy import fault_proxy
from tests.integration.opened import enqueue, entries_of, item, keys_in, open_run

SERIALIZABLE = {b"ISOLATION LEVEL READ COMMITTED": b"ISOLATION LEVEL  SERIALIZABLE "}
PASSWORD = "pass-word-of-the-test"  # noqa: S105


def say(dsn: str, *wanted: str | sql.SQL | sql.Composed) -> list[tuple[object, ...]]:
    """Run each statement separately; return the rows of the last."""
    with closing(psycopg2.connect(dsn)) as conn:
        conn.autocommit = True
        with conn.cursor() as cur:
            for statement in wanted:
                cur.execute(statement)
            return cur.fetchall() if cur.description else []


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that makes a URI Airflow's connection retrofill_state."""
    return lambda uri: monkeypatch.setenv("AIRFLOW_CONN_RETROFILL_STATE", uri)


@pytest.fixture
def administrator(postgres: Postgres) -> str:
    return postgres.dsn("postgres")


@pytest.fixture
def role(postgres: Postgres, state_dsn: str) -> Iterator[str]:
    """A role without privileges; its URI to the state."""
    database = state_dsn.rpartition("/")[2]
    owner = postgres.dsn(database)
    say(owner, "CREATE ROLE somebody LOGIN PASSWORD 'test'")
    yield postgres.dsn(database, role="somebody")
    say(owner, "DROP OWNED BY somebody", "DROP ROLE somebody")


def refused(kind: type[StateError], *words: str) -> None:
    """Open the state like every task."""
    with pytest.raises(kind) as found, open_state():
        pytest.fail("it was opened")
    assert type(found.value) is kind
    assert [word for word in words if word not in str(found.value)] == []


def test_a_missing_connection_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_RETROFILL_STATE", raising=False)
    refused(StateNotConfigured, "no connection 'retrofill_state'", "define it")


def test_a_connection_to_something_else_is_reported(named: Callable[[str], None]) -> None:
    named(f"mysql://retrofill:{PASSWORD}@127.0.0.1/retrofill")
    refused(StateNotConfigured, "is of type 'mysql'", "of type 'postgres'")


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        (f"postgresql://r:{PASSWORD}@127.0.0.1/r?colour=red", 'invalid URI query parameter: "col'),
        (f"postgresql://r:{PASSWORD}@[127.0.0.1/r", "is none of Postgres\n"),
        (f"host=127.0.0.1 password {PASSWORD}", "is none of Postgres\n"),
    ],
)
def test_a_connection_that_libpq_cannot_read_is_reported_without_its_password(
    uri: str, said: str
) -> None:
    with pytest.raises(StateNotConfigured) as found:
        connect(uri)
    assert said in str(found.value)
    assert "What to do: " in str(found.value)
    assert PASSWORD not in str(found.value)


def test_a_server_that_is_down_is_reported(named: Callable[[str], None]) -> None:
    named(f"postgresql://retrofill:{PASSWORD}@127.0.0.1:{free_port()}/retrofill")
    refused(StateUnavailable, "cannot be reached", "retrofill_state", "refused", "start the server")


def test_a_wrong_password_is_reported_and_not_shown(
    named: Callable[[str], None], state_dsn: str
) -> None:
    named(state_dsn.replace(":test@", f":{PASSWORD}@"))
    with (
        pytest.raises(StateUnavailable, match="password authentication failed") as found,
        open_state(),
    ):
        pass
    assert PASSWORD not in str(found.value)


def test_a_missing_schema_is_reported(
    named: Callable[[str], None], postgres: Postgres, administrator: str
) -> None:
    say(administrator, "CREATE DATABASE bare TEMPLATE template0")
    try:
        named(postgres.dsn("bare"))
        refused(SchemaMismatch, "at version 0", "python -m retrofill db migrate")
    finally:
        say(administrator, "DROP DATABASE bare WITH (FORCE)")


def test_an_older_schema_is_reported(named: Callable[[str], None], state_dsn: str) -> None:
    last = migrations()[-1].number
    say(state_dsn, f"DELETE FROM retrofill.migration WHERE number = {last}")  # noqa: S608
    named(state_dsn)
    refused(SchemaMismatch, f"this code needs {last}", "python -m retrofill db migrate")


def test_a_newer_schema_is_reported_unless_it_is_compatible(
    named: Callable[[str], None], state_dsn: str
) -> None:
    known = migrations()
    own = known[-1].number
    named(state_dsn)
    suits = Migration(own + 1, "suits.sql", f"-- oldest code: {own:04}\nSELECT")
    migrate(state_dsn, [*known, suits])
    with open_state() as conn:
        require_current(conn)
    own_only = Migration(own + 2, "own_only.sql", "SELECT")
    migrate(state_dsn, [*known, suits, own_only])
    refused(SchemaMismatch, f"code of version {own + 2} or newer", f"of version {own}", "deploy")
    with pytest.raises(SchemaMismatch, match="run the newer code"):
        migrate(state_dsn)


def test_a_role_without_privileges_is_reported(named: Callable[[str], None], role: str) -> None:
    named(role)
    refused(StateUnfit, "the role somebody may not", *statements("somebody", RUNTIME))


def test_each_missing_privilege_is_reported_with_its_grant(
    named: Callable[[str], None], role: str, state_dsn: str
) -> None:
    named(role)
    grants = [f"GRANT {privileges} ON {name} TO somebody" for name, privileges in RUNTIME.items()]
    say(state_dsn, "GRANT USAGE ON SCHEMA retrofill TO somebody", *grants)
    with open_state():
        pass
    for name, privileges in RUNTIME.items():
        if name == "retrofill.migration":
            continue
        for privilege in privileges.split(", "):
            say(state_dsn, f"REVOKE {privilege} ON {name} FROM somebody")
            grant = f'GRANT {privilege} ON {name} TO "somebody";'
            refused(StateUnfit, "the role somebody may not", grant)
            say(state_dsn, grant)
            with open_state():
                pass


@pytest.mark.parametrize("level", ["repeatable read", "serializable", "read uncommitted"])
def test_a_default_isolation_level_does_not_reach_a_transaction(
    state_dsn: str, role: str, level: str
) -> None:
    say(state_dsn, "GRANT USAGE ON SCHEMA retrofill TO somebody")
    with closing(psycopg2.connect(role)) as conn, conn.cursor() as cur:
        set_role = sql.SQL("ALTER ROLE somebody SET default_transaction_isolation TO {}")
        cur.execute(set_role.format(sql.Literal(level)))
        conn.commit()
    with closing(psycopg2.connect(role)) as conn, conn.cursor() as cur:
        cur.execute("SHOW transaction_isolation")
        assert cur.fetchone() == (level,), "the default applies to others"
    with closing(connect(role)) as conn, conn, conn.cursor() as cur:
        cur.execute("SHOW transaction_isolation")
        assert cur.fetchone() == ("read committed",)


def test_an_isolation_level_changed_by_a_pooler_is_reported(state_dsn: str) -> None:
    with fault_proxy(state_dsn) as proxy:
        proxy.toxics.asked.update(SERIALIZABLE)
        with pytest.raises(StateUnfit, match=r"asked for at read committed .* at serializable"):
            connect(proxy.before(state_dsn))
        proxy.toxics.asked.clear()
        connect(proxy.before(state_dsn)).close()


def test_nothing_is_enqueued_if_the_isolation_level_changes_later(state_dsn: str) -> None:
    with fault_proxy(state_dsn) as proxy, closing(connect(proxy.before(state_dsn))) as conn:
        ref = open_run(conn)
        proxy.toxics.asked.update(SERIALIZABLE)
        with pytest.raises(StateUnfit, match="serializable"):
            enqueue(conn, ref, [item("a")])
        proxy.toxics.asked.clear()
        assert keys_in(conn, "in_process") == []
        assert enqueue(conn, ref, [item("a")]).new == 1


def test_a_server_that_is_too_old_is_reported(state_dsn: str) -> None:
    with closing(psycopg2.connect(state_dsn)) as conn:
        version = str(conn.info.server_version).encode()
    with fault_proxy(state_dsn) as proxy:
        proxy.toxics.answered[version] = b"130012"
        with pytest.raises(StateUnfit, match=r"version 13; 14 is the oldest [\s\S]* newer server"):
            connect(proxy.before(state_dsn))


def test_another_encoding_is_reported_before_the_migration(
    postgres: Postgres, administrator: str
) -> None:
    make = "CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'"
    say(administrator, make)
    try:
        with pytest.raises(StateUnfit, match=r"encoded in LATIN1[\s\S]*ENCODING 'UTF8'"):
            migrate(postgres.dsn("latin"))
        assert say(postgres.dsn("latin"), "SELECT to_regnamespace('retrofill')") == [(None,)]
    finally:
        say(administrator, "DROP DATABASE latin WITH (FORCE)")


def test_a_role_that_cannot_write_is_reported(
    named: Callable[[str], None], role: str, administrator: str
) -> None:
    say(administrator, "ALTER ROLE somebody SET default_transaction_read_only TO on")
    named(role)
    refused(StateUnavailable, "takes no writes", "default_transaction_read_only")


def test_a_standby_is_reported(named: Callable[[str], None]) -> None:
    with tempfile.TemporaryDirectory(prefix="retrofill-standby-") as directory:
        server = Postgres(Path(directory) / "data", free_port(), password="test", durable=False)  # noqa: S106
        with running(server):
            migrate(server.dsn("postgres"))
        (server.directory / "standby.signal").touch()
        with running(server):
            named(server.dsn("postgres"))
            refused(StateUnavailable, "is a standby", "connect to the primary")


@pytest.fixture
def conn(state_dsn: str) -> Iterator[connection]:
    with closing(connect(state_dsn)) as opened:
        yield opened


def test_refused_writes_are_repeated_until_the_server_accepts_them(
    state_dsn: str, conn: connection, administrator: str
) -> None:
    ref = open_run(conn)
    enqueue(conn, ref, [item("a")])
    batches.plan(conn, ref, 1, most_items=9, fewest_items=9)
    with closing(BatchLease(state_dsn, 1, "holder")) as lease:
        assert lease.take(holder_is_dead=lambda _: False)
        call = Call.of(entries_of(lease))
        lease.settle(Settlement(), [call])
        succeeded = Settlement(
            ended=[EndedCall(call.number, "succeeded")],
            succeeded=[(span, call.number) for span in call.spans],
        )
        settling = threading.Thread(target=lease.settle, args=(succeeded, []))
        sessions = sql.SQL("SELECT sessions FROM pg_stat_database WHERE datname = {}").format(
            sql.Literal(state_dsn.rpartition("/")[2])
        )
        close = "ALTER SYSTEM SET default_transaction_read_only TO on"
        say(administrator, close, "SELECT pg_reload_conf()")
        try:
            wait_for(lambda: say(administrator, "SHOW default_transaction_read_only") == [("on",)])
            before = say(administrator, sessions)
            settling.start()
            # It was refused, and connects again to see whether that continues.
            wait_for(lambda: say(administrator, sessions) > before)
            assert settling.is_alive()
        finally:
            say(
                administrator,
                "SET default_transaction_read_only TO off",
                "ALTER SYSTEM RESET default_transaction_read_only",
                "SELECT pg_reload_conf()",
            )
        settling.join()
    assert keys_in(conn, "results") == ["a"]
    assert runs.get_report(conn, ref.run_id).succeeded == 1


def wait_for(found: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + 60
    while not found():
        assert time.monotonic() < give_up_at
        time.sleep(0.05)
