"""The operator that migrates the state, for those who have no shell."""

from retrofill.airflow_runs import params_of
from retrofill.airflow_settings import airflow_facts
from retrofill.compat import BaseOperator, Context
from retrofill.connections import wiring
from retrofill.params.migration import MigrationParams
from retrofill.pipeline.migration import Migrated, migrate_state


class MigrateOperator(BaseOperator):
    """Migrate the schema of the state, and tell the GRANTs that its roles need."""

    def execute(self, context: Context) -> Migrated:
        """Return what was found and done, with the GRANTs as text."""
        config = MigrationParams.from_params(params_of(context))
        wire = wiring()
        role = config.runtime_role or wire.state_role()
        done = migrate_state(lambda: wire.state_dsn(config.conn_id), config, role)
        found = wire.setup(airflow_facts())
        for finding in found.findings:
            self.log.warning("%s", "\n".join(finding.lines()))
        if found.state is not None:
            self.log.info("tasks can use the state, as role %s", found.state.role)
        return done
