"""Some seeds of the simulation in every test run; ``make simulate`` runs hundreds."""

import logging
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import psycopg2
import pytest

from stack.services import Postgres
from tests.simulation.simulation import prepare, simulate

SEEDS = (1, 2, 3, 4, 5, 6)
SEEDS_OF_ROWS = (101, 102, 103, 104)


@pytest.fixture(scope="module")
def dsn(postgres: Postgres) -> Iterator[str]:
    postgres.ensure_database("simulation")
    dsn = postgres.dsn("simulation", role="simulation")
    prepare(dsn)
    logging.disable()
    yield dsn
    logging.disable(logging.NOTSET)


def test_postgres_uses_the_simulated_time(dsn: str) -> None:
    with closing(psycopg2.connect(dsn)) as conn, conn.cursor() as cur:
        cur.execute("SELECT extract(year FROM clock_timestamp())")
        assert cur.fetchone() == (1970,)
        cur.execute(
            "SELECT count(*) FROM pg_depend JOIN pg_attrdef ON pg_attrdef.oid = objid"
            " WHERE refobjid = 'simulated.clock_timestamp()'::regprocedure"
        )
        assert cur.fetchone() >= (5,), "column defaults use the simulated clock"


@pytest.mark.parametrize("seed", SEEDS)
def test_no_invariant_is_violated(dsn: str, seed: int) -> None:
    tale = simulate(dsn, seed)
    assert tale.violations == [], f"python -m tests.simulation {seed} 1"
    assert tale.calls >= tale.items / 8


@pytest.mark.parametrize("seed", SEEDS_OF_ROWS)
def test_no_invariant_is_violated_without_order(dsn: str, seed: int) -> None:
    """The function checks the content of each row; a portion holds two."""
    tale = simulate(dsn, seed, f"rows {seed}", rows=True)
    assert tale.violations == [], f"python -m tests.simulation --rows {seed} 1"
    assert tale.calls >= tale.items / 8


def test_a_seed_determines_the_whole_simulation(dsn: str) -> None:
    once, again = simulate(dsn, 9, "once"), simulate(dsn, 9, "again")
    assert replace(once, seed=0) == replace(again, seed=0)
    assert once.faults, "a seed without a fault proves nothing"
