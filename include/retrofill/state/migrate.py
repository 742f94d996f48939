"""Bring the state's schema to this version: ``python -m include.retrofill.state.migrate``."""

import os
import sys
from importlib.resources import files

from include.retrofill.model.errors import RetrofillError, SchemaMismatch
from include.retrofill.state.connection import Connection, connect, transaction

_LOCK = 7_316_402_119


def migrations() -> list[tuple[int, str, str]]:
    """Return (number, name, SQL) of every migration, in order."""
    folder = files(__package__).joinpath("migrations")
    found = [entry for entry in folder.iterdir() if entry.name.endswith(".sql")]
    return [
        (int(entry.name[:4]), entry.name, entry.read_text(encoding="utf-8"))
        for entry in sorted(found, key=lambda entry: entry.name)
    ]


def migrate(dsn: str) -> list[str]:
    """Apply, in one transaction, every migration the schema lacks; return their names.

    Safe to run at once from several places: they take turns under a lock.

    :raises SchemaMismatch: the schema is newer than this code
    :raises StateError: Postgres cannot be reached, or refuses
    """
    known = migrations()
    conn = connect(dsn)
    try:
        with transaction(conn) as cur:
            cur.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            cur.execute("CREATE SCHEMA IF NOT EXISTS retrofill")
            cur.execute(
                "CREATE TABLE IF NOT EXISTS retrofill.migration (number integer PRIMARY KEY,"
                " name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT clock_timestamp())"
            )
            applied = _version(conn)
            if applied > known[-1][0]:
                message = f"the schema is at version {applied}, this code knows {known[-1][0]}"
                raise SchemaMismatch(f"{message}; run the newer code, or restore the older schema")
            pending = [entry for entry in known if entry[0] > applied]
            for number, name, sql in pending:
                cur.execute(sql)
                cur.execute(
                    "INSERT INTO retrofill.migration (number, name) VALUES (%s, %s)", (number, name)
                )
    finally:
        conn.close()
    return [name for _, name, _ in pending]


def require_current(conn: Connection) -> None:
    """Check that the schema is of this code's version.

    :raises SchemaMismatch: it is missing, older or newer; the message says what to do
    """
    with transaction(conn) as cur:
        cur.execute("SELECT to_regclass('retrofill.migration') IS NOT NULL")
        row = cur.fetchone()
        found = _version(conn) if row and row[0] else 0
    wanted = migrations()[-1][0]
    if found != wanted:
        message = f"the state's schema is at version {found}, this code needs {wanted}"
        raise SchemaMismatch(f"{message}; run: python -m include.retrofill.state.migrate")


def _version(conn: Connection) -> int:
    with conn.cursor() as cur:
        cur.execute("SELECT coalesce(max(number), 0) FROM retrofill.migration")
        row = cur.fetchone()
        return int(row[0]) if row else 0


def main() -> int:
    """Migrate the database named by the argument or AIRFLOW_CONN_RETROFILL_STATE."""
    dsn = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("AIRFLOW_CONN_RETROFILL_STATE", "")
    if not dsn:
        sys.stderr.write("usage: python -m include.retrofill.state.migrate DSN\n")
        return 2
    try:
        applied = migrate(dsn)
    except RetrofillError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    said = "\n".join(f"applied {name}" for name in applied) or "the schema is up to date"
    sys.stdout.write(f"{said}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
