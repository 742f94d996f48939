"""The page that documents the API, made of its OpenAPI description."""

from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse

from retrofill.web.responses import respond


def show_description(request: Request, description: Mapping[str, Any]) -> HTMLResponse:
    """Return the page of an OpenAPI description."""
    routes = [
        {
            "address": f"{method.upper()} {description['servers'][0]['url']}{path}",
            "summary": operation["summary"],
            "about": operation.get("description", ""),
            "inputs": list(_inputs(description, operation)),
        }
        for path, operations in description["paths"].items()
        for method, operation in operations.items()
    ]
    return respond(request, "api.html", about=description["info"]["description"], routes=routes)


def _inputs(
    description: Mapping[str, Any], operation: Mapping[str, Any]
) -> Iterator[tuple[str, str, str]]:
    """Yield the name, place and meaning of each parameter and body field."""
    for parameter in operation.get("parameters", ()):
        yield parameter["name"], parameter["in"], parameter.get("description", "")
    if "requestBody" not in operation:
        return
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    # The schema of an optional body is this one or null.
    (ref,) = (kind["$ref"] for kind in schema.get("anyOf", [schema]) if "$ref" in kind)
    fields = description["components"]["schemas"][ref.rpartition("/")[2]]["properties"]
    for name, field in fields.items():
        yield name, "body", field.get("description", "")
