"""Missing setup and the fixes to copy, on a real Postgres with roles."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from psycopg2.extensions import parse_dsn
from retrofill.connections import task_state, wiring
from retrofill.environment import EnvironmentConnections
from retrofill.model.errors import (
    SchemaMismatch,
    StateError,
    StateNotConfigured,
    StateUnavailable,
    StateUnfit,
)
from retrofill.model.setup import Finding, Setup
from retrofill.opening import LONGEST_REASON
from retrofill.params.migration import MigrationParams
from retrofill.pipeline.migration import migrate_state
from retrofill.pipeline.setup import AirflowFacts, Dag, ServerFacts
from retrofill.state.connection import connect
from retrofill.state.migrate import migrations
from retrofill.wiring import Wiring

from stack.services import Postgres
from tests.integration.test_clear_failures import say

VARIABLE = "AIRFLOW_CONN_RETROFILL_STATE"
PASSWORD = "pass-word-of-the-test"  # noqa: S105
OWN = migrations()[-1].number
GOOD = AirflowFacts(
    executor="LocalExecutor",
    takes_conf=True,
    base_url="https://airflow.example",
    execution_api_server_url="",
    wrong_grace="",
    notices=(),
    server=ServerFacts(
        dags=[
            Dag("photos", frozenset({"retrofill"}), is_paused=False),
            Dag("keep", frozenset({"retrofill", "maintenance"}), is_paused=False),
            Dag("raise_it", frozenset({"retrofill", "migration"}), is_paused=True),
        ],
        broken={},
        triggerer_lives=True,
        default_pool_slots=128,
    ),
)


@pytest.fixture(autouse=True)
def region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")


@pytest.fixture
def bare(postgres: Postgres) -> Iterator[str]:
    """A database without a schema; the URI of its owner, who may create one."""
    administrator = postgres.dsn("postgres")
    say(administrator, "CREATE ROLE founder LOGIN PASSWORD 'test'")
    say(administrator, "CREATE DATABASE founded OWNER founder TEMPLATE template0")
    try:
        yield postgres.dsn("founded", role="founder")
    finally:
        say(administrator, "DROP DATABASE founded WITH (FORCE)", "DROP ROLE founder")


@pytest.fixture
def runtime(bare: str, postgres: Postgres) -> Iterator[str]:
    """The URI of a role without privileges in that database."""
    administrator = postgres.dsn("postgres")
    say(administrator, "CREATE ROLE runs LOGIN PASSWORD 'test'")
    try:
        yield postgres.dsn("founded", role="runs")
    finally:
        say(bare, "REVOKE ALL ON SCHEMA retrofill FROM runs" if has_schema(bare) else "SELECT")
        say(postgres.dsn("founded"), "DROP OWNED BY runs")
        say(administrator, "DROP ROLE runs")


def has_schema(dsn: str) -> bool:
    return say(dsn, "SELECT to_regnamespace('retrofill') IS NOT NULL") == [(True,)]


def look(airflow: AirflowFacts | None = GOOD) -> Setup:
    return wiring().setup(airflow)


def only(found: Setup) -> Finding:
    (one,) = found.findings
    assert found.ready is not one.blocks
    return one


def changed(**facts: object) -> Finding:
    """Return the findings if these facts of Airflow's server differ from good ones."""
    assert GOOD.server is not None
    return only(look(GOOD._replace(server=GOOD.server._replace(**facts))))


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    return lambda uri: monkeypatch.setenv(VARIABLE, uri)


def test_a_complete_setup_has_no_findings(named: Callable[[str], None], state_dsn: str) -> None:
    named(state_dsn)
    found = look()
    assert (found.ready, found.findings, found.notices) == (True, [], [])
    assert found.state is not None
    planned = parse_dsn(state_dsn)
    assert (found.state.database, found.state.role) == (planned["dbname"], planned["user"])
    assert found.state.schema_version == OWN


