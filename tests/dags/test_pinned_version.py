"""A run calls an alias while it points to the version of the run's opening."""

from typing import TYPE_CHECKING

from tests.dags.world import HANDLER, World, zipped

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient


def published(client: "LambdaClient", name: str) -> str:
    # The emulator publishes a function as it is: one that is not ready stays so.
    for waiter in ("function_active_v2", "function_updated_v2"):
        client.get_waiter(waiter).wait(FunctionName=name, WaiterConfig={"Delay": 1})  # type: ignore[call-overload]
    return client.publish_version(FunctionName=name)["Version"]


def test_an_alias_that_moves_during_a_run_stops_it(
    world: World, lambda_client: "LambdaClient"
) -> None:
    first = published(lambda_client, world.function)
    broken = HANDLER.replace('if "poison" in key', "if True")
    lambda_client.update_function_code(FunctionName=world.function, ZipFile=zipped(broken))
    second = published(lambda_client, world.function)
    lambda_client.create_alias(FunctionName=world.function, Name="live", FunctionVersion=first)
    world.put("in/a", "in/b", "in/c")
    world.run(qualifier="live", max_items_per_set=2)
    lambda_client.update_alias(FunctionName=world.function, Name="live", FunctionVersion=second)
    states = world.run_next_set()
    assert (states["open_run"], states["dag_run"]) == ("failed", "failed")
    report = world.report()
    assert (report["function_version"], report["succeeded"], report["calls"]) == (first, 2, 2)
    assert f"version was {first}, and is now {second}" in report["stop_reason"]

    world.run(qualifier="live", max_attempts=1)
    report = world.report()
    assert (report["function_version"], report["new"], report["quarantined"]) == (second, 1, 1)
