"""Translate AWS's refusals and missing responses, the same for every service."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum, auto
from http import HTTPStatus

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    TokenRetrievalError,
)

from retrofill.model.errors import ConfigError, RetrofillError

NO_CREDENTIALS = (
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    TokenRetrievalError,
)
"""What botocore raises without a request if it has no credentials."""

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
        "RequestTimeoutException",
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
    """A retry may succeed."""

    OTHER = auto()
    """Because of the request: AWS would refuse it again."""


def refusal_of(error: ClientError) -> Refusal:
    """Return why AWS refused.

    Source: https://docs.aws.amazon.com/lambda/latest/api/CommonErrors.html, and those of S3, SNS
    and EventBridge.
    """
    code, status = code_of(error), status_of(error)
    if code in _BAD_CREDENTIALS:
        return Refusal.BAD_CREDENTIALS
    busy = status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    if code in _TRANSIENT or busy:
        return Refusal.TRANSIENT
    if code in _DENIED or status == HTTPStatus.FORBIDDEN:
        return Refusal.DENIED
    return Refusal.OTHER


def code_of(error: ClientError) -> str:
    """Return AWS's name for an error; empty if it has none."""
    code: str = error.response.get("Error", {}).get("Code", "")
    return code


def status_of(error: ClientError) -> int:
    """Return the HTTP status of an error; 0 if there was none."""
    status: int = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status


@contextmanager
def explained(
    refused: Callable[[ClientError | ParamValidationError, Refusal], RetrofillError],
    unanswered: Callable[[Exception], RetrofillError],
) -> Iterator[None]:
    """Replace errors of botocore with errors that the user of the backfill understands.

    :param refused: the error for a request that is denied or wrong
    :param unanswered: the error for a request that a retry may get answered
    :raises ConfigError: the connection has no credentials, or AWS does not accept them
    :raises RetrofillError: the error that ``refused`` or ``unanswered`` returned
    """
    try:
        yield
    except ClientError as error:
        match refusal_of(error):
            case Refusal.BAD_CREDENTIALS:
                problem = f"aws_conn_id: its credentials are not accepted ({error})"
                raise ConfigError(problem) from error
            case Refusal.TRANSIENT:
                raise unanswered(error) from error
            case refusal:
                raise refused(error, refusal) from error
    except ParamValidationError as error:
        raise refused(error, Refusal.OTHER) from error
    except NO_CREDENTIALS as error:
        raise ConfigError(f"aws_conn_id: it has no AWS credentials ({error})") from error
    except BotoCoreError as error:
        raise unanswered(error) from error
