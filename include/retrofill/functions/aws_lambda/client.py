"""The data plane to a Lambda function: the Invoke operation's path, headers and signature."""

import hashlib
import os
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from botocore.utils import get_environ_proxies

from retrofill.functions.aws_lambda.signing import Signer
from retrofill.functions.aws_lambda.usage import ASKS_FOR_LOG
from retrofill.functions.client import Payload
from retrofill.functions.transport.client import DEADLINE_MARGIN_S, MOST_IN_FLIGHT, HttpClient
from retrofill.functions.transport.endpoint import Endpoint
from retrofill.model.errors import ConfigError

if TYPE_CHECKING:
    from botocore.credentials import Credentials
    from mypy_boto3_lambda import LambdaClient

_UNRESERVED = "-._~"


def open_client(
    api: "LambdaClient", *, verify: bool | str | None, function_timeout_s: float, **function: Any
) -> HttpClient:
    """Open the data plane with the endpoint, region and proxy of a boto3 client.

    :param verify: as in boto3; None: AWS_CA_BUNDLE or the system's certificates
    :param function: the other parameters of :func:`invoke_client`
    :raises ConfigError: there are no credentials, or endpoint, proxy or certificates are unusable
    """
    url = api.meta.endpoint_url
    # boto3's stubs omit the attributes of a Config.
    proxies: dict[str, str] = vars(api.meta.config).get("proxies") or get_environ_proxies(url)
    return invoke_client(
        endpoint_url=url,
        region=api.meta.region_name,
        deadline_s=function_timeout_s + DEADLINE_MARGIN_S,
        max_in_flight=MOST_IN_FLIGHT,
        verify=(os.environ.get("AWS_CA_BUNDLE") or True) if verify is None else verify,
        proxy_url=proxies.get(url.partition(":")[0]),
        **function,
    )


def invoke_client(
    *,
    endpoint_url: str,
    region: str,
    credentials: "Credentials | None",
    function_arn: str,
    qualifier: str,
    deadline_s: float,
    max_in_flight: int,
    tenant_id: str | None = None,
    executions: str = "",
    reports_usage: bool = False,
    verify: bool | str = True,
    proxy_url: str | None = None,
) -> HttpClient:
    """Open the data plane to one function; other parameters are those of the transport.

    :param endpoint_url: ``http[s]://host[:port][/path]`` of the Lambda API
    :param credentials: queried before every request
    :param qualifier: version or alias of the function; empty for none
    :param tenant_id: the tenant that all calls are for; None for a function without tenants
    :param executions: the prefix of the names of durable executions; empty: it is not durable
    :param reports_usage: whether responses include what is billed, in the tail of the log
    :raises ConfigError: there are no credentials, or endpoint, proxy, certificates or a number
        cannot be used
    """
    if credentials is None:
        raise ConfigError("aws_conn_id: it has no AWS credentials; name a connection that has")
    endpoint = Endpoint.parse(endpoint_url)
    return HttpClient(
        endpoint,
        path=invocation_path(endpoint, function_arn, qualifier),
        headers=[
            ("X-Amz-Invocation-Type", "RequestResponse"),
            *([("X-Amz-Tenant-Id", tenant_id)] if tenant_id else []),
            *([ASKS_FOR_LOG] if reports_usage else []),
        ],
        headers_of=lambda payload: _execution(executions, payload) if executions else (),
        sign=Signer(credentials, region).sign,
        deadline_s=deadline_s,
        max_in_flight=max_in_flight,
        verify=verify,
        proxy_url=proxy_url,
    )


def _execution(prefix: str, payload: Payload) -> list[tuple[str, str]]:
    """Return the header that names a call's durable execution: at most 64 characters.

    For a known name with the same payload, Lambda returns the existing execution, running or ended.
    So a call that is repeated because its outcome is unknown has the same name, and one that is
    repeated because it failed has another.
    https://docs.aws.amazon.com/lambda/latest/dg/durable-execution-idempotency.html
    """
    digest = hashlib.blake2b(payload.identifiers, digest_size=16)
    digest.update(str(payload.failures).encode())
    return [("X-Amz-Durable-Execution-Name", f"{prefix}-{digest.hexdigest()}")]


def invocation_path(endpoint: Endpoint, function_arn: str, qualifier: str) -> str:
    """Return path and query of the Invoke operation.

    Format: https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html.
    """
    path = f"{endpoint.base_path}/2015-03-31/functions/{quote(function_arn, safe=_UNRESERVED)}"
    query = f"?Qualifier={quote(qualifier, safe=_UNRESERVED)}" if qualifier else ""
    return f"{path}/invocations{query}"
