"""What it means that AWS's control plane refused: the same for every service that is asked."""

from enum import Enum, auto
from http import HTTPStatus

from botocore.exceptions import (
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    TokenRetrievalError,
)

NO_CREDENTIALS = (
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    TokenRetrievalError,
)
"""What botocore raises before it asks at all, for want of credentials."""

_BAD_CREDENTIALS = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignatureException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationTokenException",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "AuthorizationError"})
_TRANSIENT = frozenset(
    {
        "RequestTimeout",
        "SlowDown",
        "Throttled",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)


class Refusal(Enum):
    """Why AWS refused."""

    BAD_CREDENTIALS = auto()
    """The credentials are not accepted."""

    DENIED = auto()
    """The credentials lack a permission."""

    TRANSIENT = auto()
    """Another try may be answered."""

    OTHER = auto()
    """What was asked for, and would be refused again."""


def refusal_of(error: ClientError) -> Refusal:
    """Return why AWS refused.

    Source: https://docs.aws.amazon.com/lambda/latest/api/CommonErrors.html, and those of S3, SNS
    and EventBridge.
    """
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _BAD_CREDENTIALS:
        return Refusal.BAD_CREDENTIALS
    if code in _TRANSIENT or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Refusal.TRANSIENT
    if code in _DENIED or status == HTTPStatus.FORBIDDEN:
        return Refusal.DENIED
    return Refusal.OTHER
