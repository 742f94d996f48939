"""The operators that keep the state: each calls one use case."""

from retrofill.airflow_runs import TaskAirflow, airflow_facts, params_of
from retrofill.compat import AirflowSkipException, BaseOperator, Context
from retrofill.connections import task_state as open_state
from retrofill.connections import wiring
from retrofill.params.maintenance import ForgetParams, MaintenanceParams
from retrofill.params.migration import MigrationParams
from retrofill.pipeline.maintenance import forget_calls, forget_job, forget_results
from retrofill.pipeline.migration import Migrated, migrate_state
from retrofill.pipeline.overlap import forget_gone
from retrofill.pipeline.rescue import rescue
from retrofill.state.grants import JOBS, RESULTS, RUNTIME


class RescueOperator(BaseOperator):
    """Close abandoned runs, and free their items."""

    def execute(self, context: Context) -> list[int]:
        """Return the numbers of the runs that were closed."""
        MaintenanceParams.from_params(params_of(context))
        airflow = TaskAirflow(context)
        with open_state() as conn:
            closed = rescue(conn, airflow)
            forget_gone(conn, airflow)
        return [run.run_id for run in closed]


class ForgetCallsOperator(BaseOperator):
    """Delete calls after their retention time."""

    def execute(self, context: Context) -> int:
        """Return the number of deleted calls.

        :raises AirflowSkipException: calls are kept forever
        """
        config = MaintenanceParams.from_params(params_of(context))
        if config.keep_calls_days is None:
            raise AirflowSkipException("calls are kept forever")
        with open_state() as conn:
            return forget_calls(conn, job=config.job, days=config.keep_calls_days)


class ForgetResultsOperator(BaseOperator):
    """Delete results after their retention time."""

    def execute(self, context: Context) -> int:
        """Return the number of deleted results.

        :raises AirflowSkipException: results are kept forever
        """
        config = MaintenanceParams.from_params(params_of(context))
        if config.keep_results_days is None:
            raise AirflowSkipException("results are kept forever")
        with open_state({**RUNTIME, **RESULTS}) as conn:
            return forget_results(conn, job=config.job, days=config.keep_results_days)


class ForgetJobOperator(BaseOperator):
    """Delete everything known about a job."""

    def execute(self, context: Context) -> dict[str, int]:
        """Return the numbers of rows that this try deleted."""
        config = ForgetParams.from_params(params_of(context))
        with open_state({**RUNTIME, **JOBS}) as conn:
            return forget_job(conn, config.job)


class MigrateOperator(BaseOperator):
    """Migrate the schema of the state, and show the GRANTs that its roles need."""

    def execute(self, context: Context) -> Migrated:
        """Return the migrations and the GRANTs."""
        config = MigrationParams.from_params(params_of(context))
        wire = wiring()
        role = config.runtime_role or wire.state_role()
        done = migrate_state(lambda: wire.state_dsn(config.conn_id), config, role)
        setup = wire.setup(airflow_facts())
        for finding in setup.findings:
            self.log.warning("%s", "\n".join(finding.lines()))
        if setup.state is not None:
            self.log.info("tasks can use the state, as role %s", setup.state.role)
        return done
