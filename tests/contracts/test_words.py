"""What is said twice says the same: outcomes, statements, params and counts."""

import json
import re
import tomllib
from collections.abc import Mapping
from contextlib import closing
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from retrofill.config import AUTO, RunConfig
from retrofill.engine.outcomes import Outcome
from retrofill.events import OFFERED
from retrofill.model.report import Report
from retrofill.sources.s3.words import LEFT_OUT
from retrofill.state.connection import connect
from retrofill.state.statements import load

ROOT = Path(__file__).parents[2]
STATE = ROOT / "include/retrofill/state"
STATEMENTS = sorted({*STATE.glob("*.sql")} - {STATE / "schema.sql"})


def enum_values(dsn: str, name: str) -> set[str]:
    with closing(connect(dsn)) as conn, conn, conn.cursor() as cur:
        cur.execute(f"SELECT unnest(enum_range(NULL::retrofill.{name}))::text")
        return {row[0] for row in cur.fetchall()}


def test_an_outcome_is_the_same_in_code_state_and_docs(state_dsn: str) -> None:
    outcomes = {outcome.value for outcome in Outcome} | {"lost"}
    assert enum_values(state_dsn, "outcome") == outcomes
    table = (ROOT / "docs/states.md").read_text()
    assert set(re.findall(r"^\| (\w+) \| (?:yes|no|perhaps) \|", table, re.MULTILINE)) == outcomes


def test_the_report_has_what_the_view_has(state_dsn: str) -> None:
    with closing(connect(state_dsn)) as conn, conn, conn.cursor() as cur:
        cur.execute("SELECT * FROM retrofill.v_run")
        columns = {column.name for column in cur.description or ()}
    assert {field.name for field in fields(Report)} <= columns


@pytest.mark.parametrize("path", STATEMENTS, ids=lambda path: path.name)
def test_every_statement_is_used(path: Path) -> None:
    module = path.with_suffix(".py").read_text()
    for name in load(path.name):
        assert f'"{name}"' in module, f"{path.name}: {name}"


def test_sql_stands_in_sql_files() -> None:
    pattern = re.compile(r"\b(SELECT|INSERT INTO|UPDATE|DELETE FROM)\s+[a-z]")
    for path in (ROOT / "include/retrofill").rglob("*.py"):
        if path.name == "migrate.py":  # it makes the table that says what has been applied
            continue
        assert not pattern.search(path.read_text()), path


def test_every_param_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    assert [name for name in RunConfig.model_fields if f"`{name}`" not in readme] == []


def params_in_the_readme() -> dict[str, tuple[str, str, str]]:
    """Return type, default and limits of each param, as the README's table has them."""
    _, _, rest = (ROOT / "README.md").read_text().partition("<!-- params: ")
    lines = rest.partition("\n\n")[0].splitlines()[3:]
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return {name.strip("`"): (kind, default, limits) for name, kind, default, limits, _ in rows}


def told(field: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return how the table has to tell a field of the form; of limits, how they begin."""
    types = {field["type"]} if isinstance(field["type"], str) else set(field["type"])
    default = field["default"]
    if default is None:
        told_default = "none" if "null" in types else "required"
    elif isinstance(default, str):
        told_default = f"`{default}`"
    else:
        told_default = str(default).lower() if isinstance(default, bool) else f"{default:,}"
    if "boolean" in types:
        return "yes or no", f"`{told_default}`", ""
    if "integer" in types:
        return "whole number", told_default, f"{field['minimum']:,} to {field['maximum']:,}"
    if "enum" in field:
        return "choice", told_default, ", ".join(f"`{value}`" for value in field["enum"])
    if "object" in types:
        return "JSON object", told_default, "up to 100,000 characters"
    if field.get("format") == "date-time":
        return "time", told_default, "with its zone"
    shortest = f"{field['minLength']:,} to" if "minLength" in field else "up to"
    return "text", told_default, f"{shortest} {field['maxLength']:,} "


def test_the_readme_tells_the_params_as_they_are() -> None:
    table = params_in_the_readme()
    fields = RunConfig.form_fields({})
    assert list(table) == list(fields)
    for name, (kind, default, limits) in table.items():
        told_kind, told_default, told_limits = told(fields[name])
        assert (name, kind, default) == (name, told_kind, told_default)
        exact = told_kind not in {"text", "JSON object"}
        assert limits == told_limits if exact else limits.startswith(told_limits), name


def test_the_readme_shows_the_notification_as_it_is() -> None:
    text, sent = re.findall(
        r"```(?:text|json)\n((?:Retrofill: |\{\n  \"job\").*?)\n```",
        (ROOT / "README.md").read_text(),
        re.DOTALL,
    )
    shown = json.loads(sent)
    made = {name: shown[name] for name in shown if name not in {"link", "duration_s"}}
    moments = ("opened_at", "closed_at", "notified_at")
    made |= {name: datetime.fromisoformat(made[name]) for name in moments if made[name]}
    report = Report(**made)
    assert report.as_json() | {"link": shown["link"]} == shown
    assert f"{report.as_text(LEFT_OUT)}\nrun {shown['link']}" == text


def test_every_event_that_can_be_asked_for_has_a_shape() -> None:
    assert RunConfig.form_fields({})["event"]["enum"] == [AUTO, *OFFERED]


def test_the_readme_tells_the_events_as_they_are() -> None:
    _, _, rest = (ROOT / "README.md").read_text().partition("| event | the way it imitates |")
    lines = rest.partition("\n\n")[0].splitlines()[2:]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    told = {name: (way, found) for names, way, found in rows for name in names.split(", ")}
    shapes = {f"`{name}`": (one.imitates, one.found_by) for name, one in OFFERED.items()}
    assert list(told.items()) == list(shapes.items())


def test_the_layers_are_told_as_they_are() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    told = re.findall(r"```text\n(workflow .*?)```", text, re.DOTALL)[0].splitlines()
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = contracts["contracts"][0]["layers"]
    names = [set(re.findall(r"\w+", layer)) for layer in layers]
    assert [set(line.partition("   ")[0].split()) for line in told] == names
