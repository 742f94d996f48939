"""The DAG that migrates the state without a shell, via an owner's connection."""

from collections.abc import Iterator

import pytest
from retrofill.state.migrate import migrations

from stack.services import Postgres
from tests.dags.run_dag import run_dag
from tests.integration.test_operations import ROLES, execute, statements

pytestmark = pytest.mark.timeout(400)  # each run of a DAG in one process takes many seconds

DAG = "retrofill_migrate"
OWNER, RUNTIME, READER = ROLES
STEPS = ", ".join(one.name for one in migrations())


@pytest.fixture
def environment(
    airflow_environment: dict[str, str], postgres: Postgres
) -> Iterator[dict[str, str]]:
    """An Airflow before the first migration, with the roles and database of the docs."""
    administrator = postgres.dsn("postgres")
    execute(administrator, statements("roles"))
    try:
        execute(administrator, [f"ALTER ROLE {role} PASSWORD 'test'" for role in ROLES])
        yield {
            **airflow_environment,
            "AIRFLOW_CONN_RETROFILL_STATE": postgres.dsn("retrofill", role=RUNTIME),
            "AIRFLOW_CONN_RETROFILL_OWNER": postgres.dsn("retrofill", role=OWNER),
        }
    finally:
        execute(administrator, ["DROP DATABASE retrofill WITH (FORCE)"])
        execute(administrator, [f"DROP ROLE {role}" for role in ROLES])


def test_the_owner_migrates_and_grants_from_the_form(environment: dict[str, str]) -> None:
    asked = {"conn_id": "retrofill_owner", "reader_role": READER, "grant": True}
    done = run_dag(environment, asked, DAG)
    assert done["migrate"] == "success"
    assert f"applied: {STEPS}" in done["log"]
    assert f'GRANT USAGE ON SCHEMA retrofill TO "{RUNTIME}";' in done["log"]
    assert f"tasks can use the state, as role {RUNTIME}" in done["log"]
    assert ":test@" not in done["log"]
    owner = environment["AIRFLOW_CONN_RETROFILL_OWNER"]
    reads = f"SELECT has_table_privilege('{READER}', 'retrofill.v_run', 'SELECT')"
    assert execute(owner, [reads]) == [[(True,)]]


@pytest.mark.faults
def test_a_dry_run_shows_the_steps_and_forbidden_ones_are_refused(
    environment: dict[str, str],
) -> None:
    asked = {"conn_id": "retrofill_owner"}
    dry = run_dag(environment, {**asked, "grant": True, "dry_run": True}, DAG)
    assert dry["migrate"] == "success"
    assert f"as role {OWNER}: the schema is at version 0; to apply: {STEPS}" in dry["log"]
    assert "this was a dry run: nothing was changed" in dry["log"]
    assert "missing: the state's schema is at version 0" in dry["log"]

    denied = run_dag(environment, {}, DAG)
    assert denied["migrate"] == "failed"
    assert "to migrate, connect as the owner" in denied["log"]

    for said in (f"applied: {STEPS}", "to apply: nothing"):
        done = run_dag(environment, asked, DAG)
        assert done["migrate"] == "success"
        assert said in done["log"]
        assert f"missing: the role {RUNTIME} lacks privileges" in done["log"]

    owner = environment["AIRFLOW_CONN_RETROFILL_OWNER"]
    execute(owner, ["UPDATE retrofill.migration SET number = number + 9"])
    newer = run_dag(environment, asked, DAG)
    assert newer["migrate"] == "failed"
    assert "run the newer code, or restore the older schema" in newer["log"]
