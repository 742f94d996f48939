"""Lambda's part of the data plane: the Invoke operation's path, its headers and its signature."""

from urllib.parse import quote

from retrofill.functions.aws_lambda.signing import Credentials, Signer
from retrofill.functions.aws_lambda.usage import ASKS_FOR_LOG
from retrofill.functions.transport.client import HttpClient
from retrofill.functions.transport.endpoint import Endpoint
from retrofill.model.errors import ConfigError

_UNRESERVED = "-._~"


def invoke_client(
    *,
    endpoint_url: str,
    region: str,
    credentials: Credentials | None,
    function_arn: str,
    qualifier: str,
    deadline_s: float,
    max_in_flight: int,
    tenant_id: str | None = None,
    tells_usage: bool = False,
    verify: bool | str = True,
    proxy_url: str | None = None,
) -> HttpClient:
    """Open the data plane to one function; other parameters are those of the transport.

    :param endpoint_url: ``http[s]://host[:port][/path]`` of the Lambda API
    :param credentials: as returned by botocore's sessions, None if there are none; queried before
        every request
    :param qualifier: version or alias of the function; empty for none
    :param tenant_id: the tenant that all calls are for; None for a function without tenants
    :param tells_usage: whether responses include what is billed, in the tail of the log
    :raises ConfigError: there are no credentials, or endpoint, proxy, certificates or a number
        cannot be used
    """
    if credentials is None:
        raise ConfigError("credentials: none were found; give any that botocore finds")
    endpoint = Endpoint.parse(endpoint_url)
    return HttpClient(
        endpoint,
        path=invocation_path(endpoint, function_arn, qualifier),
        headers=[
            ("X-Amz-Invocation-Type", "RequestResponse"),
            *([("X-Amz-Tenant-Id", tenant_id)] if tenant_id else []),
            *([ASKS_FOR_LOG] if tells_usage else []),
        ],
        sign=Signer(credentials, region).sign,
        deadline_s=deadline_s,
        max_in_flight=max_in_flight,
        verify=verify,
        proxy_url=proxy_url,
    )


def invocation_path(endpoint: Endpoint, function_arn: str, qualifier: str) -> str:
    """Return path and query of the Invoke operation.

    Format: https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html.

    :param qualifier: version or alias; empty for none
    """
    path = f"{endpoint.base_path}/2015-03-31/functions/{quote(function_arn, safe=_UNRESERVED)}"
    query = f"?Qualifier={quote(qualifier, safe=_UNRESERVED)}" if qualifier else ""
    return f"{path}/invocations{query}"
