"""The stack of these tests beside others that the same process may start."""

import os

from tests.faults.world import World


def test_the_stack_keeps_its_environment_to_itself(world: World) -> None:
    assert world.endpoint.url not in os.environ.values()
    assert "AWS_ENDPOINT_URL" not in os.environ
