"""Look up the function before the first call: whether it can be called, and the version to pin."""

import logging
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, ParamValidationError

from retrofill.aws.arn import Arn
from retrofill.aws.names import LAMBDA, LATEST
from retrofill.aws.refusals import Refusal, code_of, explained
from retrofill.functions.aws_lambda.logs import own_log_group
from retrofill.functions.aws_lambda.outcomes import starts_up
from retrofill.functions.aws_lambda.properties import (
    ARCHITECTURE,
    CAPACITY,
    X86,
    names_of_executions,
    require_callable,
    timeout_s,
)
from retrofill.functions.kind import Capacity
from retrofill.model.errors import ConfigError, FunctionUnavailable, RetrofillError
from retrofill.model.function import Pinned

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

log = logging.getLogger(__name__)

PUBLISHED = "$LATEST.PUBLISHED"
"""The version that a function with a capacity provider is called as by default.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-managed-instances-version-publishing.html
"""

_NOTHING_RAN = 204


def locate(client: "LambdaClient", function: str, qualifier: str | None) -> str:
    """Return the ARN of a function, without a qualifier; see :func:`preflight`."""
    return str(Arn.parse(_look_up(client, function, qualifier)["FunctionArn"]).unqualified)


def preflight(
    client: "LambdaClient", function: str, qualifier: str | None, tenant_id: str | None = None
) -> Pinned:
    """Find the function, and prove that it may be called under this name.

    The version behind an alias is pinned. The run calls the alias, as live traffic does, and stops
    if another version answers. An alias that shares its calls between two versions is refused,
    unless the credentials may not look that up. ``$LATEST`` cannot be pinned: the SHA-256 of its
    code is recorded.

    Sources: https://docs.aws.amazon.com/lambda/latest/api/API_GetFunctionConfiguration.html,
    https://docs.aws.amazon.com/lambda/latest/api/API_GetAlias.html,
    https://docs.aws.amazon.com/lambda/latest/dg/functions-states.html and, for DryRun,
    https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html.

    :param function: name, partial ARN or ARN, without a qualifier
    :param qualifier: a version's number or an alias; None: ``$LATEST``, without naming it
    :param tenant_id: the tenant that the calls are for; None: the function has no tenants
    :raises ConfigError: there is no such function or version, it cannot become ready, may not be
        called, or needs a param that is not given; the message says what to do
    :raises FunctionUnavailable: Lambda did not answer, or is creating or updating the function; a
        retry may find it ready
    """
    asked, found = _named(function, qualifier), _look_up(client, function, qualifier)
    if not qualifier and found.get("CapacityProviderConfig"):
        found = _look_up(client, function, PUBLISHED)  # the default for such a function
    elif not qualifier or qualifier == LATEST:
        found["Version"] = LATEST
    elif not (qualifier.isdecimal() or qualifier == PUBLISHED):
        _require_one_version(client, function, qualifier)
    require_callable(asked, found, tenant_id)
    if not qualifier and found.get("DurableConfig"):
        qualifier = found["Version"]  # without one, Lambda refuses the call
    pinned = Pinned(
        kind=LAMBDA,
        name=str(Arn.parse(found["FunctionArn"]).unqualified),
        version=found["Version"],
        timeout_s=timeout_s(asked, found),
        facts={
            **_qualified(qualifier, "qualifier"),
            **names_of_executions(found),
            "memory_mb": found["MemorySize"],
            ARCHITECTURE: found.get("Architectures", [X86])[0],
            **({CAPACITY: True} if found.get("CapacityProviderConfig") else {}),
            **own_log_group(found),
            "code_sha256": found["CodeSha256"],
        },
    )
    _require_ready(pinned, asked, found)
    named = _qualified(qualifier) | ({"TenantId": tenant_id} if tenant_id else {})
    with _explained(client, _named(pinned.name, qualifier), "lambda:InvokeFunction"):
        status = client.invoke(FunctionName=pinned.name, InvocationType="DryRun", **named)[
            "StatusCode"
        ]
    if status != _NOTHING_RAN:
        raise ConfigError(
            f"aws_conn_id: its Lambda endpoint answered a dry run with {status} instead of"
            f" {_NOTHING_RAN}, so it may have run the function; use an endpoint with dry runs"
        )
    return pinned


