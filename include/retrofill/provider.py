"""What Airflow is told of the package as a provider: its name, and its own settings."""

from typing import Any

from retrofill import __version__

OPTIONS: dict[str, dict[str, Any]] = {
    "jobs_folder": {
        "description": (
            "The absolute path of the folder with the job files, retrofill_*.yaml, each of which is"
            " a DAG. Empty: the folder jobs beside the package, which is include/jobs where the"
            " package lies in include/."
        ),
        "version_added": "0.1.0",
        "type": "string",
        "example": "/opt/airflow/dags/jobs",
        "default": "",
    },
    "grace_period": {
        "description": (
            "The seconds between a task's being told to end and its being killed: a little less"
            " than what kills it, such as terminationGracePeriodSeconds of its pod."
        ),
        "version_added": "0.1.0",
        "type": "float",
        "example": "25",
        "default": "5",
    },
}
"""The options of the section ``[retrofill]``.

Format: https://airflow.apache.org/docs/apache-airflow-providers/howto/create-custom-providers.html
"""


def get_provider_info() -> dict[str, Any]:
    """Return what the entry point ``apache_airflow_provider`` tells."""
    return {
        "package-name": "retrofill",
        "name": "Retrofill",
        "description": "Run a function over the data you already have.",
        "versions": [__version__],
        "config": {
            "retrofill": {"description": "Settings of Retrofill.", "options": OPTIONS},
        },
    }
