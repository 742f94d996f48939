"""Register the pages of Retrofill, unless the installed package does so itself."""

import sys
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

# Beside this file, or installed, the package is found; else it is in include/ of the project.
if find_spec("retrofill") is None:
    sys.path.append(str(Path(__file__).resolve().parents[1] / "include"))

try:
    distribution("retrofill")
except PackageNotFoundError:
    from retrofill.plugin import RetrofillPlugin  # noqa: F401  Airflow looks for it here
