"""The errors of Lambda's Invoke and S3's bucket operations.

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
    """How Lambda returns one error."""

    status: int
    message_field: str
    """The JSON member with the message: the API spells it in two ways."""


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
    """Return every error in the model of Invoke, and those of its front end, which has no model."""
    # Importing botocore's own loader takes longer than the whole start of the endpoint.
    model = json.loads(gzip.decompress(files("botocore").joinpath(_MODEL).read_bytes()))
    modelled = {}
    for named in model["operations"]["Invoke"]["errors"]:
        shape = model["shapes"][named["shape"]]
        message_field = "message" if "message" in shape["members"] else "Message"
        modelled[named["shape"]] = LambdaError(shape["error"]["httpStatusCode"], message_field)
    return modelled | _FRONT_DOOR


S3_ERRORS = {
    "AccessDenied": 403,
    "AuthorizationHeaderMalformed": 400,
    "ExpiredToken": 400,
    "InternalError": 500,
    "InvalidAccessKeyId": 403,
    "InvalidArgument": 400,
    "NoSuchBucket": 404,
    "NotImplemented": 501,
    "RequestTimeTooSkewed": 403,
    "RequestTimeout": 400,
    "ServiceUnavailable": 503,
    "SignatureDoesNotMatch": 403,
    "SlowDown": 503,
}
"""The errors of S3's bucket operations that scripts know by name, with their status."""
