"""What the DAG leaves to Airflow: which task decides its state, and where its input comes from."""

import ast
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from retrofill import approval, notifying, opening, operators
from retrofill.airflow_runs import params_of
from retrofill.config import params_for
from retrofill.model.errors import ConfigError
from retrofill.operators import stored_run
from retrofill.state.connection import connect
from retrofill.workflow import STATE_DAGS, retrofill_dag

from tests.integration.opened import open_run

ASKED = {"bucket": "photos", "prefix": "in/", "function": "f"}


def context(params: dict[str, Any], conf: dict[str, Any] | None) -> Any:
    return {"params": params, "dag_run": SimpleNamespace(conf=conf)}


def test_the_last_task_always_runs_and_decides_the_dag_runs_state() -> None:
    """Airflow takes the state from the leaves; it runs teardowns even if all else was skipped."""
    dag = retrofill_dag("d", source="s3", schedule=None)
    (last,) = [task for task in dag.tasks if not task.downstream_task_ids]
    assert last.task_id == "notify"
    assert last.is_teardown
    assert last.on_failure_fail_dagrun
    assert dag.get_task("close_run").trigger_rule == "all_done"
    assert dag.get_task("write_report").trigger_rule == "all_done"
    assert last.upstream_task_ids >= {"next_set", "write_report"}


def test_invoke_waits_for_every_task_that_may_come_before_it() -> None:
    """A task in between may have been skipped before these began."""
    dag = retrofill_dag("d", source="s3", schedule=None)
    assert dag.get_task("approve").upstream_task_ids >= {"plan_batches", "canary"}
    assert dag.get_task("invoke").upstream_task_ids >= {"plan_batches", "canary", "approve"}


def test_no_task_has_a_copy_of_the_form() -> None:
    """Each copy is made whenever the DAG file is parsed, and stored with the DAG."""
    dag = retrofill_dag("d", source="s3", schedule=None)
    assert "bucket" in dag.params
    assert [task.task_id for task in dag.tasks if task.params] == []


def test_a_dag_run_with_its_conf_is_accepted() -> None:
    params = {**ASKED, "max_calls": None}
    assert params_of(context(params, None)) == params
    assert params_of(context(params, {})) == params
    assert params_of(context(params, ASKED)) == params


@pytest.mark.parametrize(
    ("conf", "named"),
    [
        ({"preview": True}, "'preview'"),
        ({"max_calls": 5, "bucket": "photos", "function": "g"}, "'function', 'max_calls'"),
        ({"no_such": None}, "'no_such'"),
    ],
)
def test_a_dag_run_without_its_conf_is_refused(conf: dict[str, Any], named: str) -> None:
    params = {**ASKED, "preview": False, "max_calls": None}
    with pytest.raises(ConfigError) as refused:
        params_of(context(params, conf))
    assert str(refused.value).startswith(f"{named}: this Airflow ignores")
    assert "[core] dag_run_conf_overrides_params = False" in str(refused.value)


def test_a_run_does_what_it_was_opened_with(state_dsn: str) -> None:
    asked = params_for("s3").config({**ASKED, "modified_after": "2026-01-02T03:04:05+01:00"})
    with closing(connect(state_dsn)) as conn:
        ref = open_run(conn, config=asked.as_json())
        assert stored_run(conn, ref)[0] == asked


def test_no_other_task_reads_the_params_of_its_dag_run() -> None:
    """Exceptions: tasks that only show them, and the one that reports a refused run."""
    trees = [
        ast.parse(Path(room.__file__).read_text())
        for room in (opening, approval, operators, notifying)
    ]
    defined = [
        node
        for tree in trees
        for node in tree.body
        if isinstance(node, (ast.ClassDef, ast.FunctionDef))
    ]
    reads = ("context['params']", "params_of(")
    readers = {node.name for node in defined if any(read in ast.unparse(node) for read in reads)}
    assert readers == {"OpenRunOperator", "NextSetOperator", "NotifyOperator"}


def s3_dag(dag_id: str) -> Any:
    return retrofill_dag(dag_id, source="s3", schedule=None)


@pytest.mark.parametrize("make", [s3_dag, *(kind.make for kind in STATE_DAGS.values())])
def test_an_airflow_that_ignores_conf_still_runs_the_task_that_reports_it(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow checks the defaults before it runs a task: a missing one would fail them all."""
    monkeypatch.setenv("AIRFLOW__CORE__DAG_RUN_CONF_OVERRIDES_PARAMS", "False")
    dag = make("d")
    assert dag.params.validate().keys() == dag.params.keys()
