"""The task that writes the report files of a run, if they are requested."""

from typing import Any

from retrofill.compat import AirflowSkipException, BaseOperator, Context
from retrofill.connections import open_state, wiring
from retrofill.export.report import export_run
from retrofill.operators import stored_run
from retrofill.state import exports, runs


class WriteReportOperator(BaseOperator):
    """Write the result of each item, however the run ended, once it needs no further set."""

    def execute(self, context: Context) -> dict[str, Any]:
        """Return what was written.

        :raises AirflowSkipException: there is no run, no files are requested, or the run continues
        :raises NotWritten: a retry may succeed
        """
        dag_run = context["dag_run"]
        with open_state() as conn:
            ref = runs.find_set(conn, dag_run.dag_id, dag_run.run_id)
            if ref is None:
                raise AirflowSkipException("this DAG run has opened no run")
            config, _ = stored_run(conn, ref)
            store = wiring().store_of(config)
            if store is None:
                raise AirflowSkipException("no report files are requested")
            if runs.later_sets(conn, ref):
                raise AirflowSkipException("the run continues with another set")
            written = export_run(conn, ref.run_id, config.report.asked, *store)
            exports.note_files(conn, ref.run_id, written)
        return written.as_json()
