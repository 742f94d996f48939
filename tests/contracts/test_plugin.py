"""What the page of a run needs from Airflow beyond its public API, and what it registers there."""

import json
import os
import re
import subprocess
import sys
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from retrofill.compat import SERIES
from retrofill.engine.outcomes import Cause, Outcome
from retrofill.model.report import Report
from retrofill.web.words import CAUSES, COUNTS, OUTCOMES

ROOT = Path(__file__).parents[2]

# As in the API server: a request to Airflow's own app, without fakes.
SERVER = """
import json, warnings
warnings.simplefilter("ignore")
from airflow import plugins_manager
from airflow.api_fastapi.app import init_auth_manager, init_plugins
from fastapi import FastAPI
from fastapi.testclient import TestClient
app = FastAPI()
init_plugins(app)
init_auth_manager(app)
(plugin,) = [one for one in plugins_manager.get_plugin_info() if one["name"] == "retrofill"]
path = plugin["external_views"][-1]["href"].format(DAG_ID="d", RUN_ID="r")
try:
    errors = plugins_manager.import_errors
except AttributeError:  # from Airflow 3.2 on
    _, errors = plugins_manager._get_plugins()
answer = TestClient(app).get("/" + path)
print(json.dumps([errors, plugin["external_views"], answer.status_code, answer.text]))
"""
# As in every task.
TASK = """
import json, sys
import airflow.sdk.execution_time.task_runner
before = set(sys.modules)
try:
    from airflow.sdk.plugins_manager import _get_plugins
    plugins, errors = _get_plugins()
except ImportError:  # before Airflow 3.2
    from airflow import plugins_manager
    plugins_manager.ensure_plugins_loaded()
    plugins, errors = plugins_manager.plugins, plugins_manager.import_errors
names = [plugin.name for plugin in plugins if not plugin.__module__.startswith("airflow.")]
new = {name.partition(".")[0] for name in set(sys.modules) - before}
web = sorted(name for name in sys.modules if name.partition(".")[0] == "retrofill")
print(json.dumps([errors, names, sorted(new), web]))
"""


def run(code: str, home: Path) -> Any:
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "PYTHONPATH": str(ROOT / "include"),
    }
    done = subprocess.run(  # noqa: S603  our own interpreter
        [sys.executable, "-c", code],
        env=environment,
        cwd=home,
        check=False,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_airflow_serves_the_page_and_requires_a_login(tmp_path: Path) -> None:
    errors, views, code, text = run(SERVER, tmp_path)
    assert errors == {}
    assert [view["destination"] for view in views] == ["nav", "dag_run"]
    # A proxy may serve Airflow under another path.
    assert not any(view["href"].startswith("/") for view in views)
    assert code == 401
    assert "You are not signed in to Airflow" in text


def test_a_task_loads_the_plugin_and_nothing_slow(tmp_path: Path) -> None:
    errors, names, new, web = run(TASK, tmp_path)
    assert errors == {}
    assert "retrofill" in names
    assert not {"fastapi", "starlette", "psycopg2", "boto3"} & set(new)
    assert web == ["retrofill", "retrofill.plugin", "retrofill.web"]


def test_the_plugin_only_registers() -> None:
    files = [path.name for path in (ROOT / "plugins").glob("*.py")]
    assert files == ["retrofill_plugin.py"]
    assert len((ROOT / "plugins/retrofill_plugin.py").read_text().splitlines()) <= 30


@pytest.mark.parametrize(
    "needed",
    [
        "sandbox:'allow-scripts allow-same-origin allow-forms",  # or its forms would not work
        pytest.param(
            "replaceAll('{RUN_ID}',encodeURIComponent(",
            marks=pytest.mark.skipif(SERIES < (3, 2), reason="it does not encode the run ID"),
        ),
        "storageKey:.='theme'",
    ],
)
def test_the_ui_shows_the_page_in_the_frame_it_expects(needed: str) -> None:
    package = find_spec("airflow")
    assert package is not None
    assert package.submodule_search_locations
    ui = Path(package.submodule_search_locations[0]) / "ui/dist/assets"
    # The minifier chooses the quotes.
    pattern = re.escape(needed).replace(r"\.=", ".=").replace("'", "[`'\"]")
    assert any(re.search(pattern, script.read_text()) for script in ui.glob("index-*.js"))


def test_the_page_knows_every_outcome_and_every_count() -> None:
    assert set(OUTCOMES) == {outcome.value for outcome in Outcome} | {"lost", None}
    assert set(CAUSES) == set(Cause)
    numbers = {field.name for field in fields(Report) if field.type is int}
    by_outcome = set(Cause) | set(OUTCOMES) - {"succeeded"}
    assert set(COUNTS) == numbers - {"run_id", "sets", "partitions", "partitions_left"} - by_outcome
