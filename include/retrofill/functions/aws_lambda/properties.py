"""What the configuration of a function asks of its calls; what is not known here is refused."""

import logging
import secrets
from collections.abc import Mapping
from typing import Any

from retrofill.model.errors import ConfigError
from retrofill.model.quoting import quoted

log = logging.getLogger(__name__)

MAX_SYNC_S = 900
"""The longest that Lambda runs a function, or a durable execution, for a call that waits for it.

https://docs.aws.amazon.com/lambda/latest/dg/durable-invoking.html
"""

EXECUTIONS = "durable_executions"
"""The fact that says how the names of a run's durable executions begin."""

ARCHITECTURE = "architecture"
"""The fact that says for which processor a function is."""

X86 = "x86_64"
ARM = "arm64"

CAPACITY = "capacity_provider"
"""The fact that a function runs on machines of its own."""

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
"""The structures in a function's configuration of which it is known what they ask of a call.

https://docs.aws.amazon.com/lambda/latest/api/API_GetFunctionConfiguration.html. That it streams
its response is not among them: Invoke waits for the whole of it.
"""


def require_callable(asked: str, found: Mapping[str, Any], tenant_id: str | None) -> None:
    """Check that a function can be called as this package calls functions.

    :param asked: the function, as it was asked for
    :param found: its configuration
    :raises ConfigError: it asks for what is not known, or not given
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
            f"function: {asked!r} has {', '.join(unknown)}, and it is not known here whether that"
            " changes how the function must be called; allowed is a function without"
        )
    if mode and not tenant_id:
        raise ConfigError(
            f"tenant_id: function {asked!r} isolates its tenants, so each call must name one; give"
            " the tenant whose data this is"
        )
    if tenant_id and not mode:
        raise ConfigError(
            f"tenant_id: {quoted(tenant_id)}; function {asked!r} isolates no tenants; leave it"
            " empty"
        )
    execution_s = found.get("DurableConfig", {}).get("ExecutionTimeout", 0)
    if execution_s > MAX_SYNC_S:
        raise ConfigError(
            f"function: {asked!r} is durable, with an ExecutionTimeout of {execution_s:,} s, and"
            f" Lambda lets nobody wait for such an execution; allowed are at most {MAX_SYNC_S} s"
        )


def timeout_s(asked: str, found: Mapping[str, Any]) -> int:
    """Return the seconds that a call may run: those of its execution if the function is durable."""
    seconds: int = found.get("DurableConfig", {}).get("ExecutionTimeout") or found["Timeout"]
    if seconds > MAX_SYNC_S:
        log.warning(
            "%s has a timeout of %d s, of which a call that waits for it gets %d s",
            asked,
            seconds,
            MAX_SYNC_S,
        )
    return min(seconds, MAX_SYNC_S)


def names_of_executions(found: Mapping[str, Any]) -> dict[str, str]:
    """Return the fact that names a run's durable executions; none if the function is not durable.

    It is drawn by lot: Lambda does not execute again what it remembers under a name.
    """
    if not found.get("DurableConfig"):
        return {}
    return {EXECUTIONS: f"retrofill-{secrets.token_hex(8)}"}


def _unknown_providers(found: Mapping[str, Any]) -> set[str]:
    return set(found.get("CapacityProviderConfig", {})) - {_MANAGED}