def test_a_missing_connection_is_shown_with_an_example(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    one = only(look())
    assert one.blocks
    assert "no connection 'retrofill_state'" in one.what
    assert one.where == "Airflow's connection retrofill_state"
    assert one.text.startswith(f"{VARIABLE}='postgresql://ROLE:PASSWORD@HOST:5432/DATABASE?")
    without_airflow = only(Wiring(EnvironmentConnections({})).setup(None))
    assert f"set {VARIABLE}" in without_airflow.what


@pytest.mark.parametrize(
    ("uri", "what"),
    [
        (f"mysql://r:{PASSWORD}@127.0.0.1/r", "is of type 'mysql'"),
        (f"postgresql://r:{PASSWORD}@127.0.0.1/r?colour=red", "is none of Postgres"),
    ],
)
def test_a_malformed_connection_is_reported_without_its_password(
    named: Callable[[str], None], uri: str, what: str
) -> None:
    named(uri)
    one = only(look())
    assert one.blocks
    assert what in one.what
    assert one.text.startswith(VARIABLE)
    assert PASSWORD not in "\n".join(one.lines())


def test_an_unreachable_server_is_reported_with_its_address(named: Callable[[str], None]) -> None:
    named(f"postgresql://runs:{PASSWORD}@127.0.0.1:1/founded")
    one = only(look())
    assert one.blocks
    assert "cannot be reached" in one.what
    assert one.where.endswith("host 127.0.0.1, port 1, database founded, role runs")
    assert one.todo == "start the server, or mend the connection"
    assert PASSWORD not in "\n".join(one.lines())


def test_an_unknown_host_is_reported(named: Callable[[str], None]) -> None:
    named("postgresql://r:r@no-such-host.invalid/r")
    assert (
        only(look()).todo == "correct the host of the connection: this machine knows no such name"
    )


def test_a_missing_database_is_reported_with_its_statement(
    named: Callable[[str], None], postgres: Postgres
) -> None:
    administrator = postgres.dsn("postgres")
    named(postgres.dsn('no"where'))
    one = only(look())
    assert one.blocks
    say(administrator, one.text)
    try:
        assert "version 0" in only(look()).what
    finally:
        say(administrator, 'DROP DATABASE "no""where" WITH (FORCE)')


def test_a_missing_schema_links_to_the_dag_that_creates_it(
    named: Callable[[str], None], bare: str
) -> None:
    named(bare)
    one = only(look())
    assert (one.blocks, one.dag_id) == (True, "raise_it")
    assert one.what == f"the state's schema is at version 0, this code needs {OWN}"
    assert "python -m retrofill db migrate" in one.todo


def test_older_and_newer_schemas_are_reported(named: Callable[[str], None], state_dsn: str) -> None:
    named(state_dsn)
    say(state_dsn, "UPDATE retrofill.migration SET number = number - 1")
    assert only(look()).dag_id == "raise_it"
    say(state_dsn, "UPDATE retrofill.migration SET number = number + 9, oldest_code = number + 9")
    one = only(look())
    assert "deploy the newer code" in one.todo
    assert one.dag_id == ""


def test_the_shown_grants_are_the_missing_ones(
    named: Callable[[str], None], bare: str, runtime: str
) -> None:
    named(bare)
    migrate_state(bare, MigrationParams(), "runs")
    named(runtime)
    for _ in range(2):
        one = only(look())
        assert one.blocks
        assert one.what == "the role runs may not do all it needs to in the schema retrofill"
        assert one.dag_id == "raise_it"
        say(bare, *one.text.splitlines())
        assert look().ready
        say(bare, "REVOKE UPDATE ON retrofill.run FROM runs")
    assert only(look()).text.splitlines() == [
        'GRANT USAGE ON SCHEMA retrofill TO "runs";',
        'GRANT UPDATE ON retrofill.run TO "runs";',
    ]
    say(bare, "REVOKE SELECT ON retrofill.migration FROM runs")
    assert "SELECT ON retrofill.migration" in only(look()).text


def test_a_missing_aws_region_is_reported_and_blocks_nothing(
    named: Callable[[str], None], state_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    named(state_dsn)
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    for wire in (wiring(), Wiring(EnvironmentConnections())):
        one = only(wire.setup(GOOD))
        assert not one.blocks
        variable, _, value = one.text.partition("=")
        with monkeypatch.context() as patch:
            patch.setenv(variable, value.strip("'"))
            assert wire.setup(GOOD).findings == []


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({"takes_conf": False}, "AIRFLOW__CORE__DAG_RUN_CONF_OVERRIDES_PARAMS=True"),
        ({"base_url": ""}, "AIRFLOW__API__BASE_URL="),
        ({"wrong_grace": "it is 'soon'"}, "AIRFLOW__RETROFILL__GRACE_PERIOD=5"),
        (
            {"executor": "CeleryExecutor", "base_url": "http://localhost:8080"},
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL=",
        ),
    ],
)
def test_a_missing_setting_is_shown_as_a_variable(
    named: Callable[[str], None], state_dsn: str, facts: dict[str, object], text: str
) -> None:
    named(state_dsn)
    one = only(look(GOOD._replace(**facts)))
    assert not one.blocks
    assert one.text.startswith(text)


