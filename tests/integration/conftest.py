"""Airflow's API server with our pages, shared by their tests."""

from collections.abc import Iterator

import pytest

from tests.integration.web import Web


@pytest.fixture
def web(state_dsn: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    monkeypatch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", "one secret, only for these tests " * 2)
    monkeypatch.setenv(
        "AIRFLOW__CORE__AUTH_MANAGER", "tests.integration.api_server.PerDagAuthManager"
    )
    monkeypatch.setenv("AIRFLOW_CONN_RETROFILL_STATE", state_dsn)
    from tests.integration import api_server  # noqa: PLC0415  it warns, see there

    with api_server.serving() as client:
        yield Web(client, api_server)
