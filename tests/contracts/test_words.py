"""What is said twice says the same: outcomes, statements, params and counts."""

import re
from contextlib import closing
from dataclasses import fields
from pathlib import Path

import pytest

from include.retrofill.model.config import RunConfig
from include.retrofill.model.report import Report
from include.retrofill.rules.events import SHAPES
from include.retrofill.rules.outcomes import Outcome
from include.retrofill.state.connection import connect
from include.retrofill.state.statements import load

ROOT = Path(__file__).parents[2]
STATE = ROOT / "include/retrofill/state"


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


@pytest.mark.parametrize("path", sorted(STATE.glob("*.sql")), ids=lambda path: path.name)
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


def test_every_event_that_can_be_asked_for_has_a_shape() -> None:
    assert set(RunConfig.form_fields({})["event"]["enum"]) <= set(SHAPES)
