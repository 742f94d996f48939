"""The errors that Lambda's Invoke and S3's bucket operations answer with, and their status codes.

Sources: https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html#API_Invoke_Errors and
https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html.
"""

from typing import NamedTuple


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


LAMBDA_ERRORS: dict[str, LambdaError] = {
    "CodeArtifactUserDeletedException": LambdaError(409, "message"),
    "CodeArtifactUserFailedException": LambdaError(409, "message"),
    "CodeArtifactUserPendingException": LambdaError(409, "message"),
    "DurableExecutionAlreadyStartedException": LambdaError(409, "Message"),
    "EC2AccessDeniedException": LambdaError(502, "Message"),
    "EC2ThrottledException": LambdaError(502, "Message"),
    "EC2UnexpectedException": LambdaError(502, "Message"),
    "EFSIOException": LambdaError(410, "Message"),
    "EFSMountConnectivityException": LambdaError(408, "Message"),
    "EFSMountFailureException": LambdaError(403, "Message"),
    "EFSMountTimeoutException": LambdaError(408, "Message"),
    "ENILimitReachedException": LambdaError(502, "Message"),
    "ENINotReadyException": LambdaError(502, "Message"),
    "InvalidParameterValueException": LambdaError(400, "message"),
    "InvalidRequestContentException": LambdaError(400, "message"),
    "InvalidRuntimeException": LambdaError(502, "Message"),
    "InvalidSecurityGroupIDException": LambdaError(502, "Message"),
    "InvalidSubnetIDException": LambdaError(502, "Message"),
    "InvalidZipFileException": LambdaError(502, "Message"),
    "KMSAccessDeniedException": LambdaError(502, "Message"),
    "KMSDisabledException": LambdaError(502, "Message"),
    "KMSInvalidStateException": LambdaError(502, "Message"),
    "KMSNotFoundException": LambdaError(502, "Message"),
    "ModeNotSupportedException": LambdaError(400, "message"),
    "NoPublishedVersionException": LambdaError(400, "Message"),
    "RecursiveInvocationException": LambdaError(400, "Message"),
    "RequestTooLargeException": LambdaError(413, "message"),
    "ResourceConflictException": LambdaError(409, "message"),
    "ResourceNotFoundException": LambdaError(404, "Message"),
    "ResourceNotReadyException": LambdaError(502, "message"),
    "RuntimeAliasDeletedException": LambdaError(409, "message"),
    "RuntimeVersionDeletedException": LambdaError(409, "message"),
    "S3FilesMountConnectivityException": LambdaError(408, "Message"),
    "S3FilesMountFailureException": LambdaError(403, "Message"),
    "S3FilesMountTimeoutException": LambdaError(408, "Message"),
    "SerializedRequestEntityTooLargeException": LambdaError(413, "message"),
    "ServiceException": LambdaError(500, "Message"),
    "ServiceQuotaExceededException": LambdaError(402, "Message"),
    "SnapStartException": LambdaError(400, "Message"),
    "SnapStartNotReadyException": LambdaError(409, "Message"),
    "SnapStartRegenerationFailureException": LambdaError(409, "Message"),
    "SnapStartTimeoutException": LambdaError(408, "Message"),
    "SubnetIPAddressLimitReachedException": LambdaError(502, "Message"),
    "TooManyRequestsException": LambdaError(429, "message"),
    "UnsupportedMediaTypeException": LambdaError(415, "message"),
    # Not modelled for Invoke: the front door's own answers.
    "AccessDeniedException": LambdaError(403, "Message"),
    "ExpiredTokenException": LambdaError(403, "message"),
    "InvalidSignatureException": LambdaError(403, "message"),
    "MissingAuthenticationTokenException": LambdaError(403, "message"),
    "UnrecognizedClientException": LambdaError(403, "message"),
    "ServiceUnavailableException": LambdaError(503, "message"),
    "GatewayTimeoutException": LambdaError(504, "message"),
}
"""Every error that Invoke models, and those its front door gives without a model."""

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
