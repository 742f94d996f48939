"""Register the pages of Retrofill, unless the installed package does so itself."""

import sys
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

_HERE = Path(__file__).resolve().parent

# Beside this file, or installed, the package is found; else it is in include/ of the project.
if find_spec("retrofill") is None:
    sys.path.append(str(_HERE.parent / "include"))

try:
    _registers_itself = Path(str(distribution("retrofill").locate_file(""))).resolve() != _HERE
except PackageNotFoundError:
    _registers_itself = False

# Airflow 3.3 looks for entry points before it puts the plugins folder on the path.
if not _registers_itself:
    from retrofill.plugin import RetrofillPlugin  # noqa: F401  Airflow looks for it here
