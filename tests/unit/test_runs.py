"""The names of sets and of their DAG runs."""

from retrofill.model.runs import SetRef


def test_the_next_dag_run_has_one_name_per_state() -> None:
    ref = SetRef(1, 2)
    asked = ref.next_dag_run_id("manual__2026-01-01")
    assert asked == SetRef(1, 2).next_dag_run_id("manual__2026-01-01")
    assert asked.startswith("retrofill__run_1__set_3__")
    assert asked != ref.next_dag_run_id("manual__2026-01-02"), "run numbers repeat in a new state"


def test_the_name_of_the_next_dag_run_is_short_and_plain() -> None:
    """Airflow allows 250 characters that URLs need not escape."""
    asked = SetRef(10**12, 10**6).next_dag_run_id("é" * 250)
    assert len(asked) < 100
    assert asked.replace("_", "").isalnum()
    assert asked.isascii()
