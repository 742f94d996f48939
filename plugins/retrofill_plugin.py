"""Register Retrofill's pages, unless the installed package does that."""

import sys
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

_HERE = Path(__file__).resolve().parent

# Python finds the package if it is installed or next to this file; otherwise it is in include/.
if find_spec("retrofill") is None:
    sys.path.append(str(_HERE.parent / "include"))

try:
    _registers_itself = Path(str(distribution("retrofill").locate_file(""))).resolve() != _HERE
except PackageNotFoundError:
    _registers_itself = False

# Airflow 3.3 looks for entry points before it adds the plugins folder to the path.
if not _registers_itself:
    from retrofill.plugin import RetrofillPlugin  # noqa: F401  Airflow looks for it here
