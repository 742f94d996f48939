r"""The composition root: builds the parts of a run from its configuration and the connections.

It needs no Airflow. Operators use it with Airflow's connections; benchmarks, tests and scripts with
those of the environment (:class:`retrofill.environment.EnvironmentConnections`)::

    wiring = Wiring(EnvironmentConnections())
    config = params_for("memory").config({"function_kind": "http", "http_conn_id": "resize"})
    print(*wiring.plan(config).lines(), sep="\n")
"""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace

from retrofill.aws.login import database_token
from retrofill.config import RunConfig
from retrofill.engine.first_calls import Fits, fit
from retrofill.events import CompiledShape
from retrofill.export.stores import Store, open_store
from retrofill.functions.client import Client
from retrofill.functions.kind import Asked, Capacity
from retrofill.model.connections import STATE_CONN_ID, Connections
from retrofill.model.destination import Destination
from retrofill.model.errors import ConfigError, StateError, StateNotConfigured, StateUnfit
from retrofill.model.runs import Run, Window
from retrofill.model.selection import Place
from retrofill.model.setup import Setup
from retrofill.pipeline.deliver import shape_of
from retrofill.pipeline.plan import Plan, open_source, plan
from retrofill.pipeline.setup import AirflowFacts, look
from retrofill.sources import Source
from retrofill.sources.kind import Interval
from retrofill.state.address import dsn_of, example, parts_of
from retrofill.state.connection import Connection, connect, require_granted
from retrofill.state.grants import RUNTIME
from retrofill.state.migrate import require_current

_NO_INTERVAL = Interval(None, None)
_POSTGRES = ("postgres", "postgresql", "")
_PORT = 5432


def needed_by(config: RunConfig) -> Mapping[str, str]:
    """Return the privileges that a run needs, as :mod:`.state.grants` has them."""
    if config.redrive.place is not Place.SUCCESSES:
        return RUNTIME
    return {**RUNTIME, "retrofill.results": f"{RUNTIME['retrofill.results']}, DELETE"}


class Wiring:
    """Builds the collaborators of runs from connections."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def state_dsn(self, conn_id: str = STATE_CONN_ID) -> str:
        """Return the libpq connection string of the state, from the current connection.

        With the extra ``iam``, the password is a token for the login, valid for 15 minutes:
        https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.IAMDBAuth.html.

        :param conn_id: another connection to the state, such as its owner's
        :raises StateNotConfigured: the connection does not exist or cannot be used
        :raises StateUnavailable: AWS gives no token now
        """
        try:
            fields = self._connections.get(conn_id)
            if fields.conn_type not in _POSTGRES:
                raise StateNotConfigured(
                    f"the connection {conn_id!r} is of type {fields.conn_type!r}",
                    "define it as one of type 'postgres'",
                    example(conn_id),
                )
            if str(fields.extra.get("iam")).lower() == "true":
                session = self._connections.aws(fields.extra.get("aws_conn_id") or "aws_default")
                token = database_token(session, fields.host, fields.port or _PORT, fields.login)
                fields = replace(fields, password=token)
        except ConfigError as error:
            raise StateNotConfigured(
                str(error),
                f"define the connection {conn_id} to the Postgres database that holds Retrofill's"
                " state",
                example(conn_id),
            ) from error
        return dsn_of(fields)

    def state_role(self) -> str:
        """Return the role with which the connection of the state logs in.

        :raises ConfigError: the connection has no login
        """
        role = parts_of(self.state_dsn()).get("user", "")
        if not role:
            raise ConfigError(
                f"runtime_role: it is missing, and the connection {STATE_CONN_ID} has no login;"
                " give the role of tasks and pages"
            )
        return role

    def setup(self, airflow: AirflowFacts | None, known: StateError | None = None) -> Setup:
        """Find what is missing for runs; see :func:`retrofill.pipeline.setup.look`."""
        return look(self.open_state, self._state_place, self._connections, airflow, known)

    def _state_place(self) -> str:
        parts = parts_of(self.state_dsn())
        host, port = parts.get("host", "this machine"), parts.get("port", _PORT)
        return (
            f"host {host}, port {port}, database {parts.get('dbname', 'not named')},"
            f" role {parts.get('user', 'not named')}"
        )

    @contextmanager
    def open_state(
        self, needed: Mapping[str, str] = RUNTIME, *, patience_s: float = 0.0
    ) -> Iterator[Connection]:
        """Open the state, after checking its schema and the privileges of the role.

        :param needed: the privileges to check, as :mod:`.state.grants` has them
        :param patience_s: how long to wait if Postgres has no connection left
        :raises StateError: it cannot be reached or used; the message says what to do
        """
        with closing(connect(self.state_dsn, patience_s=patience_s)) as conn:
            try:
                require_current(conn)
            except StateUnfit:
                # The role may not read the version: show all privileges that it lacks.
                require_granted(conn, needed)
                raise
            require_granted(conn, needed)
            yield conn

    def plan(
        self,
        config: RunConfig,
        interval: Interval = _NO_INTERVAL,
        *,
        run_id: int = 0,
        run: Run | None = None,
    ) -> Plan:
        """Look up everything a run needs; see :func:`retrofill.pipeline.plan.plan`."""
        return plan(config, self._connections, interval, run_id=run_id, run=run)

    def survey_of(self, config: RunConfig, run: Run) -> Source:
        """Open the source of a run to divide it, whatever its live trigger would send."""
        return open_source(config, self._connections, run.window)

    def source_of(self, config: RunConfig, run: Run) -> Source:
        """Open the source of a run to read it."""
        shape = shape_of(config, run)
        return open_source(config, self._connections, run.window, run.delivery, shape)

    def capacity_of(self, config: RunConfig, run: Run) -> Capacity | None:
        """Look up how many calls a run's function accepts at once; None: unknown."""
        look_up = config.function_kind.capacity
        if look_up is None:
            return None
        return look_up(run.function, Asked(self._connections, config.job.aws_conn_id))

    def changes_of(self, config: RunConfig, run: Run) -> Source | None:
        """Open the source of a run for items modified since then; None: it cannot list them."""
        lists = config.redrive.place is not Place.QUARANTINE
        if not (lists and config.source_kind.lists_changes):
            return None
        window = Window(after=run.opened_at, before=run.modified_before)
        shape = shape_of(config, run)
        return open_source(config, self._connections, window, run.delivery, shape)

    def shape_of(self, config: RunConfig, run: Run) -> CompiledShape:
        """Compile the event shape of a run."""
        return shape_of(config, run)

    def fits(self, config: RunConfig, run: Run) -> Fits | None:
        """Return a function that returns why no call can carry an item; None: all items fit."""
        return fit(shape_of(config, run), config.function_kind.max_request_bytes)

    def store_of(self, config: RunConfig) -> tuple[Destination, Store] | None:
        """Open the destination of a run's report files; None: no files are requested.

        :raises ConfigError: this machine cannot write there
        """
        if config.report.report_to is None:
            return None
        folder = Destination.parse(config.report.report_to)
        return folder, open_store(folder, self._connections, config.job.aws_conn_id)

    def client_of(self, config: RunConfig, run: Run, *, reports_usage: bool = False) -> Client:
        """Open the data plane to a run's function.

        :param reports_usage: whether responses must report what is billed
        """
        asked = Asked(self._connections, config.job.aws_conn_id, reports_usage=reports_usage)
        return config.function_kind.open(config.function, run.function, asked)
