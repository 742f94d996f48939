"""A run larger than one DAG run may take, by the real scheduler."""

from collections.abc import Callable
from typing import Any

from tests.faults.world import World

OBJECTS = 1000


def test_a_run_goes_on_in_further_dag_runs_by_itself(
    world: World, figures: Callable[[str, Any], None]
) -> None:
    params = world.serve("sets", OBJECTS)
    world.trigger("sets", params | {"max_items_per_set": 400, "items_per_call": 10})
    query = "SELECT FROM retrofill.v_run WHERE job = %s AND notified_at IS NOT NULL"
    world.await_row(query, "sets", within_s=240)

    report = world.report("sets")
    numbered = f"retrofill__run_{report['run_id']}__set_"
    ids = [one["dag_run_id"] for one in world.airflow.dag_runs("retrofill_s3")]
    following = sorted(name for name in ids if name.startswith(numbered))
    of_the_run = ["sets", *following]
    ends = [world.airflow.await_end("retrofill_s3", name) for name in of_the_run]
    sets = world.rows(
        "SELECT set_no, items_taken FROM retrofill.run_set WHERE run_id = %s ORDER BY set_no",
        report["run_id"],
    )
    figures("DAG runs", ", ".join(of_the_run))
    figures("items of each set", [row.items_taken for row in sets])
    figures("notifications", world.notices.of("sets"))
    figures("seconds", f"{(report['closed_at'] - report['opened_at']).total_seconds():.1f}")
    assert ends == ["success"] * 3
    assert [name.removeprefix(numbered)[0] for name in following] == ["2", "3"]
    assert [row.items_taken for row in sets] == [400, 400, 200]
    assert (report["status"], report["succeeded"], report["items_left"]) == ("complete", OBJECTS, 0)
    assert world.notices.of("sets") == ["Retrofill: sets is complete"]
    assert set(world.attempts("sets").values()) == {1}
    assert sorted(world.endpoint.items().values()) == [1] * OBJECTS