def _named(function: str, qualifier: str | None) -> str:
    return f"{function}:{qualifier}" if qualifier else function


def _qualified(qualifier: str | None, name: str = "Qualifier") -> dict[str, Any]:
    return {name: qualifier} if qualifier else {}


def _look_up(client: "LambdaClient", function: str, qualifier: str | None) -> dict[str, Any]:
    _require_region(client, function)
    with _explained(client, _named(function, qualifier), "lambda:GetFunctionConfiguration"):
        return dict(
            client.get_function_configuration(FunctionName=function, **_qualified(qualifier))
        )


def concurrency_ceiling(client: "LambdaClient", function: str, reserve_percent: int) -> int:
    """Return how many calls may be in flight with a reserve for live traffic.

    The reserve is a share of the function's reserved concurrency or, if it has none, of the
    account's unreserved concurrency.

    Sources: https://docs.aws.amazon.com/lambda/latest/api/API_GetFunctionConcurrency.html,
    https://docs.aws.amazon.com/lambda/latest/api/API_GetAccountSettings.html.

    :param function: its ARN, without a qualifier
    :param reserve_percent: the percentage to keep free
    :raises ConfigError: nothing is left for the run, or this may not be looked up
    :raises FunctionUnavailable: Lambda did not answer; a retry may succeed
    """
    limit, whose = _concurrency(client, function)
    ceiling = limit * (100 - reserve_percent) // 100
    if not ceiling:
        raise ConfigError(
            f"reserve_percent: {reserve_percent} leaves the run none of the {limit:,} concurrent"
            f" executions {whose}; give less, or raise the limit"
        )
    log.info(
        "%d %% of the %d concurrent executions %s stay free for live traffic: the run has at most"
        " %d calls in flight",
        reserve_percent,
        limit,
        whose,
        ceiling,
    )
    return ceiling


def _concurrency(client: "LambdaClient", function: str) -> tuple[int, str]:
    """Return how many executions a function may have at once, and whose they are."""
    reserved = _reserved(client, function)
    if reserved is not None:
        return reserved, "reserved for the function"
    with _explained(client, "*", "lambda:GetAccountSettings"):
        account = client.get_account_settings()["AccountLimit"]
    return account["UnreservedConcurrentExecutions"], "unreserved in the account"


def find_capacity(client: "LambdaClient", function: str) -> Capacity | None:
    """Return how many calls a function accepts at once; None: this cannot be looked up.

    :param function: its ARN, without a qualifier
    """
    try:
        limit, whose = _concurrency(client, function)
    except (ConfigError, FunctionUnavailable) as error:
        log.info("the concurrency limit of %s is unknown: %s", function, error)
        return None
    return Capacity(limit, f"concurrent executions are {whose}")


def _reserved(client: "LambdaClient", function: str) -> int | None:
    with _explained(client, function, "lambda:GetFunctionConcurrency"):
        return client.get_function_concurrency(FunctionName=function).get(
            "ReservedConcurrentExecutions"
        )


def require_switched_on(client: "LambdaClient", function: str) -> None:
    """Refuse a function with a reserved concurrency of 0, which would throttle every call.

    If this may not be looked up, the calls will show it.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html.

    :param function: its ARN, without a qualifier
    :raises ConfigError: its reserved concurrency is 0
    :raises FunctionUnavailable: Lambda did not answer; a retry may succeed
    """
    try:
        reserved = _reserved(client, function)
    except _DeniedError:
        return
    if reserved == 0:
        raise ConfigError(
            f"function: {function!r} has a reserved concurrency of 0, so Lambda refuses every call;"
            " raise it above 0, or remove the reservation"
        )


