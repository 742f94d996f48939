"""Where the command line finds the state, with or without Airflow."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from retrofill.model.connections import STATE_CONN_ID
from retrofill.state.connection import Connection
from retrofill.state.grants import RUNTIME

if TYPE_CHECKING:
    from retrofill.wiring import Wiring


def wiring() -> "Wiring":
    """Return the composition root.

    The connections are those of the environment, if that names the state, else Airflow's.
    """
    # What takes half a second to import, or some.
    from retrofill.environment import EnvironmentConnections  # noqa: PLC0415
    from retrofill.wiring import Wiring  # noqa: PLC0415

    connections = EnvironmentConnections()
    if connections.has(STATE_CONN_ID) or find_spec("airflow") is None:
        return Wiring(connections)
    # As Airflow's own commands do: connections are looked for in its database, too.
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
    from retrofill.connections import AirflowConnections  # noqa: PLC0415

    return Wiring(AirflowConnections())


@contextmanager
def open_state(needed: Mapping[str, str] = RUNTIME) -> Iterator[Connection]:
    """Open the state; see :meth:`retrofill.wiring.Wiring.open_state`."""
    with wiring().open_state(needed) as conn:
        yield conn
