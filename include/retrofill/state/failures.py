"""What errors of Postgres, libpq and poolers mean, and what to do about them."""

import re

import psycopg2
from psycopg2 import errorcodes

from retrofill.model.connections import STATE_CONN_ID
from retrofill.model.errors import (
    SchemaMismatch,
    StateError,
    StateFull,
    StateLocked,
    StateUnavailable,
    StateUnfit,
)
from retrofill.state.grants import quoted_name

_FULL = re.compile(
    r"too many clients|connection slots are reserved|too many connections for|query_wait_timeout"
    r"|no more connections allowed|[Tt]imed.out waiting to acquire database connection"
)
"""What a server, PgBouncer and RDS Proxy report when they have no connection left.

While connecting, libpq has no SQLSTATE. It would be 53300, too_many_connections.
"""

_NO_DATABASE = re.compile(r'database "(.*)" does not exist')

_WHAT_TO_DO = {
    _FULL.pattern: (
        "raise max_connections of the server, or the limits of role and database: one connection"
        " for each task that runs at once, and some for pages; or use a pooler, or run fewer tasks"
        " at once; see docs/operations/postgres.md"
    ),
    r"authentication failed": "correct login and password of the connection",
    r"could not translate host name": (
        "correct the host of the connection: this machine cannot resolve it"
    ),
    r"timeout expired|timed out": (
        "let firewalls and security groups admit this machine to the port of the database, or"
        " correct host and port of the connection"
    ),
    _NO_DATABASE.pattern: (
        "correct the database of the connection, or create that database as an administrator of the"
        " server; see docs/operations/roles.md"
    ),
    r"root certificate file .* does not exist|certificate verify failed": (
        "on every machine that connects, set the connection's extra sslrootcert to the file of the"
        " authority that signed the server's certificate"
    ),
    r"does not match host name": (
        "set the connection's host to a name that the server's certificate has"
    ),
    r"does not support SSL": "switch on TLS at the server, or remove the connection's sslmode",
    r"no encryption": "set the connection's extra sslmode to require or verify-full",
    r"no pg_hba.conf entry": "let pg_hba.conf of the server admit this machine, role and database",
    r"startup parameter|command-line options": (
        "remove it from the connection's extra options, because the pooler does not accept it; set"
        " it for the role, with ALTER ROLE … SET"
    ),
}
"""What to do, by a pattern for the message of libpq, the server or a pooler.

Sources: src/interfaces/libpq/fe-secure-openssl.c and src/backend/libpq/auth.c of PostgreSQL,
src/client.c of PgBouncer; RDS Proxy: https://github.com/psycopg/psycopg2/issues/1577.
"""

WRITABLE = (
    "connect to the primary, and check that neither default_transaction_read_only nor a full disk"
    " prevents writes"
)
MIGRATE = "trigger the DAG retrofill_migrate or run, as its owner: python -m retrofill db migrate"
"""What to do about a schema that is missing or older."""

_REFUSED: dict[str, tuple[type[StateError], str]] = {
    errorcodes.UNDEFINED_TABLE: (SchemaMismatch, MIGRATE),
    errorcodes.INVALID_SCHEMA_NAME: (SchemaMismatch, MIGRATE),
    errorcodes.UNDEFINED_COLUMN: (SchemaMismatch, MIGRATE),
    errorcodes.INSUFFICIENT_PRIVILEGE: (
        StateUnfit,
        (
            "grant the connection's role the privileges in docs/operations/roles.md; to migrate,"
            " connect as the owner"
        ),
    ),
    errorcodes.UNDEFINED_OBJECT: (
        StateUnfit,
        "create the role first; see docs/operations/roles.md",
    ),
}
_NOT_NOW = {
    errorcodes.DISK_FULL: "give its disk more space",
    errorcodes.OUT_OF_MEMORY: "give it more memory, or run fewer tasks at once",
    errorcodes.LOCK_NOT_AVAILABLE: (
        "end the session that holds the lock; pg_blocking_pids shows which one"
    ),
    errorcodes.QUERY_CANCELED: "see in pg_stat_activity what it waited for, or who canceled it",
    errorcodes.DEADLOCK_DETECTED: "do not change the state's tables while a run is open",
    errorcodes.SERIALIZATION_FAILURE: "do not change the state's tables while a run is open",
    errorcodes.READ_ONLY_SQL_TRANSACTION: WRITABLE,
}


def is_full(message: str) -> bool:
    """Return whether a connection failed because none is left."""
    return _FULL.search(message) is not None


def what_to_do(message: str) -> str:
    """Return what to do about a connection that failed with a message of libpq."""
    fitting = (todo for pattern, todo in _WHAT_TO_DO.items() if re.search(pattern, message))
    return next(fitting, "start the server, or correct the connection")


def make_database(name: str) -> str:
    """Return the SQL that creates a database for the state."""
    return f"CREATE DATABASE {quoted_name(name)} ENCODING 'UTF8' TEMPLATE template0;"


def not_connected(message: str, conn_id: str = STATE_CONN_ID) -> StateUnavailable:
    """Return the error for a connection that failed with a message of libpq."""
    kind, what = StateUnavailable, "the state's Postgres cannot be reached"
    if is_full(message):
        kind, what = StateFull, "the state's Postgres has no connection left"
    missing = _NO_DATABASE.search(message)
    sql = make_database(missing[1]) if missing else ""
    return kind(f"{what} (connection {conn_id}): {message}", what_to_do(message), sql)


def meaning_of(error: psycopg2.Error, *, broken: bool) -> StateError:
    """Return the error to raise for one of Postgres.

    :param broken: whether the connection is closed
    """
    code, message = error.pgcode or "", str(error).strip()
    if not broken and code in _NOT_NOW:
        not_now = StateLocked if code == errorcodes.LOCK_NOT_AVAILABLE else StateUnavailable
        return not_now(
            f"the state's Postgres cannot continue: {message}",
            f"{_NOT_NOW[code]}. Nothing is lost: failed writes are tried again",
        )
    if is_full(message):
        # A pooler accepts every connection, and reports this for its first statement.
        return not_connected(message)
    if broken or isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError):
        return StateUnavailable(f"the state's Postgres went away: {message}")
    if code not in _REFUSED:
        return StateError(f"Postgres refused: {message}")
    kind, todo = _REFUSED[code]
    return kind(message, todo)
