"""Sign requests to Lambda with credentials that may be renewed during use."""

import hashlib
from typing import Protocol

from awscrt.auth import AwsCredentialsProvider, AwsSigningConfig, aws_sign_request
from awscrt.http import HttpRequest

SERVICE = "lambda"


class FrozenCredentials(Protocol):
    """One key and its secret, as botocore's ``ReadOnlyCredentials``."""

    @property
    def access_key(self) -> str:
        """The id of the key."""

    @property
    def secret_key(self) -> str:
        """The key itself."""

    @property
    def token(self) -> str | None:
        """The session that the key belongs to; None for a permanent key."""


class Credentials(Protocol):
    """The type that botocore's ``Session.get_credentials`` returns."""

    def get_frozen_credentials(self) -> FrozenCredentials:
        """Return the credentials that are valid now, after renewing them if need be."""


class Signer:
    """AWS Signature Version 4 for requests to Lambda in one region.

    The payload is signed too: Lambda, unlike S3, does not accept ``UNSIGNED-PAYLOAD``. Format:
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html.
    """

    def __init__(self, credentials: Credentials, region: str) -> None:
        self._credentials = credentials
        self._region = region
        self._keys: tuple[str, str, str | None] | None = None
        self._provider: AwsCredentialsProvider | None = None

    def sign(self, request: HttpRequest, body: bytes) -> None:
        """Add the signature to a request's headers; renewing credentials may take a second.

        :param body: the request's payload, which is not read from the request
        :raises Exception: the credentials could not be renewed (botocore's own error)
        """
        frozen = self._credentials.get_frozen_credentials()
        keys = (frozen.access_key, frozen.secret_key, frozen.token or None)
        if keys != self._keys:
            self._provider = AwsCredentialsProvider.new_static(*keys)
            self._keys = keys
        config = AwsSigningConfig(
            credentials_provider=self._provider,
            region=self._region,
            service=SERVICE,
            signed_body_value=hashlib.sha256(body).hexdigest(),
        )
        # With a static provider the work is done before this returns.
        aws_sign_request(request, config).result()
