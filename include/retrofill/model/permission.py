"""A permission: something that a role must be allowed to do."""

from typing import NamedTuple


class Permission(NamedTuple):
    """Something that a role must be allowed to do."""

    action: str
    """What it does, in the words of whoever grants it."""

    resource: str
    """What it is done to, as an example with names to replace; ``*``: it knows no resource."""

    when: str
    """For which runs, in words or by a param's name; empty: for all."""
