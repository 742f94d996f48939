"""Retrofill copied into an existing Airflow project: everything there stays unchanged and works."""

import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import closing
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import psycopg2
import pytest

ROOT = Path(__file__).parents[2]
COPIED = ("dags", "plugins", "include")
"""What the README tells you to copy."""

PLUGIN = """
from airflow.plugins_manager import AirflowPlugin

class TheirPlugin(AirflowPlugin):
    name = "{name}"
"""
DAG = """
from airflow.sdk import DAG
from include.helpers import SCHEDULE

dag = DAG("theirs", schedule=SCHEDULE)
"""
# What a project may contain in the folders where we put files.
THEIRS = {
    ".airflowignore": "ignored\n",
    "airflow_settings.yaml": "airflow: {}\n",
    "packages.txt": "",
    "requirements.txt": "requests\n",
    "dags/.airflowignore": "drafts\n",
    "dags/__init__.py": "",
    "dags/drafts/broken.py": "from airflow.sdk import DAG\nraise RuntimeError('a draft')\n",
    "dags/scheduled.py": DAG,
    "dags/maintenance.py": DAG.replace('"theirs"', '"theirs_too"'),
    "include/helpers.py": "SCHEDULE = None\n",
    "include/jobs/nightly.yaml": "kind: Job\n",
    "include/jobs/templated.yml": "{{ not YAML }}\n",
    "include/sql/report.sql": "SELECT 1\n",
    "plugins/__init__.py": "",
    "plugins/other.py": PLUGIN.format(name="other"),
    "plugins/package/__init__.py": PLUGIN.format(name="package"),
    "plugins/package/part.py": PLUGIN.format(name="part"),
    "plugins/a/folder/nested.py": PLUGIN.format(name="nested"),
}
OWN_INIT = {"include/__init__.py": "from include.helpers import SCHEDULE\n"}

LOAD_PLUGINS = """
import json
from airflow import plugins_manager
plugins, errors = plugins_manager._get_plugins()
files = [plugin.name for plugin in plugins if not plugin.__module__.startswith("airflow.")]
"""
PLUGINS = f"{LOAD_PLUGINS}print(json.dumps([sorted(files), errors]))"
LOAD_DAGS = """
import json
from airflow.dag_processing.dagbag import DagBag
bag = DagBag()
"""
DAGS = f"{LOAD_DAGS}print(json.dumps([sorted(bag.dags), bag.import_errors]))"
BOTH = f"""{LOAD_PLUGINS}{LOAD_DAGS}
print(json.dumps([sorted(files), errors, sorted(bag.dags), bag.import_errors]))
"""
OURS = [
    "retrofill_forget",
    "retrofill_maintenance",
    "retrofill_manifest",
    "retrofill_migrate",
    "retrofill_rows",
    "retrofill_s3",
]
# Libraries are imported first, so that their changes do not count.
IMPORT = """
import json, gc, locale, logging, os, signal, socket, sys, threading, warnings
import airflow.dag_processing.dagbag, airflow.api_fastapi.app, fastapi.testclient
import apprise, awscrt, boto3, psycopg2, pyarrow.parquet, smart_open
import airflow.providers.amazon.aws.hooks.lambda_function
from airflow.providers.apprise.hooks.apprise import AppriseHook
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator

def everything():
    mask = os.umask(0)
    os.umask(mask)
    loggers = logging.Logger.manager.loggerDict
    state = {
        "collector": [gc.isenabled(), gc.get_threshold(), gc.get_freeze_count()],
        "environment": dict(os.environ),
        "hooks": [sys.excepthook, sys.unraisablehook, threading.excepthook, sys.gettrace()],
        "importers": [sys.meta_path, sys.path_hooks],
        "interpreter": [sys.getswitchinterval(), sys.getrecursionlimit()],
        "locale": locale.setlocale(locale.LC_ALL),
        "loggers": {
            name: [logger.level, logger.propagate, logger.disabled, logger.handlers]
            for name, logger in {**loggers, "": logging.root}.items()
            if isinstance(logger, logging.Logger) and (logger.level or logger.handlers)
        },
        "logging": [
            logging.root.manager.disable, logging.getLoggerClass(), logging.getLogRecordFactory()
        ],
        "path": sys.path,
        "process": [mask, os.getcwd(), socket.getdefaulttimeout()],
        "signals": [signal.getsignal(number) for number in sorted(signal.valid_signals())],
        "threads": threading.enumerate(),
        "warnings": [warnings.filters, warnings.showwarning],
    }
    return {name: repr(value) for name, value in state.items()}

sys.path.append(os.getcwd() + "/include")  # which ours would do, as it is not there
before = everything()
import dags.retrofill_dags, plugins.retrofill_plugin, retrofill.web.app
import retrofill.aws_hook, retrofill.targets  # which are only imported when they are needed
import retrofill.functions.aws_lambda.client, retrofill.functions.http.client
after = everything()
print(json.dumps({name: after[name] for name in before if before[name] != after[name]}))
"""
WITHOUT = """
import json, sys
for name in {names}:
    sys.modules[name] = None  # as if it were not installed
from airflow import plugins_manager
plugins, errors = plugins_manager._get_plugins()
files = [plugin.name for plugin in plugins if not plugin.__module__.startswith("airflow.")]
print(json.dumps([sorted(files), errors]))
"""


