"""Where the command line finds the state, with or without Airflow."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from retrofill.model.connections import STATE_CONN_ID, Connections
from retrofill.model.errors import ConfigError
from retrofill.model.quoting import quoted
from retrofill.state import runs
from retrofill.state.connection import Connection
from retrofill.state.grants import RUNTIME

if TYPE_CHECKING:
    from retrofill.model.setup import Setup
    from retrofill.wiring import Wiring

# Functions import what takes half a second to import, or more.


def connections() -> Connections:
    """Return the connections: the environment's if it has the state's, otherwise Airflow's."""
    from retrofill.environment import EnvironmentConnections  # noqa: PLC0415

    ours = EnvironmentConnections()
    if ours.has(STATE_CONN_ID) or find_spec("airflow") is None:
        return ours
    # Airflow's own commands set this too, to find connections in its database.
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
    from retrofill.connections import AirflowConnections  # noqa: PLC0415

    return AirflowConnections()


def wiring() -> "Wiring":
    """Return the composition root."""
    from retrofill.wiring import Wiring  # noqa: PLC0415

    return Wiring(connections())


def check_setup() -> "Setup":
    """Return what is missing before runs can be opened."""
    from retrofill.environment import EnvironmentConnections  # noqa: PLC0415
    from retrofill.wiring import Wiring  # noqa: PLC0415

    found = connections()
    if isinstance(found, EnvironmentConnections):
        return Wiring(found).setup(None)
    from retrofill.airflow_runs import airflow_facts  # noqa: PLC0415

    return Wiring(found).setup(airflow_facts())


@contextmanager
def open_state(needed: Mapping[str, str] = RUNTIME) -> Iterator[Connection]:
    """Open the state; see :meth:`retrofill.wiring.Wiring.open_state`."""
    with wiring().open_state(needed) as conn:
        yield conn


def find_job(conn: Connection, name: str) -> int:
    """Return the number of a job.

    :raises ConfigError: no job has this name
    """
    known = runs.find_job(conn, name)
    if known is None:
        raise ConfigError(f"job: there is no job {quoted(name)}; see retrofill jobs for all jobs")
    return known.job_id
