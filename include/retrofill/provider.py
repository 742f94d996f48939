"""The package as an Airflow provider: its name and settings."""

from typing import Any

from retrofill import __version__

OPTIONS: dict[str, dict[str, Any]] = {
    "jobs_folder": {
        "description": (
            "The absolute path of the folder with the job files, retrofill_*.yaml. Each becomes a"
            " DAG. Empty: the folder jobs next to the package, such as include/jobs if the package"
            " is in include/."
        ),
        "version_added": "0.1.0",
        "type": "string",
        "example": "/opt/airflow/dags/jobs",
        "default": "",
    },
    "grace_period": {
        "description": (
            "The seconds from the request to a task to end until it is killed. Set it a little"
            " below the actual limit, such as terminationGracePeriodSeconds of the task's pod."
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
    """Return the provider's metadata, for the entry point ``apache_airflow_provider``."""
    return {
        "package-name": "retrofill",
        "name": "Retrofill",
        "description": "Run a function over the data you already have.",
        "versions": [__version__],
        "config": {
            "retrofill": {"description": "Settings of Retrofill.", "options": OPTIONS},
        },
    }
