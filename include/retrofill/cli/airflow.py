"""Where the command line finds Airflow, and who asks."""

import os
from collections.abc import Mapping

from retrofill.airflow_rest import Airflow
from retrofill.model.errors import ConfigError

URL = "RETROFILL_AIRFLOW_URL"
TOKEN = "RETROFILL_AIRFLOW_TOKEN"  # noqa: S105  the name of a variable
USERNAME = "RETROFILL_AIRFLOW_USERNAME"
PASSWORD = "RETROFILL_AIRFLOW_PASSWORD"  # noqa: S105  the name of a variable


def sign_in(environ: Mapping[str, str] = os.environ) -> Airflow:
    """Sign in as the environment says.

    :raises ConfigError: it does not say where Airflow is, or who asks
    :raises AirflowUnreachable: Airflow does not answer
    :raises AirflowRefused: it does not know who asks
    """
    token = environ.get(TOKEN, "")
    airflow = Airflow(environ.get(URL, ""), named_by=URL, token=token)
    if not token:
        if not environ.get(USERNAME):
            raise ConfigError(
                f"{TOKEN}: it is not set; allowed is a token of Airflow's, or {USERNAME} and"
                f" {PASSWORD} in its place"
            )
        airflow.sign_in(environ[USERNAME], environ.get(PASSWORD, ""))
    return airflow
