"""AWS sessions: the settings of control-plane requests, and credentials."""

from typing import Any

import boto3
from botocore.config import Config

CONTROL_PLANE = Config(connect_timeout=5, read_timeout=60, retries={"mode": "standard"})
"""boto3's settings for requests that may be repeated: listings and descriptions, never a call."""


def region_here() -> str:
    """Return the region that boto3 finds without a connection; empty: none."""
    return boto3.Session().region_name or ""


def control_plane(own: Config) -> Config:
    """Return boto3's settings for a connection; the connection's own take precedence.

    An Airflow hook that is given settings ignores those of its connection, such as its proxies.

    :param own: the connection's settings
    """
    return CONTROL_PLANE.merge(own)


class BotoSession:
    """A boto3 session as a connection to AWS; see :class:`retrofill.model.connections.AwsSession`.

    :param endpoint_url: the address of every service; None: AWS's own, or boto3's setting
    """

    def __init__(self, session: boto3.Session, endpoint_url: str | None = None) -> None:
        self._session = session
        self._endpoint_url = endpoint_url

    def client(self, service: str) -> Any:
        """Return a client of a service. Use it in one thread at a time."""
        return self._session.client(  # type: ignore[call-overload]
            service, endpoint_url=self._endpoint_url, config=CONTROL_PLANE
        )

    def credentials(self) -> Any:
        """Return the credentials that botocore finds; None: none."""
        return self._session.get_credentials()

    @property
    def region(self) -> str:
        """The region of its services; empty: none is known."""
        return self._session.region_name or ""

    @property
    def verify(self) -> None:
        """None: verify TLS as boto3 does by default."""
