"""Airflow's settings, as far as runs depend on them."""

from airflow.configuration import conf

from retrofill.airflow_runs import grace_s
from retrofill.compat import shortcomings
from retrofill.model.errors import ConfigError
from retrofill.pipeline.setup import AirflowFacts, ServerFacts


def airflow_facts(server: ServerFacts | None = None) -> AirflowFacts:
    """Return what the settings of this process say.

    :param server: what Airflow's own database knows; None: it cannot be asked from here
    """
    return AirflowFacts(
        executor=conf.get("core", "executor"),
        takes_conf=conf.getboolean("core", "dag_run_conf_overrides_params"),
        base_url=conf.get("api", "base_url", fallback=""),
        execution_api_server_url=conf.get("core", "execution_api_server_url", fallback=""),
        wrong_grace=_wrong_grace(),
        notices=shortcomings(),
        server=server,
    )


def _wrong_grace() -> str:
    try:
        grace_s()
    except ConfigError as error:
        return str(error)
    return ""
