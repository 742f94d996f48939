"""Ours: the whole invoke stage of a planned batch, put together as the operator does it."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

from retrofill.config import RunConfig
from retrofill.connections import open_state, state_dsn
from retrofill.operators import client_of
from retrofill.pipeline.deliver import shape_of
from retrofill.pipeline.invoke import Invoker, take
from retrofill.state import runs
from retrofill.state.lease import BatchLease

from benchmarks.contenders.work import Work, contend


@contextmanager
def opened(work: Work) -> Iterator[Callable[[], None]]:
    """Open the data plane; claim, encode, write ahead, sign, send, read and settle come after."""
    config = RunConfig.from_params(
        {
            "bucket": "camera-uploads",
            "prefix": "incoming/",
            "function": "scripted",
            "event": "s3",
            "max_concurrency": work.in_flight,
        }
    )
    with open_state() as conn:
        run = runs.get_run(conn, 1)
    run = run._replace(delivery=replace(run.delivery, items_per_call=work.items_per_call))
    with closing(client_of(config, run)) as client:

        def make_calls() -> None:
            for batch_id in range(1, 1 + work.batches):
                with closing(BatchLease(state_dsn(), batch_id, "benchmark")) as lease:
                    take(lease, holder_is_dead=lambda _: True)
                    Invoker(
                        lease=lease,
                        client=client,
                        shape=shape_of(config, run),
                        run=run,
                        config=config,
                        stop_asked=lambda: False,
                    ).run()

        yield make_calls


if __name__ == "__main__":
    contend(opened)
