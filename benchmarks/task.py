"""Invoke tasks, as the operator assembles them."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from retrofill.config import RunConfig
from retrofill.environment import EnvironmentConnections
from retrofill.pipeline.invoke import Invoker, take
from retrofill.state import runs
from retrofill.state.lease import BatchLease
from retrofill.wiring import Wiring

Invoke = Callable[[int], None]
"""Calls the function for the items of the batch with this id."""


@contextmanager
def invoke_task(
    run_id: int,
    *,
    usage: bool = False,
    lease_type: type[BatchLease] = BatchLease,
    stop_asked: Callable[[], bool] = lambda: False,
) -> Iterator[Invoke]:
    """Open the data plane of a run, with the connections in the environment.

    :param usage: whether to record what each call used
    """
    wiring = Wiring(EnvironmentConnections())
    with wiring.open_state() as conn:
        run = runs.get_run(conn, run_id)
    config = RunConfig.from_stored(run.config)
    shape = wiring.shape_of(config, run)
    with closing(wiring.client_of(config, run, tells_usage=usage)) as client:

        def invoke(batch_id: int) -> None:
            with closing(lease_type(wiring.state_dsn, batch_id, "benchmark")) as lease:
                if take(lease, holder_is_dead=lambda _: True):
                    Invoker(
                        lease=lease,
                        client=client,
                        shape=shape,
                        run=run,
                        config=config,
                        keeps_usage=usage,
                        stop_asked=stop_asked,
                    ).run()

        yield invoke
