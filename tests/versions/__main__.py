"""Run the tests that may differ between versions of Airflow and Python, and print a table.

    python -m tests.versions [--every | AIRFLOW/PYTHON …]

Without arguments each Airflow runs on one Python, that of managed services if they offer it.
"""

import argparse
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

from tests.versions.environments import (
    FOLDER,
    PYTHONS,
    ROOT,
    environment,
    interpreter,
    locks,
    resolutions,
)

PREFERRED = {"3.1.8": "3.11", "3.2.1": "3.12", "3.3.1": "3.12"}
"""The usual Python of an Airflow; the newest Airflow runs on the newest Python here."""

TOO_NEW = {("3.1.8", "3.14")}
"""Versions of Airflow that do not support a Python."""

_RETROFILL = "tests/dags/test_retrofill.py"
_APPROVAL = "tests/dags/test_approval.py"
_REDRIVE = "tests/dags/test_redrive.py"
_REPORTS = "tests/dags/test_reports.py"
TESTS = [
    "tests/unit/test_cli.py",
    "tests/unit/test_tries.py",
    "tests/contracts/test_compat.py",
    "tests/contracts/test_plugin.py",
    "tests/contracts/test_workflow.py",
    "tests/integration/test_announcing.py",
    "tests/integration/test_cli.py",
    "tests/integration/test_metrics.py",
    "tests/integration/test_notifier.py",
    "tests/integration/test_rest.py",
    "tests/integration/test_web.py",
    "tests/integration/test_web_jobs.py",
    "tests/integration/test_web_triage.py",
    f"{_RETROFILL}::test_every_object_is_called_once_and_the_second_run_calls_nothing",
    f"{_RETROFILL}::test_a_preview_shows_the_first_call_and_makes_none",
    f"{_RETROFILL}::test_a_run_larger_than_a_set_requests_the_next_one_and_keeps_its_trigger",
    f"{_RETROFILL}::test_an_impossible_run_is_refused_before_anything_is_done",
    f"{_RETROFILL}::test_if_conf_is_ignored_a_job_runs_as_its_file_defines",
    f"{_RETROFILL}::test_an_unusable_state_is_notified",
    f"{_RETROFILL}::test_a_run_out_of_budget_stops_and_the_next_one_continues",
    f"{_APPROVAL}::test_an_approved_plan_is_called_and_the_report_names_the_user",
    f"{_APPROVAL}::test_a_rejected_plan_calls_nothing_and_its_items_are_new_again",
    f"{_APPROVAL}::test_a_plan_without_an_answer_in_time_is_rejected",
    "tests/dags/test_canary.py::test_a_canary_is_called_first_and_the_rest_after_it",
    "tests/dags/test_lineage.py",
    f"{_REDRIVE}::test_one_group_in_quarantine_is_redriven_and_the_other_stays",
    f"{_REPORTS}::test_failures_are_exported_reported_and_called_by_a_run_over_the_export",
    "tests/dags/test_maintenance.py::test_maintenance_closes_abandoned_runs_and_forgets_old_rows",
]


class Result(NamedTuple):
    """The results of the tests of an Airflow on a Python."""

    ran: int
    failed: list[str]
    skipped: Counter[str]

    def __str__(self) -> str:
        said = f"{self.ran - len(self.failed)} of {self.ran} passed"
        return f"{said}, {self.skipped.total()} left out" if self.skipped else said


def pairs(asked: list[str], *, every: bool) -> list[tuple[str, str]]:
    """Return the pairs of Airflow and Python to run."""
    if asked:
        return [(airflow, python) for airflow, _, python in (one.partition("/") for one in asked)]
    here = [python for python in PYTHONS if interpreter(python)]
    if every:
        return [(airflow, python) for airflow in locks() for python in here]
    return [(airflow, PREFERRED.get(airflow, here[-1])) for airflow in locks()]


def run(airflow: str, python: str) -> Result:
    """Run the tests, and return their results; their output goes to a file."""
    interpreter_there = environment(airflow, python)
    report, log = (FOLDER / f"{airflow}-{python}.{suffix}" for suffix in ("xml", "log"))
    report.unlink(missing_ok=True)
    command = [
        # Only `make test`, with the newest versions, turns warnings into errors.
        str(interpreter_there), "-m", "pytest", "-q", "-W", "default", "-p", "no:cacheprovider",
        "--timeout", "400", "--numprocesses", "2", "--dist", "loadfile", f"--junitxml={report}",
        # Some of these take too long for `make test`.
        "-m", "faults or not faults",
        *TESTS,
    ]  # fmt: skip
    with log.open("w") as output:
        subprocess.run(command, cwd=ROOT, check=False, stdout=output, stderr=output)  # noqa: S603
    return read(report)


def read(report: Path) -> Result:
    """Read pytest's report."""
    if not report.exists():
        return Result(0, ["no test: see the log"], Counter())
    cases = list(ET.parse(report).getroot().iter("testcase"))  # noqa: S314  pytest wrote it
    skips = [skip.get("message", "") for case in cases for skip in case.iter("skipped")]
    failed = [
        f"{case.get('classname')}::{case.get('name')}"
        for case in cases
        if case.find("failure") is not None or case.find("error") is not None
    ]
    return Result(len(cases) - len(skips), failed, Counter(skips))


def print_table(results: dict[tuple[str, str], Result]) -> None:
    """Print the table, and what was skipped where."""
    rows = [["Airflow", *(f"Python {python}" for python in PYTHONS)]]
    for airflow in locks():
        cells = [results.get((airflow, python)) for python in PYTHONS]
        rows.append([airflow, *(str(cell) if cell else "-" for cell in cells)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    print()
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)))
    missing = {(airflow, why) for (airflow, _), one in results.items() for why in one.skipped}
    for airflow, why in sorted(missing):
        print(f"left out on {airflow}: {why}")
    for (airflow, python), one in results.items():
        for name in one.failed:
            print(f"failed on {airflow}, Python {python}: {name}")


def main() -> int:
    """Return 0 only if something ran and everything passed."""
    parser = argparse.ArgumentParser(prog="python -m tests.versions")
    parser.add_argument("pairs", nargs="*", metavar="AIRFLOW/PYTHON")
    parser.add_argument("--every", action="store_true", help="each Airflow on each Python here")
    asked = parser.parse_args()
    problems = False
    for described, problem in resolutions():
        problems |= bool(problem)
        print(f"requirements next to {described}: {problem or 'resolved'}", flush=True)
    FOLDER.mkdir(exist_ok=True)
    results: dict[tuple[str, str], Result] = {}
    for airflow, python in pairs(asked.pairs, every=asked.every):
        if (airflow, python) in TOO_NEW:
            print(f"Airflow {airflow} does not support Python {python}")
        elif interpreter(python) is None:
            print(f"Airflow {airflow}: Python {python} is not on this machine, so not run")
        else:
            began = time.monotonic()
            results[airflow, python] = result = run(airflow, python)
            took = time.monotonic() - began
            print(f"Airflow {airflow}, Python {python}: {result}, in {took:.0f} s", flush=True)
    for python in PYTHONS:
        if interpreter(python) is None:
            print(f"Python {python} is not on this machine")
    print_table(results)
    failed = any(result.failed or not result.ran for result in results.values())
    return int(problems or failed or not results)


if __name__ == "__main__":
    sys.exit(main())
