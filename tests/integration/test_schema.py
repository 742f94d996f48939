"""The schema names its constraints."""

import re
from contextlib import closing

from retrofill.state.connection import connect


def test_each_constraint_has_a_chosen_name(state_dsn: str) -> None:
    """Except keys: Postgres names those by table and columns."""
    with closing(connect(state_dsn)) as conn, conn, conn.cursor() as cur:
        cur.execute(
            "SELECT conname FROM pg_constraint WHERE connamespace = 'retrofill'::regnamespace"
            " AND contype IN ('c', 'u', 'x')"
        )
        names = [name for (name,) in cur.fetchall()]
    assert len(names) > 10
    assert [name for name in names if re.search(r"_(check|key|excl)\d*$", name)] == []
