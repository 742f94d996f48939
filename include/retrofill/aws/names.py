"""Names that several rooms of AWS share."""

LAMBDA = "aws_lambda"
"""The kind of function that is Lambda's, by its name."""

LATEST = "$LATEST"
"""The version that is not published; what a function is called as when nobody says otherwise."""

CARRIED_BY_LAMBDA = frozenset({LAMBDA})
"""The kinds of functions that can receive what live triggers in AWS send."""
