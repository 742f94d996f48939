"""Try each form in which Retrofill is installed: a whole run on a whole Airflow, counts compared.

python -m tests.wheel [wheel] [mwaa] [astro]
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import psycopg2

from stack import airflow
from stack.endpoint import Bucket, Function, Script, ScriptedEndpoint, scripted_endpoint
from stack.scripted import clean_environment
from stack.services import Postgres, free_port, temporary_postgres
from stack.settings import Ports, Settings
from stack.supervise import Program, supervised
from tests.faults.observed_airflow import ObservedAirflow
from tests.wheel.forms import FORMS, JOB, Form

OBJECTS = 1_000
_SCRIPT = Script(
    buckets=(Bucket(name="photos", generated=OBJECTS),),
    functions=(Function(name="photos", timeout_seconds=10),),
    latency=0.02,
)
_COMPONENTS = {"scheduler": ["--skip-serve-logs"], "dag-processor": [], "api-server": []}
_RUN = "first"


class FormError(Exception):
    """A form does not do what it must."""


class Pages(ObservedAirflow):
    """Airflow with the pages of plugins."""

    def status_of(self, path: str) -> int:
        """Return the status with which a page answers who is signed in."""
        return int(self._http.get(path).status_code)

    def plugin_errors(self) -> list[dict[str, Any]]:
        """Return which plugins Airflow could not take."""
        errors: list[dict[str, Any]] = self._request("GET", "/api/v2/plugins/importErrors")[
            "import_errors"
        ]
        return errors


def try_form(form: Form, server: Postgres, endpoint: ScriptedEndpoint) -> str:
    """Run the job over all objects; return what has been counted.

    :raises FormError: a count or an answer is not what it must be
    """
    endpoint.reset()
    number = list(FORMS).index(form.home.name)
    for database in ("state", "metadata"):
        server.ensure_database(f"{database}_{number}")
    dsn = server.dsn(f"state_{number}", role=f"state_{number}")
    metadata = server.dsn(f"metadata_{number}", role=f"metadata_{number}")
    settings = Settings.from_environment(
        {
            "RETROFILL_STACK_DIR": str(form.home / "stack"),
            Ports.variable("airflow"): str(free_port()),
            "AWS_ENDPOINT_URL": endpoint.url,
            "AIRFLOW_CONN_RETROFILL_STATE": dsn,
        }
    )
    surroundings = {
        **{
            name: value
            for name, value in airflow.variables(settings, {}).items()
            # All that a form is about: Airflow finds its folders, and they find the package.
            if name not in {"PYTHONPATH", "AIRFLOW__CORE__DAGS_FOLDER"}
            and name != "AIRFLOW__CORE__PLUGINS_FOLDER"
        },
        "AIRFLOW_HOME": str(form.home),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": metadata.replace("://", "+psycopg2://"),
        **form.variables,
    }
    passwords = Path(surroundings["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"])
    passwords.parent.mkdir(parents=True, exist_ok=True)
    passwords.write_text(f'{{"{settings.user}": "{settings.password}"}}')
    command = str(form.python.with_name("airflow"))
    _run([command, "db", "migrate"], surroundings, form.home)
    _run([str(form.python), "-m", "retrofill", "db", "migrate"], surroundings, form.package_in)
    programs = [
        Program(name, [command, name, *options], surroundings, stop_after_s=10)
        for name, options in _COMPONENTS.items()
    ]
    with supervised(settings.directory, {"airflow": programs}) as supervisor:
        supervisor.start("airflow")
        supervisor.wait("Airflow", lambda: _answers(settings))
        airflow.warm_up(settings)
        with Pages(settings) as pages:
            return _judge(pages, settings, dsn, endpoint)


def _judge(pages: Pages, settings: Settings, dsn: str, endpoint: ScriptedEndpoint) -> str:
    pages.unpause(JOB, within_s=600)
    pages.trigger(JOB, _RUN, {})
    state = pages.await_end(JOB, _RUN, within_s=900)
    if state != "success":
        raise FormError("\n".join(pages.failures(JOB, _RUN)))
    stranger = httpx.get(f"{settings.airflow_url}/retrofill/jobs", timeout=60).status_code
    found = {
        "plugin errors": pages.plugin_errors(),
        "pages": [pages.status_of("/retrofill/jobs"), stranger, bool(pages.page(JOB, _RUN))],
        "ours": _counts(dsn),
        "endpoint's": [endpoint.stats().executions, len(endpoint.items()), endpoint.items(above=1)],
    }
    wanted = {
        "plugin errors": [],
        "pages": [200, 401, True],
        "ours": ["complete", OBJECTS, OBJECTS, OBJECTS, 0],
        "endpoint's": [OBJECTS, OBJECTS, {}],
    }
    if found != wanted:
        raise FormError(f"found {found}, wanted {wanted}")
    return (
        f"{OBJECTS:,} listed, succeeded and called, {endpoint.stats().executions:,} executions by"
        " the function's count, no item twice; /retrofill/jobs answers, and no stranger"
    )


def _counts(dsn: str) -> list[Any]:
    with closing(psycopg2.connect(dsn)) as conn, conn.cursor() as cursor:
        cursor.execute(
            "SELECT state::text, listed, succeeded, calls, items_left FROM retrofill.v_run"
        )
        (row,) = cursor.fetchall()
        return list(row)


def _answers(settings: Settings) -> bool:
    try:
        answer = httpx.get(f"{settings.airflow_url}/api/v2/monitor/health", timeout=10)
        states = answer.raise_for_status().json()
    except httpx.HTTPError:
        return False
    return all(states[name]["status"] == "healthy" for name in ("scheduler", "dag_processor"))


def _run(command: list[str], surroundings: Mapping[str, str], folder: Path) -> None:
    environment = {**os.environ, **surroundings}
    done = subprocess.run(  # noqa: S603
        command, env=environment, cwd=folder, check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise FormError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")


def main() -> int:
    """Return 0 only if every form that was asked for has passed."""
    parser = argparse.ArgumentParser(prog="python -m tests.wheel")
    parser.add_argument("forms", nargs="*", choices=[*FORMS, []], metavar="FORM")
    asked = parser.parse_args().forms or list(FORMS)
    failed = False
    with (
        tempfile.TemporaryDirectory(prefix="retrofill-wheel-") as work,
        scripted_endpoint(_SCRIPT) as endpoint,
        temporary_postgres(durable=False) as server,
    ):
        bare = {k: v for k, v in clean_environment().items() if k != "PYTHONPATH"}
        for name in asked:
            began = time.monotonic()
            home = Path(work) / name
            home.mkdir()
            form = FORMS[name](home)
            try:
                with patch.dict(os.environ, bare, clear=True):
                    said = try_form(form, server, endpoint)
            except FormError as error:
                failed, said = True, f"failed: {error}"
            print(f"{form.name}: {said}; in {time.monotonic() - began:.0f} s", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
