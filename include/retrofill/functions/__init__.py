"""Functions: the doors through which items leave, one package for each kind."""

from collections.abc import Mapping

from retrofill.functions import aws_lambda, http
from retrofill.functions.kind import FunctionKind
from retrofill.model.registry import registered

__all__ = ["FUNCTIONS"]

FUNCTIONS: Mapping[str, FunctionKind] = registered(
    {
        "aws_lambda": aws_lambda.KIND,
        "http": http.KIND,
    },
    FunctionKind,
    "retrofill.functions",
)
"""All kinds of functions by name: ours, and those of packages with this entry point group."""
