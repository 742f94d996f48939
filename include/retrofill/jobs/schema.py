"""The JSON schema of job files, for editors, generated from the fields and params."""

from collections.abc import Iterator
from typing import Any

from retrofill.config import params_for
from retrofill.functions import FUNCTIONS
from retrofill.jobs.fields import NONE, Fields
from retrofill.params.base import Params
from retrofill.sources import SOURCES

_OURS = {"section", "allowed", "form"}
"""The keywords in a param's schema that only the trigger form uses."""


def job_schema() -> dict[str, Any]:
    """Return the schema in draft 7, which most editors support."""
    definitions: dict[str, Any] = {}
    fields = Fields.model_json_schema()
    untimed = {"anyOf": [{"const": NONE}, {"type": "object"}]}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A job file of Retrofill",
        "type": "object",
        "properties": {name: _plain(one) for name, one in fields["properties"].items()},
        "required": fields["required"],
        "additionalProperties": False,
        "allOf": [
            {
                "if": {"properties": {"schedule": untimed}},
                "then": {"properties": {"catchup": {"const": False}}},
                "else": {"required": ["start_date"]},
            },
            *(_of_source(name, definitions) for name in SOURCES),
        ],
        "definitions": definitions,
    }


def _of_source(source: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a job file with this kind of source.

    :param definitions: the schemas of params so far; it adds those of the source
    """
    params = {}
    for part in params_for(source).parts:
        for name, one in part.model_json_schema()["properties"].items():
            schema = _plain(one)
            # Most params are the same in all sources.
            own = name if definitions.setdefault(name, schema) == schema else f"{source} {name}"
            definitions[own] = schema
            params[name] = {"$ref": f"#/definitions/{own.replace(' ', '%20')}"}
    return {
        "if": {"properties": {"source": {"const": source}}, "required": ["source"]},
        "then": {
            "properties": {
                "params": {
                    "type": "object",
                    "properties": params,
                    "required": _required(SOURCES[source].params),
                    "additionalProperties": False,
                    "allOf": list(_of_functions()),
                }
            }
        },
    }


def _of_functions() -> Iterator[dict[str, Any]]:
    default = next(iter(FUNCTIONS))
    for name, kind in FUNCTIONS.items():
        asked: dict[str, Any] = {"properties": {"function_kind": {"const": name}}}
        if name != default:
            asked["required"] = ["function_kind"]
        yield {"if": asked, "then": {"required": _required(kind.params)}}


def _required(params: type[Params]) -> list[str]:
    return [name for name, one in params.model_fields.items() if one.is_required()]


def _plain(schema: Any) -> Any:
    """Return a schema without our own keywords and without defaults of null."""
    if isinstance(schema, list):
        return [_plain(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return {}  # pydantic's schema for any JSON
    return {
        word: _plain(value)
        for word, value in schema.items()
        if word not in _OURS and (word, value) != ("default", None)
    }
