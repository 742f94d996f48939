"""The embedded stack with the scripted endpoint instead of AWS, for tests of faults and speed."""

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import patch

from stack.endpoint import Script, ScriptedEndpoint, scripted_endpoint
from stack.services import free_port
from stack.settings import Ports, Settings
from stack.up import running_stack

_USERS_OWN = ("AIRFLOW__", "AIRFLOW_CONN_", "AWS_", "RETROFILL_")
_FOLDER = "airflow.dag_processing.bundles.local.LocalDagBundle"


@contextmanager
def scripted_stack(
    script: Script,
    *,
    dags: Path,
    environment: Mapping[str, str] | None = None,
    say: Callable[[str], None] = print,
) -> Iterator[tuple[Settings, ScriptedEndpoint]]:
    """Run a separate stack in its own directory and ports, and remove it at the end.

    :param dags: a folder with more DAG files than those of the project
    :param environment: variables for the whole stack, such as Airflow's settings
    :param say: called with progress messages
    :raises StackError: the stack cannot start
    :raises EndpointError: the endpoint cannot start
    """
    with (
        tempfile.TemporaryDirectory(prefix="retrofill-") as directory,
        scripted_endpoint(script) as endpoint,
    ):
        variables = {
            **clean_environment(),
            "RETROFILL_STACK_DIR": directory,
            **{Ports.variable(name): str(free_port()) for name in ("airflow", "postgres")},
            "AWS_ENDPOINT_URL": endpoint.url,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(
                [
                    {"name": "dags-folder", "classpath": _FOLDER, "kwargs": {}},
                    {"name": "more", "classpath": _FOLDER, "kwargs": {"path": str(dags)}},
                ]
            ),
            **(environment or {}),
        }
        with ExitStack() as stack:
            # The stack's programs keep this environment; this process must not.
            with patch.dict(os.environ, variables, clear=True):
                settings = stack.enter_context(running_stack(say))
            yield settings, endpoint


def clean_environment() -> dict[str, str]:
    """Return the environment without a user's settings for other stacks and real servers."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_USERS_OWN) and not name.lower().endswith("_proxy")
    }
    return {
        **kept,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
