"""The address of the state: its connection string, made from an Airflow connection."""

import re
from collections.abc import Callable
from typing import Any, TypeAlias

import psycopg2
from psycopg2.extensions import make_dsn, parse_dsn

from retrofill.model.connections import STATE_CONN_ID, ConnectionFields
from retrofill.model.errors import StateNotConfigured

Dsn: TypeAlias = str | Callable[[], str]
"""A connection string or URI of libpq, or a function that returns it for each new connection."""

_OTHER_LOGINS = ("redshift", "redshift-serverless", "azure_conn_id")
"""Extras that select logins of Airflow's Postgres hook that Retrofill does not support."""

_NOT_FOR_LIBPQ = frozenset(
    {
        "aws_conn_id", "cluster-identifier", "cursor", "iam", "sqlalchemy_query",
        "sqlalchemy_scheme", "workgroup-name", *_OTHER_LOGINS,
    }
)  # fmt: skip
"""Extras of a connection that are for Airflow's Postgres hook alone."""

_UNKNOWN_OPTION = re.compile(r'invalid (URI query parameter|connection option)\W+"\w+"')


def dsn_of(fields: ConnectionFields) -> str:
    """Return the connection string of an Airflow connection; its extras win over its fields.

    :raises StateNotConfigured: libpq does not know an extra
    """
    options: dict[str, Any] = {
        "host": fields.host or None,
        "port": fields.port,
        "dbname": fields.schema or None,
        "user": fields.login or None,
        "password": fields.password or None,
    }
    for name, value in fields.extra.items():
        if value and name in _OTHER_LOGINS:
            raise StateNotConfigured(
                f"the connection {fields.conn_id}: its extra {name!r} is {value!r}, a login that is"
                " not supported; log in with a password or, with iam, with a token for RDS"
            )
        if name in _NOT_FOR_LIBPQ:
            continue
        if isinstance(value, dict | list):
            raise StateNotConfigured(
                f"the connection {fields.conn_id}: its extra {name!r} is a {type(value).__name__};"
                " give a text, a number, true or false"
            )
        options[name] = int(value) if isinstance(value, bool) else value
    try:
        dsn: str = make_dsn(**options)
    except (TypeError, psycopg2.ProgrammingError) as error:
        raise _unreadable(error, fields.conn_id) from None
    return dsn


def parts_of(dsn: Dsn, conn_id: str = STATE_CONN_ID) -> dict[str, str]:
    """Return the options of a connection string, by libpq's names.

    :param conn_id: the Airflow connection that an error names
    :raises StateNotConfigured: ``dsn`` is not a valid connection string

    >>> parts_of("postgresql://runs@db:5433/retrofill")
    {'user': 'runs', 'dbname': 'retrofill', 'host': 'db', 'port': '5433'}
    """
    try:
        return dict(parse_dsn(dsn() if callable(dsn) else dsn))
    except psycopg2.ProgrammingError as error:
        raise _unreadable(error, conn_id) from None


def _unreadable(error: Exception, conn_id: str) -> StateNotConfigured:
    # libpq repeats all of what it cannot read, with the password in it.
    option = _UNKNOWN_OPTION.search(str(error))
    reason = f": {option[0]}" if option else ""
    return StateNotConfigured(
        f"the connection {conn_id} is not a Postgres connection{reason}",
        "give it host, port, database, login and password, and as extras only options of libpq,"
        " such as sslmode",
        example(conn_id),
    )


def example(conn_id: str) -> str:
    """Return a connection to Postgres as an environment variable of Airflow, with placeholders."""
    return (
        f"AIRFLOW_CONN_{conn_id.upper()}='postgresql://ROLE:PASSWORD@HOST:5432/DATABASE"
        "?sslmode=verify-full&sslrootcert=FILE'"
    )
