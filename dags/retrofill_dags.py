"""All of Retrofill's DAGs: one per kind of source, one per job file, and maintenance."""

import sys
from importlib.util import find_spec
from pathlib import Path

from airflow.sdk import DAG  # noqa: F401  by this word Airflow knows a file that holds DAGs

# Installed, or in the plugins folder, the package is found; else it is in include/ of the project.
if find_spec("retrofill") is None:
    sys.path.append(str(Path(__file__).resolve().parents[1] / "include"))

from retrofill.dags import retrofill_dags

globals().update(retrofill_dags())
