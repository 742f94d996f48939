"""Connections for tests: the AWS clients that a test gives, and no others."""

from collections.abc import Callable, Mapping
from typing import Any

from retrofill.config import RunConfig, params_for
from retrofill.events import EventContext
from retrofill.events.s3.form import OBJECT
from retrofill.model.connections import ConnectionFields
from retrofill.model.errors import ConfigError
from retrofill.model.function import Pinned
from retrofill.pipeline.plan import open_source
from retrofill.sources import Interval, Source


class Given:
    """Connections to the servers that a test gives; each is also an AWS session.

    :param client: returns a boto3 client by service name
    """

    def __init__(
        self,
        client: Callable[[str], Any],
        *,
        credentials: Any = None,
        connections: Mapping[str, ConnectionFields] | None = None,
        state_dsn: str = "",
    ) -> None:
        self.client = client
        self.verify = None
        self._credentials = credentials
        self._connections = connections or {}
        self._state_dsn = state_dsn

    def get(self, conn_id: str) -> ConnectionFields:
        if conn_id not in self._connections:
            raise ConfigError(f"there is no connection {conn_id!r}")
        return self._connections[conn_id]

    def aws(self, conn_id: str) -> "Given":
        del conn_id
        return self

    def credentials(self) -> Any:
        return self._credentials

    def state_dsn(self) -> str:
        return self._state_dsn


def s3_config(**params: Any) -> RunConfig:
    """Return the configuration of a run over a bucket."""
    return params_for("s3").config(params)


def s3_source(config: RunConfig, client: Any) -> Source:
    """Open the source of a run over a bucket with an S3 client."""
    window = config.source.window(Interval(None, None))
    return open_source(config, Given(lambda _: client), window)


def pinned(function_arn: str) -> Pinned:
    """Return a version of a function of Lambda."""
    return Pinned(kind="aws_lambda", name=function_arn, version="1", timeout_s=3)


def s3_context(
    *,
    bucket: str = "bucket",
    function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:f",
    job: str = "j",
    run_id: int = 1,
    arguments: Mapping[str, object] | None = None,
    stream: str = "",
    queue: str = "",
    configuration_id: str = "",
    **trigger: Any,
) -> EventContext:
    """Return the context of events of a run over a bucket.

    :param stream: the stream of records
    :param queue: the queue of messages
    :param configuration_id: the id of the one notification configuration
    :param trigger: further fields of the live trigger, by the names of LiveTrigger
    """
    if configuration_id:
        trigger["configurations"] = [{"id": configuration_id}]
    place = {"bucket": bucket, "stream": stream, "queue": queue}
    return EventContext(
        form=OBJECT,
        place={name: value for name, value in place.items() if value},
        function=pinned(function_arn),
        trigger=trigger,
        job=job,
        run_id=run_id,
        arguments=arguments or {},
    )
