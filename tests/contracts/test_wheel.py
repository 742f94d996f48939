"""The wheel: its contents, and that Airflow finds everything once it is installed."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import EntryPoints
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder
from retrofill import __version__
from retrofill.pipeline.invoke import GRACE_S
from retrofill.provider import OPTIONS

from tests.wheel.forms import documented_dag_file

ROOT = Path(__file__).parents[2]
INFO = f"retrofill-{__version__}.dist-info"

# As Airflow does: by entry points, and with the DAG file from the docs.
INSTALLED = """
import json
from airflow import plugins_manager
from airflow.configuration import conf
from airflow.dag_processing.dagbag import DagBag
from airflow.providers_manager import ProvidersManager
import retrofill
plugins, errors = plugins_manager._get_plugins()
bag = DagBag()
manager = ProvidersManager()
manager.initialize_providers_configuration()
print(json.dumps({
    "package": retrofill.__file__,
    "plugins": [str(plugin.source) for plugin in plugins if plugin.name == "retrofill"],
    "errors": [errors, bag.import_errors],
    "dags": sorted(bag.dags),
    "provider": manager.providers["retrofill"].version,
    "grace": conf.get("retrofill", "grace_period"),
}))
"""
JOB = """
source: s3
schedule: none
params: {bucket: photos, prefix: in/, function: resize}
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    (built,) = WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
    return Path(built)


def test_the_wheel_holds_only_the_package(wheel: Path) -> None:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "retrofill"]
    git = subprocess.run(  # noqa: S603
        command, cwd=ROOT / "include", check=True, capture_output=True, text=True
    )
    known = {name for name in git.stdout.splitlines() if (ROOT / "include" / name).exists()}
    assert {"retrofill/web/templates", "retrofill/state/migrations"} <= {
        str(Path(name).parent) for name in known
    }
    held = {name for name in zipfile.ZipFile(wheel).namelist() if not name.startswith(INFO)}
    assert held == known


def test_the_entry_points_load(wheel: Path) -> None:
    text = zipfile.ZipFile(wheel).read(f"{INFO}/entry_points.txt").decode()
    points = EntryPoints._from_text_for(text, None)  # noqa: SLF001  as a distribution reads it
    assert {(point.group, point.name) for point in points} == {
        ("airflow.plugins", "retrofill"),
        ("apache_airflow_provider", "provider_info"),
        ("console_scripts", "retrofill"),
    }
    for point in points:
        assert callable(point.load())


def test_airflow_finds_everything_and_the_plugin_once(wheel: Path, tmp_path: Path) -> None:
    """Even next to the plugin of the folder layout."""
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    for folder in ("dags", "plugins", "jobs"):
        (tmp_path / folder).mkdir()
    (tmp_path / "dags/retrofill.py").write_text(documented_dag_file())
    (tmp_path / "jobs/retrofill_photos.yaml").write_text(JOB)
    shutil.copy(ROOT / "plugins/retrofill_plugin.py", tmp_path / "plugins")
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__RETROFILL__JOBS_FOLDER": str(tmp_path / "jobs"),
        "PYTHONPATH": str(tmp_path / "site"),
    }
    done = subprocess.run(  # noqa: S603  our own interpreter
        [sys.executable, "-W", "ignore", "-c", INSTALLED],
        env=environment,
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["package"].startswith(str(tmp_path / "site"))
    (plugin,) = found["plugins"]
    assert plugin.startswith(f"retrofill=={__version__}: EntryPoint(")
    assert found["errors"] == [{}, {}]
    assert found["dags"] == [
        "retrofill_forget",
        "retrofill_maintenance",
        "retrofill_manifest",
        "retrofill_migrate",
        "retrofill_photos",
        "retrofill_rows",
        "retrofill_s3",
    ]
    assert found["provider"] == __version__
    assert float(found["grace"]) == GRACE_S


def test_every_setting_is_declared_to_airflow() -> None:
    asked = re.compile(r'conf\.get\w*\("retrofill", "(\w+)"')
    modules = (ROOT / "include/retrofill").rglob("*.py")
    assert {name for path in modules for name in asked.findall(path.read_text())} == set(OPTIONS)
