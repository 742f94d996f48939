"""Lists that exist twice agree: outcomes, statements, params and counts."""

import json
import re
import tomllib
from contextlib import closing
from dataclasses import fields
from datetime import datetime
from pathlib import Path

import pytest
from retrofill.config import params_for
from retrofill.engine.outcomes import Outcome
from retrofill.events import AUTO, offered
from retrofill.model.report import Report
from retrofill.sources import SOURCES
from retrofill.state.connection import connect
from retrofill.state.statements import load

from tests.reference import outdated

ROOT = Path(__file__).parents[2]
STATE = ROOT / "include/retrofill/state"
STATEMENTS = sorted(STATE.glob("*.sql"))


def enum_values(dsn: str, name: str) -> set[str]:
    with closing(connect(dsn)) as conn, conn, conn.cursor() as cur:
        cur.execute(f"SELECT unnest(enum_range(NULL::retrofill.{name}))::text")
        return {row[0] for row in cur.fetchall()}


def test_an_outcome_is_the_same_in_code_state_and_docs(state_dsn: str) -> None:
    outcomes = {outcome.value for outcome in Outcome} | {"lost"}
    assert enum_values(state_dsn, "outcome") == outcomes
    table = (ROOT / "docs/states.md").read_text()
    assert set(re.findall(r"^\| (\w+) \| (?:yes|no|perhaps) \|", table, re.MULTILINE)) == outcomes


def test_the_report_has_the_columns_of_the_view(state_dsn: str) -> None:
    with closing(connect(state_dsn)) as conn, conn, conn.cursor() as cur:
        cur.execute("SELECT * FROM retrofill.v_run")
        columns = {column.name for column in cur.description or ()}
    assert {field.name for field in fields(Report)} <= columns


@pytest.mark.parametrize("path", STATEMENTS, ids=lambda path: path.name)
def test_every_statement_is_used(path: Path) -> None:
    module = path.with_suffix(".py").read_text()
    for name in load(path.name):
        assert f'"{name}"' in module, f"{path.name}: {name}"


def test_sql_is_only_in_sql_files() -> None:
    pattern = re.compile(r"\b(SELECT|INSERT INTO|UPDATE|DELETE FROM)\s+[a-z]")
    for path in (ROOT / "include/retrofill").rglob("*.py"):
        if path.name == "migrate.py":  # it owns the table of applied migrations
            continue
        assert not pattern.search(path.read_text()), path


def test_reference_pages_match_the_kinds() -> None:
    assert outdated() == []


def test_the_docs_show_the_real_notification() -> None:
    text, sent = re.findall(
        r"```(?:text|json)\n((?:Retrofill: |\{\n  \"job\").*?)\n```",
        (ROOT / "docs/reference/notification.md").read_text(),
        re.DOTALL,
    )
    shown = json.loads(sent)
    made = {name: shown[name] for name in shown if name not in {"link", "page", "duration_s"}}
    times = ("opened_at", "closed_at", "notified_at")
    made |= {name: datetime.fromisoformat(made[name]) for name in times if made[name]}
    report = Report(**made)
    assert report.as_json() | {"link": shown["link"], "page": shown["page"]} == shown
    lines = [
        report.as_text(SOURCES["s3"].reasons),
        "failed: 3 items by 'ValueError', such as 'incoming/2025/04/11/IMG_0040.jpg'",
        f"to do: {report.to_do}",
        f"run {shown['link']}",
        f"charts {shown['page']}",
    ]
    assert "\n".join(lines) == text


def test_every_event_has_a_shape() -> None:
    assert params_for("s3").form_fields({})["event"]["enum"] == [
        AUTO,
        *(one.name for one in offered("object")),
    ]


def test_the_documented_layers_are_the_real_ones() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    documented = re.findall(r"```text\n(dags .*?)```", text, re.DOTALL)[0].splitlines()
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = contracts["contracts"][0]["layers"]
    names = [set(re.findall(r"\w+", layer)) for layer in layers]
    assert [set(line.partition("   ")[0].split()) for line in documented] == names
