"""The reference pages, made from the records of the kinds: ``make reference``."""

import inspect
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import typer
from retrofill.aws.store import PERMISSIONS as STORE_PERMISSIONS
from retrofill.cli.app import app
from retrofill.cli.exits import Exit
from retrofill.config import params_for
from retrofill.events import SHAPES, EventShape
from retrofill.functions import FUNCTIONS
from retrofill.jobs.schema import job_schema
from retrofill.model.permission import Permission
from retrofill.model.records import notes_of
from retrofill.params.approval import ApprovalParams
from retrofill.params.base import Params, form_field
from retrofill.params.calls import CallParams
from retrofill.params.canary import CanaryParams
from retrofill.params.feedback import FeedbackParams
from retrofill.params.job import JobParams
from retrofill.params.limits import LimitParams
from retrofill.params.notification import PERMISSIONS, NotificationParams
from retrofill.params.prices import PriceParams
from retrofill.params.redrive import RedriveParams
from retrofill.params.report import ReportParams
from retrofill.sources import SOURCES

FOLDER = Path(__file__).parents[1] / "docs/reference"

_MADE = "<!-- made by `make reference`; a test compares -->"
_COMMON: tuple[tuple[str, type[Params]], ...] = (
    ("Calls", CallParams),
    ("Limits", LimitParams),
    ("Prices", PriceParams),
    ("Feedback", FeedbackParams),
    ("Canary", CanaryParams),
    ("Approval", ApprovalParams),
    ("Redrive", RedriveParams),
    ("Report files", ReportParams),
    ("Notification", NotificationParams),
    ("Job and connections", JobParams),
)


def pages() -> dict[str, str]:
    """Return each page by its file name."""
    return {
        "params.md": "\n".join(_params()),
        "events.md": "\n".join(_events()),
        "permissions.md": "\n".join(_permissions()),
        "job.schema.json": json.dumps(job_schema(), indent=1) + "\n",
        "cli.md": "\n".join(_commands()),
    }


_HEADS = {
    "params": """\
The trigger form of a DAG shows the params of its source, those of all kinds of functions, and those
that every run has. The same names go into REST's `conf` and into job files. What is wrong is said
before anything is done.
""",
    "events": """\
What `event` may be, the way of live events that each shape imitates, and where AWS tells of the
live trigger.
""",
    "permissions": """\
What the role of a connection must be allowed, and no more. Write your own names in place of bucket,
account, function and topic. The function itself runs with its own role, as for its live trigger.
The grants in Postgres are in [operations](../operations/roles.md).
""",
}


def _head(name: str) -> Iterator[str]:
    yield from (f"# {name.title()}", "", _MADE, "", " ".join(_HEADS[name].splitlines()), "")


def _params() -> Iterator[str]:
    yield from _head("params")
    first = next(iter(SOURCES))
    forms = {name: params_for(name).form_fields({}) for name in SOURCES}
    for kind in SOURCES.values():
        dag = f"A job file says `source: {kind.name}`."
        if kind.about:
            dag = f"The DAG is `retrofill_{kind.name}`; a job file says `source: {kind.name}`."
        yield from (f"## Source `{kind.name}`", "", f"{_sentence(kind.title)} {dag}", "")
        yield from _table(kind.params, forms[kind.name])
    for one in FUNCTIONS.values():
        yield from (f"## Function kind `{one.name}`", "", _sentence(one.title), "")
        yield from _table(one.params, forms[first])
    for title, params in _COMMON:
        yield from (f"## {title}", "")
        yield from _table(params, forms[first])


def _table(params: type[Params], form: dict[str, dict[str, Any]]) -> Iterator[str]:
    yield from ("| param | type | default | limits | meaning |", "| --- | --- | --- | --- | --- |")
    for name in params.model_fields:
        required = params.model_fields[name].is_required()
        kind, default, limits = _told(form[name], form_field(params, name), required=required)
        meaning = form[name]["description_md"].replace("|", "\\|")
        yield f"| `{name}` | {kind} | {default} | {limits} | {meaning} |"
    yield ""


_NUMBERS = {"integer": "whole number", "number": "number"}


