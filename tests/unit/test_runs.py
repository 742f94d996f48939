"""The names of sets and of the DAG runs that take them."""

from retrofill.model.runs import SetRef


def test_the_next_dag_run_has_one_name_and_another_beside_a_new_state() -> None:
    ref = SetRef(1, 2)
    asked = ref.next_dag_run_id("manual__2026-01-01")
    assert asked == SetRef(1, 2).next_dag_run_id("manual__2026-01-01")
    assert asked.startswith("retrofill__run_1__set_3__")
    assert asked != ref.next_dag_run_id("manual__2026-01-02"), "numbers of runs come again"


def test_its_name_is_short_and_plain_however_the_first_was_called() -> None:
    """Airflow allows 250 characters, of those of URLs without an escape."""
    asked = SetRef(10**12, 10**6).next_dag_run_id("é" * 250)
    assert len(asked) < 100
    assert asked.replace("_", "").isalnum()
    assert asked.isascii()
