"""An Airflow notifier that a connection names: any class of a provider's, or your own.

The connection's extra has ``{"notifier": "dotted.path.Class", "kwargs": {…}}``. Texts in ``kwargs``
are templates, as for every notifier. They know only ``title``, ``text``, ``link``, ``page`` and
``report``.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from airflow.sdk import BaseNotifier

NOTIFIER = "notifier"
"""The key in the extra of such a connection."""

_KWARGS = "kwargs"


def is_named(extra: Mapping[str, Any]) -> bool:
    """Return whether the extra of a connection names a notifier."""
    return NOTIFIER in extra


def problem_of(extra: Mapping[str, Any]) -> str:
    """Return why the notifier in an extra cannot be used; empty: it can."""
    path, kwargs = extra[NOTIFIER], extra.get(_KWARGS, {})
    if not (isinstance(path, str) and "." in path and isinstance(kwargs, dict)):
        return 'its extra must be {"notifier": "dotted.path.Class", "kwargs": {…}}'
    try:
        _make(extra)
    # Whatever its module and its own checks raise.
    except Exception as error:  # noqa: BLE001
        return f"{path!r} is not a notifier that can be made from its kwargs ({error})"
    return ""


def send(extra: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Send through the notifier; what it raises is an error of its own library.

    :param values: the values for its templates
    """
    _make(extra)(dict(values))


def _make(extra: Mapping[str, Any]) -> BaseNotifier:
    module, _, name = extra[NOTIFIER].rpartition(".")
    named = getattr(import_module(module), name)
    if not (isinstance(named, type) and issubclass(named, BaseNotifier)):
        raise TypeError("it is not a subclass of airflow.sdk.BaseNotifier")
    made: BaseNotifier = named(**extra.get(_KWARGS, {}))
    return made
