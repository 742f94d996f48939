"""Ours: the whole invoke stage of a planned batch, assembled as the operator does it."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from retrofill.config import params_for
from retrofill.environment import EnvironmentConnections
from retrofill.pipeline.invoke import Invoker, take
from retrofill.state import runs
from retrofill.state.lease import BatchLease
from retrofill.wiring import Wiring

from benchmarks.contenders.work import Work, contend


@contextmanager
def opened(work: Work) -> Iterator[Callable[[], None]]:
    """Open the data plane; claim, encode, write ahead, sign, send, read and settle come after."""
    config = params_for("s3").config(
        {
            "bucket": "camera-uploads",
            "prefix": "incoming/",
            "function": "scripted",
            "event": "s3",
            "max_concurrency": work.in_flight,
        }
    )
    wiring = Wiring(EnvironmentConnections())
    with wiring.open_state() as conn:
        run = runs.get_run(conn, 1)
    shape = wiring.shape_of(config, run)
    with closing(wiring.client_of(config, run)) as client:

        def make_calls() -> None:
            with closing(BatchLease(wiring.state_dsn, 1, "benchmark")) as lease:
                take(lease, holder_is_dead=lambda _: True)
                Invoker(
                    lease=lease,
                    client=client,
                    shape=shape,
                    run=run,
                    config=config,
                    stop_asked=lambda: False,
                ).run()

        yield make_calls


if __name__ == "__main__":
    contend(opened)
