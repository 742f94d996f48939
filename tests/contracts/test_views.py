"""Every list of the public views is complete."""

import re
from contextlib import closing
from pathlib import Path

import psycopg2

from tests import invariants
from tests.integration import test_operations

ROOT = Path(__file__).parents[2]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
PAGE = (ROOT / "docs/reference/views.md").read_text()


def test_every_list_of_public_views_is_complete(state_dsn: str) -> None:
    with closing(psycopg2.connect(state_dsn)) as conn, conn.cursor() as cur:
        cur.execute("SELECT viewname FROM pg_views WHERE schemaname = 'retrofill'")
        there = {name for (name,) in cur}
    (sentence,) = re.findall(r"^- The views (.*?) are public", CONTRIBUTING, re.MULTILINE)
    assert set(invariants.VIEWS) == there
    assert set(invariants.view_texts(state_dsn)) == {f"retrofill.{name}" for name in there}
    assert set(test_operations.VIEWS) == there
    assert set(re.findall(r"`(\w+)`", sentence)) == there


def test_the_page_of_views_explains_every_column_and_no_other(state_dsn: str) -> None:
    with closing(psycopg2.connect(state_dsn)) as conn, conn.cursor() as cur:
        cur.execute(
            "SELECT table_name, column_name FROM information_schema.columns"
            " WHERE table_schema = 'retrofill' AND table_name LIKE 'v\\_%'"
        )
        there = set(cur)
    shown = set()
    for section in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]:
        view = re.match(r"`(v_\w+)`", section)
        if view:
            rows = re.findall(r"^\| (`.*?) \| ", section, re.MULTILINE)
            shown |= {(view[1], name) for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert shown == there
