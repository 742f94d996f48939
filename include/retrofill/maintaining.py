"""The operators for maintenance: each opens the state and calls one use case."""

from retrofill.airflow_runs import TaskAirflow, params_of
from retrofill.compat import AirflowSkipException, BaseOperator, Context
from retrofill.connections import task_state as open_state
from retrofill.params.maintenance import ForgetParams, MaintenanceParams
from retrofill.pipeline.maintenance import (
    Forgotten,
    forget_calls,
    forget_job,
    forget_results,
)
from retrofill.pipeline.overlap import forget_gone
from retrofill.pipeline.rescue import rescue
from retrofill.state.grants import JOBS, RESULTS, RUNTIME


class RescueOperator(BaseOperator):
    """Close the runs that were abandoned, and free their items."""

    def execute(self, context: Context) -> list[int]:
        """Return the numbers of the runs that were closed."""
        MaintenanceParams.from_params(params_of(context))
        airflow = TaskAirflow(context)
        with open_state() as conn:
            closed = rescue(conn, airflow)
            forget_gone(conn, airflow)
        return [run.run_id for run in closed]


class ForgetCallsOperator(BaseOperator):
    """Delete the calls that are older than they have to be kept."""

    def execute(self, context: Context) -> int:
        """Return how many were deleted.

        :raises AirflowSkipException: calls are kept for ever
        """
        config = MaintenanceParams.from_params(params_of(context))
        if config.keep_calls_days is None:
            raise AirflowSkipException("calls are kept for ever")
        with open_state() as conn:
            return forget_calls(conn, job=config.job, days=config.keep_calls_days)


class ForgetResultsOperator(BaseOperator):
    """Delete the results that are older than they have to be kept."""

    def execute(self, context: Context) -> int:
        """Return how many were deleted.

        :raises AirflowSkipException: results are kept for ever
        """
        config = MaintenanceParams.from_params(params_of(context))
        if config.keep_results_days is None:
            raise AirflowSkipException("results are kept for ever")
        with open_state({**RUNTIME, **RESULTS}) as conn:
            return forget_results(conn, job=config.job, days=config.keep_results_days)


class ForgetJobOperator(BaseOperator):
    """Delete all that is known of a job."""

    def execute(self, context: Context) -> Forgotten:
        """Return what was deleted in this try."""
        config = ForgetParams.from_params(params_of(context))
        with open_state({**RUNTIME, **JOBS}) as conn:
            return forget_job(conn, config.job)