def _told(shown: dict[str, Any], own: dict[str, Any], *, required: bool) -> tuple[str, str, str]:
    """Return type, default and limits of a param, in words."""
    types = {own["type"]} if isinstance(own["type"], str) else set(own["type"])
    default = "required" if required else _value(shown["default"])
    if "boolean" in types:
        return "yes or no", default, ""
    if numeric := types & _NUMBERS.keys():
        return _NUMBERS[numeric.pop()], default, f"{own['minimum']:,} to {own['maximum']:,}"
    if "enum" in shown:
        return "choice", default, ", ".join(f"`{value}`" for value in shown["enum"])
    if "object" in types:
        return "JSON object", default, ""
    if shown.get("format") == "date-time":
        return "time", default, "with its zone"
    longest = f"up to {shown['maxLength']:,} characters" if "maxLength" in shown else ""
    return "text", default, longest


def _value(value: Any) -> str:
    if value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"{value:,}" if isinstance(value, int) else f"`{value}`"


def _events() -> Iterator[str]:
    yield from _head("events")
    yield from (
        "| event | imitates | the live trigger | items in a call | sources |",
        "| --- | --- | --- | --- | --- |",
    )
    for shape in SHAPES.values():
        sources = ", ".join(f"`{one}`" for one in _sources_of(shape)) or "of other packages"
        most = f"{shape.default_items:,}, at most {shape.max_items:,}"
        yield f"| `{shape.name}` | {shape.imitates} | {shape.found_by} | {most} | {sources} |"
    yield ""


def _sources_of(shape: EventShape) -> list[str]:
    return [
        kind.name for kind in SOURCES.values() if not shape.forms or kind.form.name in shape.forms
    ]


def _permissions() -> Iterator[str]:
    yield from _head("permissions")
    owners: list[tuple[str, Sequence[Permission]]] = [
        *((f"Source `{kind.name}`", kind.permissions) for kind in SOURCES.values()),
        *((f"Function kind `{kind.name}`", kind.permissions) for kind in FUNCTIONS.values()),
        ("Notification", PERMISSIONS),
        ("Report files", STORE_PERMISSIONS),
    ]
    for title, permissions in owners:
        if not permissions:
            continue
        yield from (f"## {title}", "", "| action | resource | needed |", "| --- | --- | --- |")
        for one in permissions:
            yield f"| `{one.action}` | `{one.resource}` | {one.when or 'always'} |"
        yield ""
    everything = [one for _, permissions in owners for one in permissions]
    policy = {"Version": "2012-10-17", "Statement": list(_statements(everything))}
    yield from ("## As one IAM policy", "", "```json", json.dumps(policy, indent=2), "```", "")


def _statements(permissions: Iterable[Permission]) -> Iterator[dict[str, Any]]:
    by_resource: dict[str, list[str]] = {}
    for one in permissions:
        if ":" in one.action:
            actions = by_resource.setdefault(one.resource, [])
            if one.action not in actions:
                actions.append(one.action)
    for resource, actions in by_resource.items():
        yield {"Effect": "Allow", "Action": actions, "Resource": resource}


def _sentence(title: str) -> str:
    return f"{title[0].upper()}{title[1:]}."


def _commands() -> Iterator[str]:
    whole = typer.main.get_command(app)
    yield from ("# Command line", "", _MADE, "", _help(whole), "")
    yield "`retrofill --install-completion` completes commands and options in your shell."
    yield from ("", "## Exit codes", "", "| code | meaning |", "| ---: | --- |")
    yield from (f"| {code.value} | {notes_of(Exit)[code.name]} |" for code in Exit)
    yield ""
    for path, command in _leaves("retrofill", whole):
        usage = command.make_context(path, [], resilient_parsing=True).get_usage()
        yield from (f"## `{path}`", "", f"`{' '.join(usage.split()[1:])}`", "", _help(command), "")
        shown = [one for one in command.params if one.name != "help"]
        if shown:
            yield from ("| | meaning | default |", "| --- | --- | --- |")
            yield from (f"| `{_name(one)}` | {one.help} | {_default(one)} |" for one in shown)
            yield ""


def _leaves(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    """Yield each command that is no group of others, with all of its words."""
    commands = getattr(command, "commands", None)
    if commands is None:
        yield path, command
        return
    for name, one in commands.items():
        yield from _leaves(f"{path} {name}", one)


def _help(command: Any) -> str:
    paragraphs = inspect.cleandoc(command.help).split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _name(one: Any) -> str:
    if one.param_type_name == "argument":
        return str(one.metavar or one.name.upper())
    takes = "" if one.is_flag else f" {one.metavar or one.name.upper()}"
    return f"{', '.join(one.opts)}{takes}"


def _default(one: Any) -> str:
    if one.required:
        return "required"
    return "" if one.default in (None, "", False) else f"`{one.default}`"


def main() -> None:
    """Write all pages."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
