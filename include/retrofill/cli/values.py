"""Params as they are typed: ``name=value``, each read as the type that its field has."""

import difflib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from retrofill.model.errors import ConfigError
from retrofill.model.quoting import quoted


def split(pairs: Iterable[str]) -> dict[str, str]:
    """Return what was typed, by name.

    :raises ConfigError: something is no pair, or a name is there twice
    """
    typed: dict[str, str] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not (name and equals):
            raise ConfigError(f"{quoted(pair)}; allowed is name=value, such as prefix=incoming/")
        if name in typed:
            raise ConfigError(
                f"{_plain(name)}: {quoted(typed[name])} and {quoted(text)}; give one value only"
            )
        typed[name] = text
    return typed


def read(pairs: Iterable[str], fields: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the values of params.

    :param fields: the JSON schema of each param there is
    :raises ConfigError: there is no such param, or it is not of that type
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
    hint = f"did you mean {close[0]}?" if close else f"allowed are {', '.join(sorted(fields))}"
    return f"{_plain(name)}: there is no such param; {hint}"


def _value(name: str, text: str, schema: Mapping[str, Any]) -> Any:
    told = schema.get("type") or "string"
    types = {told} if isinstance(told, str) else set(told)
    if not text and "null" in types:
        return None
    if "string" in types:
        return text
    try:
        return json.loads(text)
    except ValueError:
        allowed = " or ".join(sorted(types - {"null"}))
        raise ConfigError(f"{name}: {quoted(text)}; allowed is JSON of type {allowed}") from None
