"""The function, before the first call: that it can be called, and which version a run pins."""

from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from include.retrofill.model.errors import ConfigError, SourceError
from include.retrofill.model.function import FunctionVersion

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

_DENIED = frozenset({"AccessDeniedException", "AccessDenied"})
_SERVER_ERROR_STATUS = 500


def preflight(client: "LambdaClient", function: str, qualifier: str | None) -> FunctionVersion:
    """Find the function, and prove that this version of it may be called.

    An alias is followed to the version it means now, which the whole run then calls. ``$LATEST``
    cannot be pinned; the SHA-256 of its code is recorded.

    Sources: https://docs.aws.amazon.com/lambda/latest/api/API_GetFunctionConfiguration.html and,
    for DryRun, https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html.

    :param function: name, partial ARN or ARN, without a qualifier
    :param qualifier: a version's number or an alias; None: ``$LATEST``
    :raises ConfigError: there is no such function or version, it is not ready, or it may not be
        called; the message says what to do
    """
    asked = f"{function}:{qualifier}" if qualifier else function
    try:
        found = client.get_function_configuration(
            FunctionName=function, **({"Qualifier": qualifier} if qualifier else {})
        )
    except ClientError as error:
        raise _meaning(error, asked, "lambda:GetFunctionConfiguration") from error
    except NoCredentialsError as error:
        raise ConfigError(f"aws_conn_id: it gives no AWS credentials ({error})") from error
    except BotoCoreError as error:
        raise SourceError(f"function {asked!r} could not be looked up: {error}") from error
    state, update = found.get("State", "Active"), found.get("LastUpdateStatus", "Successful")
    if state != "Active" or update == "InProgress":
        reason = found.get("StateReason") or found.get("LastUpdateStatusReason") or "no reason"
        raise ConfigError(
            f"function: {asked!r} is {state}, its last update {update} ({reason}); allowed is an"
            " active one: wait for it, or mend it"
        )
    version = found["Version"]
    arn = ":".join(found["FunctionArn"].split(":")[:7])
    try:
        client.invoke(FunctionName=arn, Qualifier=version, InvocationType="DryRun")
    except ClientError as error:
        raise _meaning(error, f"{arn}:{version}", "lambda:InvokeFunction") from error
    except BotoCoreError as error:
        raise SourceError(f"function {asked!r} could not be tried: {error}") from error
    return FunctionVersion(
        arn=arn,
        version=version,
        qualifier=qualifier,
        timeout_s=found["Timeout"],
        memory_mb=found["MemorySize"],
        code_sha256=found["CodeSha256"],
        state=state,
        last_update_status=update,
    )


def _meaning(error: ClientError, asked: str, permission: str) -> ConfigError | SourceError:
    """Say what an error of Lambda means for the person who runs the backfill."""
    code = error.response.get("Error", {}).get("Code", "")
    if code == "ResourceNotFoundException":
        return ConfigError(
            f"function: there is no {asked!r} in the region of aws_conn_id; check its name, its"
            " version or alias, and the region"
        )
    if code in _DENIED:
        return ConfigError(
            f"function: the credentials of aws_conn_id lack {permission} on {asked!r} ({error})"
        )
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if status >= _SERVER_ERROR_STATUS or code == "TooManyRequestsException":
        return SourceError(f"function {asked!r} could not be looked up: {error}")
    return ConfigError(f"function: {asked!r} cannot be called ({error})")
