"""Link to the log of a call: a query in CloudWatch Logs Insights."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from retrofill.aws.arn import Arn
from retrofill.functions.kind import Called
from retrofill.model.function import Pinned

LOG_GROUP = "log_group"
"""The fact that names a function's log group, if it is not the default one."""

_CONSOLES = {
    "aws": "console.aws.amazon.com",
    "aws-cn": "console.amazonaws.cn",
    "aws-us-gov": "console.amazonaws-us-gov.com",
}
_MARGIN = timedelta(minutes=5)
"""How much wider the search is than the call: clocks differ, and log lines arrive late."""

_LONGEST = timedelta(minutes=15)
"""How long a call may run."""


def own_log_group(configuration: Mapping[str, Any]) -> dict[str, str]:
    """Return the log group of a function as a fact, if it is not the default one.

    :param configuration: the output of GetFunctionConfiguration
    """
    usual = _usual(Arn.parse(configuration["FunctionArn"]).name)
    group = configuration.get("LoggingConfig", {}).get("LogGroup", usual)
    return {} if group == usual else {LOG_GROUP: group}


def log_link(function: Pinned, call: Called) -> str | None:
    """Return the link to a call's log; None: no request id, or no console in that partition.

    AWS documents no format; this is that of the console's own links.
    """
    arn = Arn.find(function.name)
    console = arn and _CONSOLES.get(arn.partition)
    if arn is None or console is None or not call.request_id:
        return None
    ends_by = call.ended_at or call.sent_at + _LONGEST
    query = (
        "fields @timestamp, @message"
        f' | filter @requestId = "{call.request_id}" | sort @timestamp asc | limit 1000'
    )
    group = function.facts.get(LOG_GROUP, _usual(arn.name))
    detail = (
        f"~(end~'{_moment(ends_by + _MARGIN)}~start~'{_moment(call.sent_at - _MARGIN)}"
        f"~timeType~'ABSOLUTE~tz~'UTC~editorString~'{_starred(query)}"
        f"~source~(~'{_starred(group)}))"
    )
    # Encoded twice, as in the console: once for itself, and once for the parameter around it.
    twice = re.sub("[~()']", lambda mark: f"$25{ord(mark[0]):X}", detail)
    return (
        f"https://{arn.region}.{console}/cloudwatch/home?region={arn.region}"
        f"#logsV2:logs-insights$3FqueryDetail$3D{twice}"
    )


def _usual(name: str) -> str:
    return f"/aws/lambda/{name}"


def _moment(when: datetime) -> str:
    return _starred(f"{when.astimezone(UTC):%Y-%m-%dT%H:%M:%S.000Z}")


def _starred(text: str) -> str:
    """Return a text with an asterisk and its code for each special character."""
    return re.sub("%..", lambda code: f"*{code[0][1:].lower()}", quote(text, safe="")).replace(
        "~", "*7e"
    )
