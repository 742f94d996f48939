"""Typed params, ``name=value``: each is read as the type of its field."""

import difflib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from retrofill.model.errors import ConfigError
from retrofill.model.quoting import quoted


def split(pairs: Iterable[str]) -> dict[str, str]:
    """Return the typed values by name.

    >>> split(["prefix=incoming/", "max_calls="])
    {'prefix': 'incoming/', 'max_calls': ''}

    :raises ConfigError: a text has no name or no ``=``, or a name appears twice
    """
    typed: dict[str, str] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not (name and equals):
            raise ConfigError(
                f"{quoted(pair)} is not allowed; give name=value, such as prefix=incoming/"
            )
        if name in typed:
            raise ConfigError(
                f"{_plain(name)}: {quoted(typed[name])} and {quoted(text)}; give only one value"
            )
        typed[name] = text
    return typed


def read(pairs: Iterable[str], fields: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the values of params.

    >>> read(["max_calls=5"], {"max_calls": {"type": ["null", "integer"]}})
    {'max_calls': 5}

    :param fields: the JSON schema of every param
    :raises ConfigError: there is no such param, or the text is not of its type
    """
    typed = split(pairs)
    unknown = [_unknown(name, fields) for name in typed if name not in fields]
    if unknown:
        raise ConfigError(*unknown)
    return {name: _value(name, text, fields[name]) for name, text in typed.items()}


def _plain(name: str) -> str:
    return quoted(name)[1:-1]


def _unknown(name: str, fields: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name, fields, n=1)
    hint = f"did you mean {close[0]}?" if close else f"give one of {', '.join(sorted(fields))}"
    return f"{_plain(name)}: there is no such param; {hint}"


def _value(name: str, text: str, schema: Mapping[str, Any]) -> Any:
    declared = schema.get("type") or "string"
    types = {declared} if isinstance(declared, str) else set(declared)
    if not text and "null" in types:
        return None
    if "string" in types:
        return text
    try:
        return json.loads(text)
    except ValueError:
        allowed = " or ".join(sorted(types - {"null"}))
        raise ConfigError(
            f"{name}: {quoted(text)} is not allowed; give JSON of type {allowed}"
        ) from None
