"""Connections from the environment, in Airflow's formats."""

import json
from dataclasses import replace

import pytest
from psycopg2.extensions import parse_dsn
from retrofill.environment import EnvironmentConnections
from retrofill.model.connections import ConnectionFields
from retrofill.model.errors import ConfigError, StateNotConfigured
from retrofill.wiring import Wiring


def opened(text: str) -> ConnectionFields:
    return EnvironmentConnections({"AIRFLOW_CONN_F": text}).get("f")


@pytest.mark.parametrize(
    "text",
    [
        '{"conn_type": "http", "host": "h", "port": 80, "extra": {"a": "b"}, "password": "p"}',
        (
            '{"conn_type": "http", "host": "h", "port": "80", "extra": "{\\"a\\":\\"b\\"}",'
            '"password": "p", "login": null, "description": "of mine"}'
        ),
        "http://:p@h:80?a=b",
        "http://:p@h:80/?__extra__=%7B%22a%22%3A+%22b%22%7D",
    ],
)
def test_a_connection_is_read_as_in_airflow(text: str) -> None:
    found = opened(text)
    assert found.password == "p"  # noqa: S105
    assert replace(found, password="") == ConnectionFields(
        conn_id="f", conn_type="http", host="h", port=80, extra={"a": "b"}
    )


@pytest.mark.parametrize(
    "text", ["{secret", '{"port": "secret"}', '{"extra": "secret"}', "http://me:secret/x@h"]
)
def test_an_unreadable_connection_is_a_bad_setting_and_is_not_shown(text: str) -> None:
    with pytest.raises(ConfigError, match="the connection 'f' cannot be read") as caught:
        opened(text)
    assert "secret" not in str(caught.value)


def test_aws_has_the_keys_region_and_endpoint_of_its_connection() -> None:
    extra = {"region_name": "eu-west-3", "endpoint_url": "http://127.0.0.1:4566"}
    said = {"conn_type": "aws", "login": "AKID", "password": "secret", "extra": extra}
    session = EnvironmentConnections({"AIRFLOW_CONN_MINE": json.dumps(said)}).aws("mine")
    client = session.client("s3")
    assert client.meta.region_name == "eu-west-3"
    assert client.meta.endpoint_url == "http://127.0.0.1:4566"
    assert session.credentials().access_key == "AKID"


@pytest.mark.parametrize(
    ("text", "dsn"),
    [
        (
            "postgresql://me:p@h:1/d?sslmode=require",
            "user=me password=p dbname=d host=h port=1 sslmode=require",
        ),
        ("postgres://me@h,i:1/d", "user=me dbname=d host=h,i port=1"),
        ("postgres://me@h:1,i:2/d", "user=me dbname=d host=h,i port=1,2"),
        ("postgres://me@%2Frun%2Fpg/d", "user=me dbname=d host=/run/pg"),
        (
            '{"host": "h", "schema": "d", "password": "p q", "extra": {"keepalives": true}}',
            "host=h dbname=d password='p q' keepalives=1",
        ),
        (
            '{"host": "h", "port": 1, "extra": {"host": "i", "port": "1,2", "options": "-c a=b"}}',
            "host=i port=1,2 options='-c a=b'",
        ),
    ],
)
def test_extra_overrides_the_fields_of_the_state_connection(text: str, dsn: str) -> None:
    assert parse_dsn(state_dsn(text)) == parse_dsn(dsn)


@pytest.mark.parametrize("text", ["", '{"password": "secret", "extra": {"curser": "secret"}}'])
def test_a_connection_that_libpq_cannot_use_is_not_configured(text: str) -> None:
    with pytest.raises(StateNotConfigured, match=r"(?i)retrofill_state") as caught:
        state_dsn(text)
    assert "secret" not in str(caught.value)


def state_dsn(text: str) -> str:
    return Wiring(EnvironmentConnections({"AIRFLOW_CONN_RETROFILL_STATE": text})).state_dsn()
