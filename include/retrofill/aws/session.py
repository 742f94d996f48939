"""Sessions of AWS: how the control plane is asked, and what they know of credentials."""

from typing import Any

import boto3
from botocore.config import Config

CONTROL_PLANE = Config(connect_timeout=5, read_timeout=60, retries={"mode": "standard"})
"""How boto3 asks for what may be asked twice: listings and descriptions, never a call."""


def region_here() -> str:
    """Return the region that boto3 finds by itself; empty: none."""
    return boto3.Session().region_name or ""


def control_plane(own: Config) -> Config:
    """Return how boto3 asks by way of a connection; what the connection itself says wins.

    A hook of Airflow's that is given settings takes no notice of those of its connection, such as
    its proxies.

    :param own: the connection's settings
    """
    return CONTROL_PLANE.merge(own)


class BotoSession:
    """A boto3 session as a connection to AWS; see :class:`retrofill.model.connections.AwsSession`.

    :param endpoint_url: the address of every service; None: AWS's own, or as boto3 is told
    """

    def __init__(self, session: boto3.Session, endpoint_url: str | None = None) -> None:
        self._session = session
        self._endpoint_url = endpoint_url

    def client(self, service: str) -> Any:
        """Return a client of a service, to be asked by one thread at a time."""
        return self._session.client(  # type: ignore[call-overload]
            service, endpoint_url=self._endpoint_url, config=CONTROL_PLANE
        )

    def credentials(self) -> Any:
        """Return what botocore finds as credentials; None: nothing."""
        return self._session.get_credentials()

    @property
    def region(self) -> str:
        """The region of its services; empty: none is known."""
        return self._session.region_name or ""

    @property
    def verify(self) -> None:
        """None: TLS is verified as boto3 does by default."""
