"""Runs pytest in forks of a process that has imported all that no mutant changes.

It is started as a script and imports nothing of this tree: each fork imports the tree that it
tests. Each line of standard input is a run, in JSON; the answer is its exit code.
"""

import gc
import json
import os
import sys
import warnings
from importlib import import_module
from pathlib import Path

import pytest

_LIBRARIES = (
    "airflow.providers.standard.operators.trigger_dagrun",
    "awscrt.http",
    "boto3",
    "httpx",
    "hypothesis.stateful",
    "psycopg2.extras",
    "supervisor.xmlrpc",
)


def _run(directory: Path, output: Path, arguments: list[str]) -> int:
    """Run pytest in its own process; return its exit code, or minus its signal."""
    pid = os.fork()
    if pid == 0:
        with output.open("wb") as file:
            os.dup2(file.fileno(), sys.stdout.fileno())
            os.dup2(file.fileno(), sys.stderr.fileno())
        os.chdir(directory)
        sys.exit(pytest.main(arguments))
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for library in _LIBRARIES:
            import_module(library)
    gc.freeze()
    sys.dont_write_bytecode = True  # two mutants of a file may have the same second and size
    for line in sys.stdin:
        asked = json.loads(line)
        code = _run(Path(asked["directory"]), Path(asked["output"]), asked["arguments"])
        print(code, flush=True)  # noqa: T201  the answer
