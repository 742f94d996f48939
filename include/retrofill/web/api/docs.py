"""The page that describes the API, made from its description by OpenAPI."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from retrofill.web.rendering import Shell, render


class Route(NamedTuple):
    """A route, as the page shows it."""

    method: str
    path: str
    summary: str
    about: str
    takes: list[tuple[str, str, str]]
    """What it takes: name, where it stands, and what it means."""


def render_docs(told: Mapping[str, Any], shell: Shell) -> str:
    """Return the page.

    :param told: the description by OpenAPI
    """
    return render("api.html", shell, about=told["info"]["description"], routes=list(_routes(told)))


def _routes(told: Mapping[str, Any]) -> Iterator[Route]:
    root = told["servers"][0]["url"]
    for path, methods in told["paths"].items():
        for method, one in methods.items():
            about = one.get("description", "")
            takes = [*_parameters(one), *_body(told, one)]
            yield Route(method.upper(), f"{root}{path}", one["summary"], about, takes)


def _parameters(one: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for parameter in one.get("parameters", ()):
        yield parameter["name"], parameter["in"], parameter.get("description", "")


def _body(told: Mapping[str, Any], one: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    if "requestBody" not in one:
        return
    schema = one["requestBody"]["content"]["application/json"]["schema"]
    # One that may be left out is either this or nothing.
    (ref,) = (kind["$ref"] for kind in schema.get("anyOf", [schema]) if "$ref" in kind)
    fields = told["components"]["schemas"][ref.rpartition("/")[2]]["properties"]
    for name, field in fields.items():
        yield name, "body", field.get("description", "")
