"""The connection of the state: its current fields, combined with our settings."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg2
import pytest
from psycopg2.extensions import connection, make_dsn, parse_dsn
from retrofill.connections import open_state, task_state, wiring
from retrofill.environment import EnvironmentConnections
from retrofill.model.calls import Call, EndedCall, Settlement
from retrofill.model.errors import StateFull, StateNotConfigured, StateUnavailable
from retrofill.state import batches
from retrofill.state.connection import connect
from retrofill.state.lease import BatchLease
from retrofill.state.migrate import migrate
from retrofill.wiring import Wiring

from stack.services import Postgres, free_port
from tests.integration.certificates import make_certificates
from tests.integration.opened import enqueue, entries_of, item, keys_in, open_run
from tests.integration.postgres_fronts import Pooler, TlsFront, before
from tests.integration.test_operations import run_to_its_end

VARIABLE = "AIRFLOW_CONN_RETROFILL_STATE"
GET_STARTED = Path(__file__).parents[2] / "docs/get-started.md"
RDS_PROXY = "Feature not supported: RDS Proxy currently doesn't support command-line options."

Define = Callable[..., None]


@pytest.fixture
def define(monkeypatch: pytest.MonkeyPatch, state_dsn: str) -> Define:
    """Return a function that defines Airflow's connection to the state from fields."""
    parsed = parse_dsn(state_dsn)

    def defined(*, extra: dict[str, Any], **fields: object) -> None:
        usual = {
            "conn_type": "postgres",
            "host": parsed["host"],
            "port": parsed["port"],
            "schema": parsed["dbname"],
            "login": parsed["user"],
            "password": parsed["password"],
        }
        monkeypatch.setenv(VARIABLE, json.dumps({**usual, **fields, "extra": extra}))

    return defined


def shown(conn: connection, name: str) -> str:
    with conn, conn.cursor() as cur:
        cur.execute("SELECT current_setting(%s)", (name,))
        return str(cur.fetchone()[0])


def each_wiring() -> tuple[Wiring, Wiring]:
    """Return Airflow's connections, and those of the environment without Airflow."""
    return wiring(), Wiring(EnvironmentConnections())


def test_fields_of_the_connection_are_combined_with_our_settings(define: Define) -> None:
    define(extra={
        "connect_timeout": 7,
        "keepalives": True,
        "keepalives_idle": 40,
        "application_name": "our backfill, nightly",
        "options": "-c statement_timeout=7min -c search_path=pg_catalog -c role=none",
        "cursor": "dictcursor",
        "sqlalchemy_query": {"a": {"b": 1}},
    })  # fmt: skip
    for wire in each_wiring():
        with wire.open_state() as conn:
            parsed = conn.info.dsn_parameters
            assert (parsed["connect_timeout"], parsed["keepalives"]) == ("7", "1")
            assert (parsed["keepalives_idle"], parsed["keepalives_interval"]) == ("40", "10")
            assert shown(conn, "application_name") == "our backfill, nightly"
            assert shown(conn, "statement_timeout") == "7min"
            assert shown(conn, "search_path") == "pg_catalog"
            assert shown(conn, "idle_in_transaction_session_timeout") == "1min"


def test_missing_fields_get_our_settings(define: Define, postgres: Postgres) -> None:
    define(extra={})
    with open_state() as conn:
        owner, database = conn.info.user, conn.info.dbname
    with closing(psycopg2.connect(postgres.dsn("postgres"))) as administrator:
        administrator.autocommit = True
        with administrator.cursor() as cur:
            cur.execute(
                f'ALTER ROLE "{owner}" IN DATABASE "{database}" SET TimeZone TO "Asia/Tokyo"'
            )
    with open_state() as conn:
        assert shown(conn, "application_name") == "retrofill"
        assert shown(conn, "statement_timeout") == "5min"
        assert shown(conn, "TimeZone") == "UTC"
        assert shown(conn, "client_encoding") == "UTF8"


@pytest.mark.parametrize(
    "said", [{"client_encoding": "LATIN1"}, {"options": "-c client_encoding=LATIN1"}]
)
def test_keys_keep_their_encoding_whatever_the_connection_sets(
    define: Define, said: dict[str, str]
) -> None:
    define(extra=said)
    with open_state() as conn:
        assert shown(conn, "client_encoding") == "UTF8"


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({"colour": "red"}, 'invalid connection option "colour"'),
        ({"sslmode": {"of": "mine"}}, "its extra 'sslmode' is a dict; allowed are texts"),
        ({"redshift": True}, "its extra 'redshift' is True; allowed is to log in by"),
    ],
)
def test_an_extra_unknown_to_libpq_is_named(
    define: Define, extra: dict[str, Any], said: str
) -> None:
    define(extra=extra)
    with pytest.raises(StateNotConfigured, match=re.escape(said)), open_state():
        pytest.fail("it was opened")


