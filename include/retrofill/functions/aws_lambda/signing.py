"""Sign requests to Lambda with credentials that may be renewed during use."""

import hashlib
from typing import TYPE_CHECKING

from awscrt.auth import AwsCredentialsProvider, AwsSigningConfig, aws_sign_request
from awscrt.http import HttpRequest

if TYPE_CHECKING:
    from botocore.credentials import Credentials


class Signer:
    """AWS Signature Version 4 for requests to Lambda in one region.

    The payload is signed too: Lambda, unlike S3, does not accept ``UNSIGNED-PAYLOAD``. Format:
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html.
    """

    def __init__(self, credentials: "Credentials", region: str) -> None:
        self._credentials = credentials
        self._region = region
        self._keys: tuple[str | None, str | None, str | None] | None = None
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
            service="lambda",
            signed_body_value=hashlib.sha256(body).hexdigest(),
        )
        # With a static provider the work is done before this returns.
        aws_sign_request(request, config).result()
