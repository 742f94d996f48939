"""Names that several modules for AWS share."""

LAMBDA = "aws_lambda"
"""The name of the function kind for Lambda."""

LATEST = "$LATEST"
"""The unpublished version, which is called by default."""

CARRIED_BY_LAMBDA = frozenset({LAMBDA})
"""The kinds of functions that can receive events of live triggers in AWS."""
