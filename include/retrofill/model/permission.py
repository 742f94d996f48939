"""Permissions of roles."""

from typing import NamedTuple


class Permission(NamedTuple):
    """A permission that a role needs.

    >>> Permission("files.read", "my-photos/*", "for photos").action
    'files.read'
    """

    action: str
    """The action, as the granting service names it."""

    resource: str
    """An example of the resource, with names to replace; ``*``: the action has no resource."""

    when: str
    """For which runs, in words or as a param's name; empty: for all."""
