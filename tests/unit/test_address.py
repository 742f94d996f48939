"""What servers and poolers answer when they are full, and what to do about it."""

import pytest
from retrofill.state.address import is_full, what_to_do

FULL = [
    "FATAL:  sorry, too many clients already",
    "FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute",
    "FATAL:  remaining connection slots are reserved for non-replication superuser connections",
    'FATAL:  too many connections for role "retrofill"',
    'FATAL:  too many connections for database "retrofill"',
    "FATAL:  no more connections allowed (max_client_conn)",
    "FATAL:  query_wait_timeout",
    "Timed-out waiting to acquire database connection",
]


@pytest.mark.parametrize("said", FULL)
def test_a_full_server_or_pooler_is_recognized(said: str) -> None:
    assert is_full(said)
    assert what_to_do(said).startswith("let max_connections of the server")


def test_an_unreachable_server_is_not_full() -> None:
    said = "connection refused. Is the server running and accepting TCP/IP connections?"
    assert not is_full(said)
    assert what_to_do(said) == "start the server, or mend the connection"