def run(code: str, project: Path) -> Any:
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(project / "home"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(project / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(project / "plugins"),
        "PYTHONPATH": str(project),  # for their own imports from include/; ours need none
    }
    done = subprocess.run(  # noqa: S603  our own interpreter
        [sys.executable, "-W", "ignore", "-c", code],
        env=environment,
        cwd=project,
        check=False,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def write(project: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return project


def install(project: Path) -> Path:
    """Copy the folders that the README names into a project, as ``cp -r`` does."""
    for folder in COPIED:
        shutil.copytree(
            ROOT / folder,
            project / folder,
            dirs_exist_ok=True,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    return project


def names(project: Path) -> set[str]:
    found = (path.relative_to(project) for path in project.rglob("*") if path.is_file())
    return {str(path) for path in found if "__pycache__" not in path.parts}


@pytest.fixture(params=[{}, OWN_INIT], ids=["include is a folder", "include is a package"])
def project(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """An existing Airflow project."""
    return write(tmp_path / "project", THEIRS | request.param)


def test_every_file_has_retrofill_in_its_path(tmp_path: Path) -> None:
    """So no file of ours can collide with one of theirs."""
    delivered = names(install(tmp_path))
    assert {"dags/retrofill_dags.py", "plugins/retrofill_plugin.py"} < delivered
    nameless = [
        name
        for name in delivered
        if not any(part.startswith("retrofill") for part in Path(name).parts)
    ]
    assert nameless == []


def test_no_file_of_theirs_is_overwritten(project: Path) -> None:
    before = {name: (project / name).read_bytes() for name in names(project)}
    assert before.keys() >= THEIRS.keys()
    install(project)
    assert {name: (project / name).read_bytes() for name in before} == before


def test_their_plugins_are_loaded_and_ours_is_too(project: Path) -> None:
    theirs, errors = run(PLUGINS, project)
    assert (theirs, errors) == (["nested", "other", "package", "part"], {})
    assert run(PLUGINS, install(project)) == [sorted([*theirs, "retrofill"]), {}]


def test_their_dags_are_loaded_and_ours_are_too(project: Path) -> None:
    theirs, errors = run(DAGS, project)
    assert (theirs, errors) == (["theirs", "theirs_too"], {})
    install(project)
    assert run(DAGS, project) == [sorted([*theirs, *OURS]), {}]
    example = project / "include/jobs/retrofill_daily.yaml.example"
    shutil.copy(example, example.with_suffix(""))
    assert run(DAGS, project) == [sorted([*theirs, *OURS, "retrofill_daily"]), {}]


def test_the_package_may_be_in_the_plugins_folder(tmp_path: Path) -> None:
    """As on Amazon MWAA, which has only the folders of DAG files and plugins."""
    theirs = {
        "plugins/other.py": PLUGIN.format(name="other"),
        # From an unpacked wheel; Airflow 3.3 does not look for it.
        "plugins/retrofill-0.1.0.dist-info/METADATA": "Name: retrofill\nVersion: 0.1.0\n",
    }
    project = write(tmp_path / "project", theirs)
    for folder, name in (("dags", ""), ("plugins", ""), ("include/retrofill", "plugins/retrofill")):
        shutil.copytree(ROOT / folder, project / (name or folder), dirs_exist_ok=True)
    assert run(BOTH, project) == [["other", "retrofill"], {}, OURS, {}]


def test_the_package_is_hidden_among_plugins_and_dags_in_either_syntax() -> None:
    package = ROOT / "include/retrofill"
    lines = (package / ".airflowignore").read_text().splitlines()
    (pattern,) = [line for line in lines if not line.startswith("#")]
    for path in [*package.iterdir(), *package.rglob("*.py")]:
        if not path.name.startswith("."):
            assert fnmatch(path.name, pattern), path
            assert re.search(pattern, str(path.relative_to(ROOT))), path


def test_importing_retrofill_changes_nothing_in_the_process(project: Path) -> None:
    assert run(IMPORT, install(project)) == {}


def test_the_state_is_in_its_own_schema_only(state_dsn: str) -> None:
    """So the database may contain other people's objects, under any name."""
    with closing(psycopg2.connect(state_dsn)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT nspname FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%'"
            " AND nspname <> 'information_schema' ORDER BY nspname"
        )
        assert cursor.fetchall() == [("public",), ("retrofill",)]
        for catalog, column in (
            ("pg_class", "relnamespace"),
            ("pg_proc", "pronamespace"),
            ("pg_type", "typnamespace"),
        ):
            cursor.execute(f"SELECT * FROM {catalog} WHERE {column} = 'public'::regnamespace")  # noqa: S608
            assert cursor.fetchall() == []
        cursor.execute("SELECT extname FROM pg_extension")
        assert cursor.fetchall() == [("plpgsql",)]
        cursor.execute(
            "SELECT * FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase"
            " WHERE d.datname = current_database()"
        )
        assert cursor.fetchall() == []


def test_the_plugin_needs_only_what_is_always_installed(project: Path) -> None:
    missing = ["apprise", "awscrt", "boto3", "psycopg2"]
    loaded, errors = run(WITHOUT.format(names=missing), install(project))
    assert "retrofill" in loaded
    assert errors == {}
