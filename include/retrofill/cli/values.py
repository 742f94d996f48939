"""Params as they are typed: ``name=value``, each read as the type that its field has."""

import difflib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from retrofill.model.errors import ConfigError
from retrofill.model.quoting import quoted


def split(pair: str) -> tuple[str, str]:
    """Return name and value of what was typed.

    :raises ConfigError: it is no pair
    """
    name, equals, text = pair.partition("=")
    if not (name and equals):
        raise ConfigError(f"{quoted(pair)}; allowed is name=value, such as prefix=incoming/")
    return name, text


def read(pairs: Iterable[str], fields: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the values of params.

    :param fields: the JSON schema of each param there is
    :raises ConfigError: there is no such param, or it is not of that type
    """
    typed = [split(pair) for pair in pairs]
    unknown = [_unknown(name, fields) for name, _ in typed if name not in fields]
    if unknown:
        raise ConfigError(*unknown)
    return {name: _value(name, text, fields[name]) for name, text in typed}


def _unknown(name: str, fields: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name, fields, n=1)
    hint = f"did you mean {close[0]}?" if close else f"allowed are {', '.join(sorted(fields))}"
    return f"{quoted(name)[1:-1]}: there is no such param; {hint}"


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