def test_tasks_elsewhere_find_the_api_server_by_either_setting(
    named: Callable[[str], None], state_dsn: str
) -> None:
    named(state_dsn)
    far = GOOD._replace(executor="LocalExecutor,CeleryExecutor")
    assert look(far).findings == []
    url = "http://api:8080/execution/"
    here = far._replace(base_url="http://localhost:8080", execution_api_server_url=url)
    assert look(here).findings == []


def test_airflows_view_of_our_dags_is_shown(named: Callable[[str], None], state_dsn: str) -> None:
    named(state_dsn)
    assert GOOD.server is not None
    source, maintenance, migration = GOOD.server.dags
    assert "shows no DAG" in changed(dags=[maintenance, migration]).what
    off = changed(dags=[source, maintenance._replace(is_paused=True), migration])
    assert (off.dag_id, off.todo) == ("keep", "unpause it")
    assert "photos" in changed(dags=[source._replace(is_paused=True), maintenance, migration]).what
    broken = changed(broken={"photos.py": "ImportError: no"})
    assert broken.what == "Airflow cannot import photos.py: ImportError: no"
    assert changed(triggerer_lives=False).text == "airflow triggerer"
    assert changed(default_pool_slots=0).blocks


def test_blocking_findings_come_first(named: Callable[[str], None], bare: str) -> None:
    named(bare)
    found = look(GOOD._replace(base_url="", notices=("Airflow 3.1 does not.",)))
    assert [one.blocks for one in found.findings] == [True, False]
    assert found.notices == ["Airflow 3.1 does not."]
    assert found.state is None


def test_a_migration_by_the_owner_sets_everything_up(
    named: Callable[[str], None], bare: str, runtime: str
) -> None:
    named(runtime)
    dry = MigrationParams(dry_run=True, grant=True, reader_role="looks")
    planned = migrate_state(bare, dry, "runs")
    assert (planned["version"], planned["pending"]) == (0, [one.name for one in migrations()])
    assert (planned["applied"], planned["granted"]) == ([], False)
    assert not has_schema(bare)
    asked = MigrationParams(grant=True, forget=True)
    done = migrate_state(bare, asked, "runs")
    assert (done["applied"], done["granted"]) == (planned["pending"], True)
    assert look().ready
    assert planned["grants"] != done["grants"]
    again = migrate_state(bare, asked, "runs")
    assert (again["pending"], again["applied"], again["version"]) == ([], [], OWN)
    with closing(connect(runtime)) as conn, conn, conn.cursor() as cur:
        cur.execute("DELETE FROM retrofill.results")


def test_two_migrations_at_once_apply_each_step_once(bare: str, runtime: str) -> None:
    del runtime
    asked = MigrationParams(grant=True)
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: migrate_state(bare, asked, "runs"), range(4)))
    applied = [name for one in done for name in one["applied"]]
    assert applied == [one.name for one in migrations()]
    assert all(one["granted"] for one in done)


def test_a_role_that_cannot_migrate_or_is_missing_is_reported(bare: str, runtime: str) -> None:
    with pytest.raises(StateUnfit, match="to migrate, connect as the owner"):
        migrate_state(runtime, MigrationParams(), "runs")
    with pytest.raises(StateUnfit, match=r'role "nobody" does not exist\n.*create the role first'):
        migrate_state(bare, MigrationParams(grant=True), "nobody")
    say(bare, "UPDATE retrofill.migration SET number = number + 9")
    for dry_run in (True, False):
        with pytest.raises(SchemaMismatch, match=r"version 10, this code knows 1\n.*run the newer"):
            migrate_state(bare, MigrationParams(dry_run=dry_run), "runs")


def test_a_finding_about_another_connection_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_OWNER", f"postgresql://o:{PASSWORD}@127.0.0.1:1/r")
    asked = MigrationParams(conn_id="owner")
    with pytest.raises(StateUnavailable, match=r"connection owner") as found:
        migrate_state(lambda: wiring().state_dsn("owner"), asked, "runs")
    assert PASSWORD not in str(found.value)
    with pytest.raises(StateNotConfigured, match=r"AIRFLOW_CONN_FOUNDER='"):
        wiring().state_dsn("founder")


def test_a_task_logs_what_the_page_shows(
    named: Callable[[str], None], bare: str, runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def require_same() -> None:
        one = only(look())
        with pytest.raises(StateError) as found, task_state():
            pytest.fail("it was opened")
        said = [one.what, f"What to do: {one.todo}", *one.text.splitlines()]
        assert str(found.value).splitlines() == said
        assert len(str(found.value)) < LONGEST_REASON

    monkeypatch.delenv(VARIABLE, raising=False)
    require_same()
    named(bare)
    require_same()
    migrate_state(bare, MigrationParams(), "runs")
    named(runtime)
    require_same()
