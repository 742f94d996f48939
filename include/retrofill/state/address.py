"""Where the state is: the connection string of libpq, and what to do when nobody answers there."""

import re
from collections.abc import Callable
from typing import Any, TypeAlias

import psycopg2
from psycopg2.extensions import make_dsn, parse_dsn

from retrofill.model.connections import STATE_CONN_ID, ConnectionFields
from retrofill.model.errors import StateNotConfigured
from retrofill.state.grants import quoted_name

Dsn: TypeAlias = str | Callable[[], str]
"""A connection string or URI of libpq, or what tells it anew whenever a connection is opened."""

_OTHER_LOGINS = ("redshift", "redshift-serverless", "azure_conn_id")
"""Extras that have Airflow's Postgres hook log in by ways that are not known here."""

_NOT_FOR_LIBPQ = frozenset(
    {
        "aws_conn_id", "cluster-identifier", "cursor", "iam", "sqlalchemy_query",
        "sqlalchemy_scheme", "workgroup-name", *_OTHER_LOGINS,
    }
)  # fmt: skip
"""Extras of a connection that Airflow's Postgres hook keeps to itself."""

_UNKNOWN_OPTION = re.compile(r'invalid (URI query parameter|connection option)\W+"\w+"')

_FULL = re.compile(
    r"too many clients|connection slots are reserved|too many connections for|query_wait_timeout"
    r"|no more connections allowed|[Tt]imed.out waiting to acquire database connection"
)
"""What a server, PgBouncer and RDS Proxy say when they have no connection left.

Before a connection stands, libpq tells no SQLSTATE: it would be 53300, too_many_connections.
"""

_NO_DATABASE = re.compile(r'database "(.*)" does not exist')

_WHAT_TO_DO = {
    _FULL.pattern: (
        "let max_connections of the server, and limits of role and database, leave one for each"
        " task that runs at once and some for pages; or put a pooler before it, or have fewer tasks"
        " at once; see docs/operations.md, Postgres in production"
    ),
    r"authentication failed": "mend login and password of the connection",
    r"could not translate host name": (
        "correct the host of the connection: this machine knows no such name"
    ),
    r"timeout expired|timed out": (
        "let firewalls and security groups admit this machine to the port of the database, or"
        " correct host and port of the connection"
    ),
    _NO_DATABASE.pattern: (
        "correct the database of the connection, or make that database as an administrator of the"
        " server; see docs/operations.md, Roles"
    ),
    r"root certificate file .* does not exist|certificate verify failed": (
        "let the connection's extra sslrootcert name the file of the authority that signed the"
        " server's certificate, on every machine that connects"
    ),
    r"does not match host name": "let the connection's host be a name of the server's certificate",
    r"does not support SSL": "switch on TLS at the server, or leave out the connection's sslmode",
    r"no encryption": "let the connection's extra sslmode be require, or verify-full",
    r"no pg_hba.conf entry": "let pg_hba.conf of the server admit this machine, role and database",
    r"startup parameter|command-line options": (
        "take it out of the connection's extra options, as the pooler between lets nothing of the"
        " kind through; set it for the role, by ALTER ROLE … SET"
    ),
}
"""By what libpq, the server or a pooler says: what a person does about it.

Sources: src/interfaces/libpq/fe-secure-openssl.c and src/backend/libpq/auth.c of PostgreSQL,
src/client.c of PgBouncer; RDS Proxy: https://github.com/psycopg/psycopg2/issues/1577.
"""


def dsn_of(fields: ConnectionFields) -> str:
    """Return the connection string of a connection in Airflow's fields; its extra wins.

    :raises StateNotConfigured: its extra holds what libpq does not know
    """
    told: dict[str, Any] = {
        "host": fields.host or None,
        "port": fields.port,
        "dbname": fields.schema or None,
        "user": fields.login or None,
        "password": fields.password or None,
    }
    for name, value in fields.extra.items():
        if value and name in _OTHER_LOGINS:
            raise StateNotConfigured(
                f"the connection {fields.conn_id}: its extra {name!r} is {value!r}; allowed is to"
                " log in by password or, with iam, by a token for RDS"
            )
        if name in _NOT_FOR_LIBPQ:
            continue
        if isinstance(value, dict | list):
            raise StateNotConfigured(
                f"the connection {fields.conn_id}: its extra {name!r} is a {type(value).__name__};"
                " allowed are texts, numbers, true and false"
            )
        told[name] = int(value) if isinstance(value, bool) else value
    try:
        dsn: str = make_dsn(**told)
    except (TypeError, psycopg2.ProgrammingError) as error:
        raise _unreadable(error, fields.conn_id) from None
    return dsn


def parts_of(dsn: Dsn, conn_id: str = STATE_CONN_ID) -> dict[str, str]:
    """Return what a connection string says, by libpq's words.

    :param conn_id: Airflow's connection of which it is made, for what is said of it
    :raises StateNotConfigured: it is none
    """
    try:
        return dict(parse_dsn(dsn() if callable(dsn) else dsn))
    except psycopg2.ProgrammingError as error:
        raise _unreadable(error, conn_id) from None


def _unreadable(error: Exception, conn_id: str) -> StateNotConfigured:
    # Of what it cannot read, libpq repeats all, and that has a password in it.
    said = _UNKNOWN_OPTION.search(str(error))
    return StateNotConfigured(
        f"the connection {conn_id} is none of Postgres{': ' + said[0] if said else ''}",
        "let it hold host, port, database, login and password, and as extras only what libpq"
        " knows, such as sslmode",
        example(conn_id),
    )


def example(conn_id: str) -> str:
    """Return a connection to Postgres as a variable of Airflow's, with names to fill in."""
    return (
        f"AIRFLOW_CONN_{conn_id.upper()}='postgresql://ROLE:PASSWORD@HOST:5432/DATABASE"
        "?sslmode=verify-full&sslrootcert=FILE'"
    )


def is_full(said: str) -> bool:
    """Return whether a connection was not to be had because there is none left.

    :param said: as for :func:`what_to_do`
    """
    return _FULL.search(said) is not None


def what_to_do(said: str) -> str:
    """Return what a person does where a connection was not to be had.

    :param said: what libpq says of it
    """
    fitting = (todo for pattern, todo in _WHAT_TO_DO.items() if re.search(pattern, said))
    return next(fitting, "start the server, or mend the connection")


def text_for(said: str) -> str:
    """Return the SQL for that, where there is some.

    :param said: as for :func:`what_to_do`
    """
    missing = _NO_DATABASE.search(said)
    return make_database(missing[1]) if missing else ""


def make_database(name: str) -> str:
    """Return the SQL that makes a database for the state."""
    return f"CREATE DATABASE {quoted_name(name)} ENCODING 'UTF8' TEMPLATE template0;"
