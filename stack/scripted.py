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

_A_PERSONS_OWN = ("AIRFLOW__", "AIRFLOW_CONN_", "AWS_", "RETROFILL_")
_FOLDER = "airflow.dag_processing.bundles.local.LocalDagBundle"


@contextmanager
def scripted_stack(
    script: Script,
    *,
    dags: Path,
    environment: Mapping[str, str] | None = None,
    say: Callable[[str], None] = print,
) -> Iterator[tuple[Settings, ScriptedEndpoint]]:
    """Run a separate stack: its own directory and ports, and nothing left of it at the end.

    :param dags: a folder with more DAG files than those of the project
    :param environment: variables for all of it, such as Airflow's settings
    :param say: called with progress messages
    :raises StackError: it cannot start
    :raises EndpointError: the endpoint cannot
    """
    with (
        tempfile.TemporaryDirectory(prefix="retrofill-") as directory,
        scripted_endpoint(script) as endpoint,
    ):
        surroundings = {
            **impersonal_environment(),
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
            # Its programs keep this environment; whoever waits for them must not.
            with patch.dict(os.environ, surroundings, clear=True):
                settings = stack.enter_context(running_stack(say))
            yield settings, endpoint


def impersonal_environment() -> dict[str, str]:
    """Return the environment without a user's settings for other stacks and real servers."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_A_PERSONS_OWN) and not name.lower().endswith("_proxy")
    }
    return {
        **kept,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
