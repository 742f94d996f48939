"""The scripted endpoint: Lambda's Invoke and S3's listing over real HTTP, with faults on demand.

>>> script = Script(rules=(Rule(keys=frozenset({"a.json"}), arrivals=Span(last=2),
...                             reply=Reply(error="TooManyRequestsException")),))
>>> with scripted_endpoint(script) as endpoint:
...     client = boto3.client("lambda", endpoint_url=endpoint.url)

It does not check signatures, run code, store the contents of objects, or end functions at their
timeout.
"""

from stack.endpoint.counts import Call, Stats
from stack.endpoint.process import EndpointError, ScriptedEndpoint, scripted_endpoint
from stack.endpoint.script import (
    Bucket,
    Function,
    Operation,
    Reply,
    Rule,
    S3Object,
    Script,
    Span,
    Wire,
)

__all__ = [
    "Bucket",
    "Call",
    "EndpointError",
    "Function",
    "Operation",
    "Reply",
    "Rule",
    "S3Object",
    "Script",
    "ScriptedEndpoint",
    "Span",
    "Stats",
    "Wire",
    "scripted_endpoint",
]
