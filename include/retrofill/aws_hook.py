"""AWS through the hook of Amazon's provider, with everything that it reads from a connection."""

from typing import Any

from airflow.providers.amazon.aws.hooks.base_aws import AwsGenericHook

from retrofill.aws.session import control_plane, region_here


class HookSession:
    """A hook as a connection to AWS; see :class:`retrofill.model.connections.AwsSession`."""

    def __init__(self, conn_id: str) -> None:
        self._conn_id = conn_id
        self._plain: AwsGenericHook[Any] = AwsGenericHook(conn_id)
        self._own = self._plain.config

    def client(self, service: str) -> Any:
        """Return a boto3 client of a service. Use it in one thread at a time."""
        return self._hook(service).get_conn()

    def credentials(self) -> Any:
        """Return the credentials that botocore finds; None: none."""
        return self._hook("sts").get_session().get_credentials()

    @property
    def region(self) -> str:
        """The region of its services; empty: none is known."""
        # Without a session: a session that assumes a role would send requests.
        return self._plain.region_name or region_here()

    @property
    def verify(self) -> bool | str | None:
        """How to verify TLS, in boto3's terms; None: boto3's default."""
        return self._hook("sts").verify

    def _hook(self, service: str) -> "AwsGenericHook[Any]":
        return AwsGenericHook(
            aws_conn_id=self._conn_id, client_type=service, config=control_plane(self._own)
        )
