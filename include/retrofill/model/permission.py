"""A permission: something that a role must be allowed to do."""

from typing import NamedTuple


class Permission(NamedTuple):
    """Something that a role must be allowed to do."""

    action: str
    """Such as ``s3:ListBucket``, or ``SELECT``."""

    resource: str
    """What it is done to, as an example: an ARN with names to replace, or ``*``."""

    when: str
    """For which runs, in words or by a param's name; empty: for all."""
