"""The file that shows today's schema shows what the migrations make."""

import re
from contextlib import closing

import pytest
from retrofill.state.connection import connect
from retrofill.state.statements import load

from tests.schema import SCHEMA, schema_of


def test_the_schema_that_is_shown_is_what_the_migrations_make(state_dsn: str) -> None:
    assert SCHEMA.read_text() == schema_of(state_dsn), "write it anew: python -m tests.schema"


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE retrofill.run ADD COLUMN another integer",
        "ALTER TABLE retrofill.batch ALTER COLUMN items DROP NOT NULL",
        "DROP INDEX retrofill.run_of_job",
        "DROP TRIGGER note_extents ON retrofill.in_process",
        "ALTER TYPE retrofill.outcome ADD VALUE 'other'",
        "COMMENT ON VIEW retrofill.v_run IS NULL",
        "ALTER TABLE retrofill.invocation RESET (fillfactor)",
    ],
)
def test_whatever_a_migration_may_change_is_shown(state_dsn: str, change: str) -> None:
    with closing(connect(state_dsn)) as conn, conn, conn.cursor() as cur:
        cur.execute(change)
    assert schema_of(state_dsn) != SCHEMA.read_text()


def test_the_file_holds_no_statement_that_could_be_run() -> None:
    with pytest.raises(ValueError, match="every statement needs one name"):
        load(SCHEMA.name)


def test_each_constraint_has_a_name_that_somebody_chose(state_dsn: str) -> None:
    """Apart from keys: Postgres names those by table and columns."""
    with closing(connect(state_dsn)) as conn, conn, conn.cursor() as cur:
        cur.execute(
            "SELECT conname FROM pg_constraint WHERE connamespace = 'retrofill'::regnamespace"
            " AND contype IN ('c', 'u', 'x')"
        )
        names = [name for (name,) in cur.fetchall()]
    assert len(names) > 10
    assert [name for name in names if re.search(r"_(check|key|excl)\d*$", name)] == []
