"""The stack of these tests, next to others that the same process may start."""

import os

from tests.faults.world import World


def test_the_stack_does_not_change_the_environment(world: World) -> None:
    assert world.endpoint.url not in os.environ.values()
    assert "AWS_ENDPOINT_URL" not in os.environ