def test_several_hosts_are_tried_one_after_another(
    define: Define, state_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts, nobody = urlsplit(state_dsn), free_port()
    define(
        host="127.0.0.1,127.0.0.1",
        port=None,
        extra={"port": f"{nobody},{parts.port}", "target_session_attrs": "read-write"},
    )
    for wire in each_wiring():
        with wire.open_state() as conn:
            assert conn.info.port == parts.port
    several = parts.netloc.replace("127.0.0.1:", f"127.0.0.1:{nobody},127.0.0.1:")
    monkeypatch.setenv(VARIABLE, parts._replace(netloc=several).geturl())
    for wire in each_wiring():
        with wire.open_state() as conn:
            assert conn.info.port == parts.port


@pytest.fixture
def rotating(define: Define, postgres: Postgres, state_dsn: str) -> Iterator[Callable[[str], None]]:
    """Return a function that changes a role's password on the server and in the connection."""
    owner = parse_dsn(state_dsn)["user"]
    with closing(psycopg2.connect(postgres.dsn("postgres"))) as conn, conn.cursor() as cur:
        conn.autocommit = True
        cur.execute(f'CREATE ROLE rotating LOGIN IN ROLE "{owner}"')

        def rotate(password: str) -> None:
            cur.execute("ALTER ROLE rotating PASSWORD %s", (password,))
            define(login="rotating", password=password, extra={})

        yield rotate
        cur.execute("DROP ROLE rotating")


def test_a_password_rotated_during_a_batch_is_read_again(
    rotating: Callable[[str], None], state_dsn: str, postgres: Postgres
) -> None:
    rotating("one")
    with closing(connect(state_dsn)) as conn:
        ref = open_run(conn)
        enqueue(conn, ref, [item("a")])
        batches.plan(conn, ref, 1, most_items=9, fewest_items=9)
        with closing(BatchLease(wiring().state_dsn, 1, "holder")) as lease:
            assert lease.take(holder_is_dead=lambda _: False)
            call = Call.of(entries_of(lease))
            lease.settle(Settlement(), [call])
            rotating("two")
            with closing(psycopg2.connect(postgres.dsn("postgres"))) as other:
                other.cursor().execute(
                    "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
                    " WHERE usename = 'rotating'"
                )
            spans = [(span, call.number) for span in call.spans]
            lease.settle(Settlement(ended=[EndedCall(1, "succeeded")], succeeded=spans), [])
        assert keys_in(conn, "results") == ["a"]


@pytest.fixture
def only_one(define: Define, postgres: Postgres, state_dsn: str) -> Iterator[None]:
    """Let the connection log in as a role that may have one connection at a time."""
    owner = parse_dsn(state_dsn)["user"]
    with closing(psycopg2.connect(postgres.dsn("postgres"))) as conn, conn.cursor() as cur:
        conn.autocommit = True
        cur.execute(
            f"CREATE ROLE lonely LOGIN PASSWORD 'one' CONNECTION LIMIT 1 IN ROLE \"{owner}\""
        )
        define(login="lonely", password="one", extra={})  # noqa: S106  it is no secret
        yield
        cur.execute("DROP ROLE lonely")


@pytest.mark.usefixtures("only_one")
def test_without_a_free_connection_a_page_fails_and_a_task_waits(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def task() -> str:
        with task_state() as conn:
            return str(conn.info.user)

    with open_state(), pytest.raises(StateFull) as parsed, open_state():
        pass
    said = str(parsed.value)
    assert said.startswith(
        "the state's Postgres has no connection left (connection retrofill_state"
    )
    assert "too many connections for role" in said
    assert "What to do: let max_connections of the server, and limits of role" in said
    with ThreadPoolExecutor(1) as executor:
        with open_state():
            waiting = executor.submit(task)
            while "Waiting for one, for up to 300 s" not in caplog.text:
                assert not waiting.done()
                time.sleep(0.01)
        assert waiting.result() == "lonely"


@pytest.mark.usefixtures("only_one")
def test_a_lease_waits_for_a_connection_for_a_limited_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retrofill.state.lease.PATIENCE_S", 0.2)
    with open_state(), pytest.raises(StateFull):
        BatchLease(wiring().state_dsn, 1, "holder")


def test_iam_gives_a_token_for_each_connection(
    monkeypatch: pytest.MonkeyPatch, define: Define
) -> None:
    extra = {"iam": True, "aws_conn_id": "of_the_state", "sslmode": "verify-full"}
    define(host="db.internal", port=5433, password="", extra=extra)
    aws = {"conn_type": "aws", "password": "secret", "extra": {"region_name": "eu-central-1"}}
    for wire in each_wiring():
        for key in ("AKIDONE", "AKIDTWO"):
            monkeypatch.setenv("AIRFLOW_CONN_OF_THE_STATE", json.dumps({**aws, "login": key}))
            parsed = parse_dsn(wire.state_dsn())
            token = urlsplit(f"//{parsed['password']}")
            asked = {name: value for name, (value,) in parse_qs(token.query).items()}
            assert token.netloc == "db.internal:5433"
            assert (asked["Action"], asked["DBUser"]) == ("connect", parsed["user"])
            assert asked["X-Amz-Credential"].startswith(f"{key}/")
            assert asked["X-Amz-Credential"].endswith("/eu-central-1/rds-db/aws4_request")
            assert parsed["sslmode"] == "verify-full"
            assert {"iam", "aws_conn_id"}.isdisjoint(parsed)


def test_a_run_works_through_a_transaction_pooler(
    state_dsn: str,
) -> None:
    with before(state_dsn, Pooler) as between:
        assert migrate(between.dsn) == []
        with closing(connect(between.dsn)) as conn:
            run_to_its_end(between.dsn, conn)
            assert keys_in(conn, "results") == ["a", "b"]
        assert between.transactions > 10


def test_options_that_a_pooler_refuses_are_named(define: Define, state_dsn: str) -> None:
    for refusal in ("unsupported startup parameter: {name}", RDS_PROXY):
        with before(state_dsn, Pooler, refusal) as between:
            port = parse_dsn(between.dsn)["port"]
            define(port=port, extra={})
            with open_state():
                pass
            define(port=port, extra={"options": "-c statement_timeout=7min"})
            with pytest.raises(StateUnavailable, match=r"extra options.*ALTER ROLE"), open_state():
                pytest.fail("it was opened")


@pytest.fixture
def secured(state_dsn: str, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The state behind a server that requires TLS; the file of its certificate authority."""
    made = make_certificates(tmp_path)
    with before(state_dsn, TlsFront, made.server) as front:
        yield front.dsn, made.authority


def test_the_example_of_the_docs_connects(
    secured: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    state, authority = secured
    parsed = parse_dsn(state)
    (example,) = re.findall(rf"export {VARIABLE}='(.+)'", GET_STARTED.read_text(encoding="utf-8"))
    filled = example.replace("retrofill:…", f"{parsed['user']}:{parsed['password']}")
    filled = filled.replace(
        "db.internal:5432/retrofill", f"localhost:{parsed['port']}/{parsed['dbname']}"
    )
    uri = re.sub(r"(?<=sslrootcert=)[^&]+", str(authority), filled)
    assert uri.count(str(authority)) == 1
    monkeypatch.setenv(VARIABLE, uri)
    with open_state() as conn:
        assert conn.info.ssl_in_use


@pytest.mark.parametrize(
    ("changed", "todo"),
    [
        ({"sslrootcert": "/nowhere/root.pem"}, "sslrootcert name the file of the authority"),
        ({"sslrootcert": "system"}, "sslrootcert name the file of the authority"),
        ({"host": "db.internal", "hostaddr": "127.0.0.1"}, "host be a name of the server's"),
        ({"sslmode": "disable", "sslrootcert": None}, "extra sslmode be require"),
        ({"password": "wrong"}, "mend login and password"),
    ],
)
def test_problems_with_tls_are_reported(
    secured: tuple[str, Path], changed: dict[str, str | None], todo: str
) -> None:
    state, authority = secured
    parsed = {
        **parse_dsn(state),
        "sslmode": "verify-full",
        "sslrootcert": str(authority),
        **changed,
    }
    with pytest.raises(StateUnavailable, match=todo):
        connect(make_dsn(**parsed))


def test_a_server_without_tls_is_reported(state_dsn: str) -> None:
    with pytest.raises(StateUnavailable, match="switch on TLS at the server"):
        connect(f"{state_dsn}?sslmode=require")


def test_migrate_reads_the_connection_like_tasks(
    define: Define, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    define(extra={"connect_timeout": 7, "application_name": "two words"})
    kept = tmp_path / "connections.json"
    kept.write_text(json.dumps({"retrofill_state": json.loads(os.environ[VARIABLE])}))
    monkeypatch.delenv(VARIABLE)
    backend = "airflow.secrets.local_filesystem.LocalFilesystemBackend"
    monkeypatch.setenv("AIRFLOW__SECRETS__BACKEND", backend)
    monkeypatch.setenv(
        "AIRFLOW__SECRETS__BACKEND_KWARGS", json.dumps({"connections_file_path": str(kept)})
    )
    done = subprocess.run(
        [sys.executable, "-m", "retrofill", "db", "migrate"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("the schema is up to date\n")