def _require_region(client: "LambdaClient", function: str) -> None:
    here = client.meta.region_name
    arn = Arn.find(function)
    if arn is not None and (there := arn.region) != here:
        raise ConfigError(
            f"function: {function!r} is in region {there}, but the connection aws_conn_id is set to"
            f" {here}; set the connection's region_name to {there}, or give a function in {here}"
        )


def _require_one_version(client: "LambdaClient", function: str, alias: str) -> None:
    try:
        with _explained(client, f"{function}:{alias}", "lambda:GetAlias"):
            found = client.get_alias(FunctionName=function, Name=alias)
    except _DeniedError:
        log.warning(
            "without lambda:GetAlias, it is unknown whether alias %s of %s shares its calls between"
            " two versions; the run stops at the first response of another version",
            alias,
            function,
        )
        return
    others = found.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})
    if others:
        weights = ", ".join(f"{weight:.0%} to {version}" for version, weight in others.items())
        raise ConfigError(
            f"qualifier: alias {alias!r} shares its calls between version"
            f" {found['FunctionVersion']} and others ({weights}), but a run calls one version; give"
            " the number of that version"
        )


def _require_ready(pinned: Pinned, asked: str, found: dict[str, Any]) -> None:
    # A function without a state was created before states existed.
    state, update = found.get("State", "Active"), found.get("LastUpdateStatus", "Successful")
    reason = found.get("StateReason") or "Lambda gives no reason"
    if state == "Pending":
        raise FunctionUnavailable(
            f"function {asked!r} is {state} ({reason}); Lambda is still creating it"
        )
    if update == "InProgress":
        raise FunctionUnavailable(
            f"function {asked!r} is being updated; its code is about to change"
        )
    if state == "Inactive":
        # Only a call wakes it. Until then calls are refused, as for any function that starts.
        log.warning("%s is %s (%s); the first calls wake it", asked, state, reason)
    elif state != "Active":
        to_do = "repair and update it" if state == "Failed" else "give one that is active"
        raise ConfigError(f"function: {asked!r} is {state} ({reason}); {to_do}")
    if update != "Successful":
        reason = found.get("LastUpdateStatusReason") or "Lambda gives no reason"
        log.warning("the last update of %s failed (%s); the earlier code runs", asked, reason)
    if pinned.version.startswith(LATEST):
        log.warning(
            "%s is %s: its code, now %s, may change during the run; to rule that out, publish a"
            " version and give its number",
            pinned.name,
            pinned.version,
            pinned.facts["code_sha256"],
        )


class _DeniedError(ConfigError):
    """The credentials lack a permission."""


def _explained(client: "LambdaClient", asked: str, permission: str) -> AbstractContextManager[None]:
    """Translate botocore's errors for the user of the backfill."""
    region = client.meta.region_name

    def refused(error: ClientError | ParamValidationError, refusal: Refusal) -> RetrofillError:
        code = code_of(error) if isinstance(error, ClientError) else ""
        if starts_up(code):
            return FunctionUnavailable(f"function {asked!r} is not ready: {error}")
        if code == "ResourceNotFoundException":
            return ConfigError(
                f"function: there is no {asked!r} in {region} ({error}); check its name, its"
                " version or alias, and the region of the connection aws_conn_id"
            )
        if refusal is Refusal.DENIED:
            return _DeniedError(
                f"function: the credentials of aws_conn_id lack {permission} on {asked!r}"
                f" ({error}); grant it on the function's ARN and on the same ARN with :* appended"
                " or, if the ARN is of another account, in the function's own policy, too"
            )
        return ConfigError(f"function: {asked!r} cannot be called ({error})")

    return explained(
        refused,
        lambda error: FunctionUnavailable(f"function {asked!r} could not be looked up: {error}"),
    )
