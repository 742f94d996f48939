"""All DAGs together: which exist, also in a task and with a bad setting."""

import pytest
from retrofill.dags import retrofill_dags
from retrofill.model.errors import ConfigError

OURS = {
    "retrofill_forget",
    "retrofill_maintenance",
    "retrofill_manifest",
    "retrofill_migrate",
    "retrofill_rows",
    "retrofill_s3",
}


def test_every_kind_of_source_and_maintenance_have_a_dag() -> None:
    dags = retrofill_dags()
    assert dags.keys() == OURS
    assert all(dag.dag_id == name and dag.doc_md for name, dag in dags.items())


def test_a_task_makes_only_its_own_dag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "retrofill_rows")
    assert retrofill_dags().keys() == {"retrofill_rows"}
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "theirs")
    assert retrofill_dags() == {}


def test_a_missing_folder_breaks_no_other_dag(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIRFLOW__RETROFILL__JOBS_FOLDER", "/is/not/there")
    dags = retrofill_dags()
    assert dags.keys() == OURS | {"retrofill_jobs_folder"}
    said = dags["retrofill_jobs_folder"].doc_md
    assert said
    assert said.startswith("Airflow's setting [retrofill] jobs_folder: '/is/not/there' is not")


def test_kinds_of_sources_may_be_chosen() -> None:
    assert retrofill_dags("rows").keys() & OURS == OURS - {"retrofill_manifest", "retrofill_s3"}
    with pytest.raises(ConfigError, match="source: 'queue' is not allowed; give one of"):
        retrofill_dags("queue")
