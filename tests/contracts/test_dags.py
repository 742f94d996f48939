"""All DAGs at once: which there are, in a task and where a setting is wrong."""

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


def test_there_is_one_for_each_kind_of_source_and_for_maintenance() -> None:
    dags = retrofill_dags()
    assert dags.keys() == OURS
    assert all(dag.dag_id == name and dag.doc_md for name, dag in dags.items())


def test_in_a_task_its_own_is_made_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "retrofill_rows")
    assert retrofill_dags().keys() == {"retrofill_rows"}
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "theirs")
    assert retrofill_dags() == {}


def test_a_folder_that_is_not_there_takes_no_other_dag_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIRFLOW__RETROFILL__JOBS_FOLDER", "/is/not/there")
    dags = retrofill_dags()
    assert dags.keys() == OURS | {"retrofill_jobs_folder"}
    said = dags["retrofill_jobs_folder"].doc_md
    assert said
    assert said.startswith(
        "Airflow's setting [retrofill] jobs_folder: '/is/not/there' is not allowed"
    )


def test_kinds_of_sources_may_be_chosen() -> None:
    assert retrofill_dags("rows").keys() & OURS == OURS - {"retrofill_manifest", "retrofill_s3"}
    with pytest.raises(ConfigError, match="source: 'queue' is not allowed; give one of"):
        retrofill_dags("queue")
