"""Functions: the targets of calls. There is a package for each kind."""

from collections.abc import Mapping

from retrofill.engine.outcomes import Ending, Outcome
from retrofill.functions import aws_lambda, http
from retrofill.functions.client import Client, NoReply, Payload, Reply
from retrofill.functions.kind import Asked, Called, FunctionKind, FunctionParams
from retrofill.functions.readings import unanswered
from retrofill.model.errors import ConfigError
from retrofill.model.function import Pinned
from retrofill.model.permission import Permission
from retrofill.model.registry import Registry
from retrofill.params import Params, Problem, Sound, field

__all__ = [
    "FUNCTIONS",
    "Asked",
    "Called",
    "Client",
    "ConfigError",
    "Ending",
    "FunctionKind",
    "FunctionParams",
    "NoReply",
    "Outcome",
    "Params",
    "Payload",
    "Permission",
    "Pinned",
    "Problem",
    "Reply",
    "Sound",
    "field",
    "unanswered",
]

FUNCTIONS: Mapping[str, FunctionKind] = Registry(
    {
        "aws_lambda": aws_lambda.KIND,
        "http": http.KIND,
    },
    FunctionKind,
    "retrofill.functions",
)
"""All kinds of functions by name: built-in ones, and those of packages with this entry point
group."""
