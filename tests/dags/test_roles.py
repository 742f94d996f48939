"""A whole run of the DAG by the role that docs/operations/roles.md gives it, which owns nothing."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from retrofill.state.migrate import migrate

from stack.services import Postgres
from tests.dags.run_dag import run_dag
from tests.dags.world import TASKS, World
from tests.integration.test_operations import ROLES, execute, statements

pytestmark = pytest.mark.timeout(400)  # each run of a DAG in one process takes many seconds


@pytest.fixture
def runtime_world(world: World, postgres: Postgres) -> Iterator[World]:
    administrator = postgres.dsn("postgres")
    execute(administrator, statements("roles"))
    try:
        execute(administrator, [f"ALTER ROLE {role} PASSWORD 'test'" for role in ROLES])
        owner, runtime = (postgres.dsn("retrofill", role=role) for role in ROLES[:2])
        migrate(owner)
        execute(owner, statements("grants"))
        environment = {**world.environment, "AIRFLOW_CONN_RETROFILL_STATE": runtime}
        yield replace(world, dsn=runtime, environment=environment)
    finally:
        execute(administrator, ["DROP DATABASE retrofill WITH (FORCE)"])
        execute(administrator, [f"DROP ROLE {role}" for role in ROLES])


def test_the_runtime_role_runs_everything_but_forgetting(runtime_world: World) -> None:
    world = runtime_world
    world.put("in/a", "in/b", "in/poison")
    states = world.run(max_attempts=2)
    assert {name: states[name] for name in TASKS} == {
        **dict.fromkeys(TASKS, "success"), "next_set": "skipped"
    }  # fmt: skip
    report = world.report()
    assert (report["succeeded"], report["quarantined"], report["status"]) == (2, 1, "complete")

    maintenance = run_dag(world.environment, {"keep_results_days": 1}, "retrofill_maintenance")
    assert (maintenance["rescue"], maintenance["forget_calls"]) == ("success", "success")
    assert maintenance["forget_results"] == "failed"
    grant = 'GRANT DELETE ON retrofill.results TO "retrofill_runtime";'
    assert grant in maintenance["log"]
    assert world.report() == report
