"""The errors that Lambda's Invoke and S3's bucket operations answer with, and their status codes.

Sources: botocore's model of Invoke and
https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html.
"""

import gzip
import json
from functools import cache
from importlib.resources import files
from typing import NamedTuple

_MODEL = "data/lambda/2015-03-31/service-2.json.gz"


class LambdaError(NamedTuple):
    """How Lambda words one error."""

    status: int
    """The HTTP status code."""

    message_field: str
    """The JSON member that holds the message: the API spells it in two ways."""


class S3Error(NamedTuple):
    """How S3 words one error."""

    status: int
    """The HTTP status code."""

    message: str
    """The text of the ``Message`` element."""


_FRONT_DOOR = {
    "AccessDeniedException": LambdaError(403, "Message"),
    "ExpiredTokenException": LambdaError(403, "message"),
    "InvalidSignatureException": LambdaError(403, "message"),
    "MissingAuthenticationTokenException": LambdaError(403, "message"),
    "UnrecognizedClientException": LambdaError(403, "message"),
    "ServiceUnavailableException": LambdaError(503, "message"),
    "GatewayTimeoutException": LambdaError(504, "message"),
}


@cache
def lambda_errors() -> dict[str, LambdaError]:
    """Return every error that Invoke models, and those its front door gives without a model."""
    # Not through botocore's own loader: its import takes longer than all of the endpoint's start.
    model = json.loads(gzip.decompress(files("botocore").joinpath(_MODEL).read_bytes()))
    modelled = {}
    for named in model["operations"]["Invoke"]["errors"]:
        shape = model["shapes"][named["shape"]]
        message_field = "message" if "message" in shape["members"] else "Message"
        status = shape["error"]["httpStatusCode"]
        modelled[named["shape"]] = LambdaError(status, message_field)
    return modelled | _FRONT_DOOR


S3_ERRORS: dict[str, S3Error] = {
    "AccessDenied": S3Error(403, "Access Denied"),
    "AuthorizationHeaderMalformed": S3Error(400, "The authorization header is malformed"),
    "ExpiredToken": S3Error(400, "The provided token has expired."),
    "InternalError": S3Error(500, "We encountered an internal error. Please try again."),
    "InvalidAccessKeyId": S3Error(
        403, "The AWS Access Key Id you provided does not exist in our records."
    ),
    "InvalidArgument": S3Error(400, "Invalid Argument"),
    "NoSuchBucket": S3Error(404, "The specified bucket does not exist"),
    "NotImplemented": S3Error(
        501, "A header you provided implies functionality that is not implemented"
    ),
    "PermanentRedirect": S3Error(
        301,
        "The bucket you are attempting to access must be addressed using the specified endpoint."
        " Please send all future requests to this endpoint.",
    ),
    "RequestTimeTooSkewed": S3Error(
        403, "The difference between the request time and the current time is too large."
    ),
    "RequestTimeout": S3Error(
        400, "Your socket connection to the server was not read from or written to in time."
    ),
    "ServiceUnavailable": S3Error(503, "Service is unable to handle request."),
    "SignatureDoesNotMatch": S3Error(
        403, "The request signature we calculated does not match the signature you provided."
    ),
    "SlowDown": S3Error(503, "Please reduce your request rate."),
}
"""The errors of S3's bucket operations that the scripts know by name."""
