"""Where the command line finds Airflow, and how it signs in."""

import os
from collections.abc import Mapping

from retrofill.airflow_rest import Airflow
from retrofill.model.errors import ConfigError

URL = "RETROFILL_AIRFLOW_URL"
TOKEN = "RETROFILL_AIRFLOW_TOKEN"  # noqa: S105  the name of a variable
USERNAME = "RETROFILL_AIRFLOW_USERNAME"
PASSWORD = "RETROFILL_AIRFLOW_PASSWORD"  # noqa: S105  the name of a variable


def sign_in(environ: Mapping[str, str] = os.environ) -> Airflow:
    """Sign in with the variables of the environment.

    :raises ConfigError: they do not name Airflow's address, or a token or user
    :raises AirflowUnreachable: Airflow does not respond
    :raises AirflowRefused: Airflow refuses the user
    """
    token = environ.get(TOKEN, "")
    airflow = Airflow(environ.get(URL, ""), named_by=URL, token=token)
    if not token:
        if not environ.get(USERNAME):
            raise ConfigError(
                f"{TOKEN}: it is not set; give a token of Airflow's, or {USERNAME} and"
                f" {PASSWORD} instead"
            )
        airflow.sign_in(environ[USERNAME], environ.get(PASSWORD, ""))
    return airflow
