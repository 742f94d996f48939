"""Check what a function's configuration requires of calls, and refuse unknown requirements."""

import logging
import secrets
from collections.abc import Mapping
from typing import Any

from retrofill.model.errors import ConfigError
from retrofill.model.quoting import quoted

log = logging.getLogger(__name__)

MAX_SYNC_S = 900
"""The most seconds that Lambda runs a function or durable execution for a synchronous call.

https://docs.aws.amazon.com/lambda/latest/dg/durable-invoking.html
"""

EXECUTIONS = "durable_executions"
"""The fact with the prefix of the names of a run's durable executions."""

ARCHITECTURE = "architecture"
"""The fact with the function's processor architecture."""

X86 = "x86_64"
ARM = "arm64"

CAPACITY = "capacity_provider"
"""The fact that a function runs on instances of its own."""

_MANAGED = "LambdaManagedInstancesCapacityProviderConfig"
_READ = frozenset({"CapacityProviderConfig", "DurableConfig", "TenancyConfig"})
_OF_NO_CALL = frozenset(
    {
        "AcceleratorConfig",
        "DeadLetterConfig",
        "Environment",
        "EphemeralStorage",
        "ImageConfigResponse",
        "LoggingConfig",
        "ResponseMetadata",
        "RuntimeConfig",
        "RuntimeVersionConfig",
        "SnapStart",
        "TracingConfig",
        "VpcConfig",
    }
)
KNOWN = _READ | _OF_NO_CALL
"""The structures in a function's configuration whose effect on a call is known.

https://docs.aws.amazon.com/lambda/latest/api/API_GetFunctionConfiguration.html. Response streaming
is not among them: Invoke waits for the whole response.
"""


def require_callable(asked: str, found: Mapping[str, Any], tenant_id: str | None) -> None:
    """Check that this package can call a function.

    :param asked: the function, as it was given
    :param found: its configuration
    :raises ConfigError: it requires something that is unknown, or not given
    """
    unknown = [
        name
        for name, value in found.items()
        if isinstance(value, Mapping) and value and name not in KNOWN
    ]
    unknown += [f"CapacityProviderConfig.{name}" for name in _unknown_providers(found)]
    mode = found.get("TenancyConfig", {}).get("TenantIsolationMode")
    if mode not in {None, "PER_TENANT"}:
        unknown.append(f"TenancyConfig.TenantIsolationMode {mode}")
    if unknown:
        raise ConfigError(
            f"function: {asked!r} has {', '.join(unknown)}, and Retrofill does not know how that"
            " changes its calls; give a function without it"
        )
    if mode and not tenant_id:
        raise ConfigError(
            f"tenant_id: function {asked!r} isolates its tenants, so each call must name one; give"
            " the tenant whose data this is"
        )
    if tenant_id and not mode:
        raise ConfigError(
            f"tenant_id: {quoted(tenant_id)} is not allowed, as function {asked!r} isolates no"
            " tenants; leave it empty"
        )
    execution_s = found.get("DurableConfig", {}).get("ExecutionTimeout", 0)
    if execution_s > MAX_SYNC_S:
        raise ConfigError(
            f"function: {asked!r} is durable, with an ExecutionTimeout of {execution_s:,} s, but"
            f" Lambda refuses calls that would wait that long; set it to at most {MAX_SYNC_S} s"
        )


def timeout_s(asked: str, found: Mapping[str, Any]) -> int:
    """Return the seconds that a call may run; of a durable function, those of its execution."""
    seconds: int = found.get("DurableConfig", {}).get("ExecutionTimeout") or found["Timeout"]
    if seconds > MAX_SYNC_S:
        log.warning(
            "%s has a timeout of %d s, of which a synchronous call gets %d s",
            asked,
            seconds,
            MAX_SYNC_S,
        )
    return min(seconds, MAX_SYNC_S)


def names_of_executions(found: Mapping[str, Any]) -> dict[str, str]:
    """Return the fact that names a run's durable executions; none if the function is not durable.

    It is random, because Lambda does not run an execution again under a name that it remembers.
    """
    if not found.get("DurableConfig"):
        return {}
    return {EXECUTIONS: f"retrofill-{secrets.token_hex(8)}"}


def _unknown_providers(found: Mapping[str, Any]) -> set[str]:
    return set(found.get("CapacityProviderConfig", {})) - {_MANAGED}
