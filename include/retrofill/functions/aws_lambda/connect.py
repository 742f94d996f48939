"""Open the data plane with the settings of a boto3 client."""

import os
from typing import TYPE_CHECKING

from botocore.utils import get_environ_proxies

from retrofill.functions.aws_lambda.client import invoke_client
from retrofill.functions.aws_lambda.signing import Credentials
from retrofill.functions.transport.client import (
    DEADLINE_MARGIN_S,
    MOST_IN_FLIGHT,
    HttpClient,
)
from retrofill.model.errors import ConfigError

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient as FunctionApi


def open_client(
    api: "FunctionApi",
    credentials: Credentials | None,
    *,
    verify: bool | str | None,
    function_arn: str,
    qualifier: str,
    tenant_id: str | None = None,
    function_timeout_s: float,
    tells_usage: bool = False,
) -> HttpClient:
    """Open the data plane to a function, with the endpoint, region and proxy of a boto3 client.

    :param tells_usage: whether responses include what is billed
    :param verify: as in boto3; None: AWS_CA_BUNDLE or the system's certificates
    :raises ConfigError: there are no credentials, or endpoint, proxy or certificates are unusable
    """
    if credentials is None:
        raise ConfigError("aws_conn_id: it has no AWS credentials; name a connection that has")
    url = api.meta.endpoint_url
    # boto3's stubs omit the attributes of a Config.
    proxies: dict[str, str] = vars(api.meta.config).get("proxies") or get_environ_proxies(url)
    return invoke_client(
        endpoint_url=url,
        region=api.meta.region_name,
        credentials=credentials,
        function_arn=function_arn,
        qualifier=qualifier,
        tenant_id=tenant_id,
        tells_usage=tells_usage,
        deadline_s=function_timeout_s + DEADLINE_MARGIN_S,
        max_in_flight=MOST_IN_FLIGHT,
        verify=(os.environ.get("AWS_CA_BUNDLE") or True) if verify is None else verify,
        proxy_url=proxies.get(url.partition(":")[0]),
    )
