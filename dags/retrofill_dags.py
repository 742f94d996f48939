"""All of Retrofill's DAGs: one per kind of source, one per job file, and those for its state."""

import sys
from importlib.util import find_spec
from pathlib import Path

from airflow.sdk import DAG  # noqa: F401  Airflow recognizes a DAG file by this word

# Python finds the package if it is installed or a plugin; otherwise it is in include/.
if find_spec("retrofill") is None:
    sys.path.append(str(Path(__file__).resolve().parents[1] / "include"))

from retrofill.dags import retrofill_dags

globals().update(retrofill_dags())
