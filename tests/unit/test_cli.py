"""The command line without a server: input, output and imports."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from retrofill import __version__
from retrofill.cli.airflow import sign_in
from retrofill.cli.exits import Exit, exit_of
from retrofill.cli.values import read
from retrofill.model.errors import (
    AirflowRefused,
    AirflowUnreachable,
    ConfigError,
    NoSuchRun,
    StateUnavailable,
)

from stack.services import free_port
from tests.cli import Command, command

FIELDS: dict[str, dict[str, Any]] = {
    "prefix": {"type": ["null", "string"]},
    "bucket": {"type": "string"},
    "approve": {"type": "boolean"},
    "max_calls": {"type": ["null", "integer"]},
    "max_percent_by_cause": {"type": "object"},
    "modified_before": {"type": ["null", "string"], "format": "date-time"},
}


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return command(monkeypatch, capsys)


def test_help_imports_neither_airflow_nor_clients() -> None:
    code = (
        "import sys; sys.argv = ['retrofill', '--help']\n"
        "from retrofill.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(*sorted(sys.modules), file=sys.stderr)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    imported = set(done.stderr.split())
    assert "Start and answer" in done.stdout
    assert not imported & {"airflow", "boto3", "botocore", "awscrt", "fastapi", "pyarrow"}
    assert not {"retrofill.sources", "retrofill.functions", "retrofill.config"} & imported


def test_the_shell_completes_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_RETROFILL_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "retrofill che")
    monkeypatch.setenv("COMP_CWORD", "1")
    done = subprocess.run(
        [sys.executable, "-m", "retrofill"], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["check-jobs"]


def test_each_value_is_read_as_the_type_of_its_field() -> None:
    typed = [
        "prefix=2025", "bucket=a=b", "approve=true", "max_calls=", "modified_before=",
        'max_percent_by_cause={"timed_out": 5}',
    ]  # fmt: skip
    assert read(typed, FIELDS) == {
        "prefix": "2025",
        "bucket": "a=b",
        "approve": True,
        "max_calls": None,
        "modified_before": None,
        "max_percent_by_cause": {"timed_out": 5},
    }


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("prefix", "'prefix' is not allowed; give name=value, such as prefix=incoming/"),
        ("buckett=a", "buckett: there is no such param; did you mean bucket?"),
        ("x=1", "x: there is no such param; give one of approve, bucket, max_calls"),
        ("max_calls=many", "max_calls: 'many' is not allowed; give JSON of type integer"),
    ],
)
def test_an_unreadable_value_is_named(typed: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        read([typed], FIELDS)
    assert str(error.value).startswith(said)


def test_a_param_has_one_value_only() -> None:
    with pytest.raises(ConfigError, match=r"^bucket: 'a' and 'b'; give only one value$"):
        read(["bucket=a", "approve=true", "bucket=b"], FIELDS)


def test_an_error_decides_the_exit_code() -> None:
    codes = [
        exit_of(error)
        for error in (
            ConfigError("x"),
            NoSuchRun(7),
            StateUnavailable("x"),
            AirflowUnreachable("x"),
            AirflowRefused("x"),
        )
    ]
    assert codes == [2, 2, 3, 3, 4]
    assert Exit.DONE == 0


def test_it_prints_its_version(cli: Command) -> None:
    assert cli("--version") == (Exit.DONE, f"retrofill {__version__}\n", "")


def test_an_unknown_command_is_bad_input(cli: Command) -> None:
    assert cli("rnu").code == Exit.BAD_INPUT
    assert cli("status", "seven").code == Exit.BAD_INPUT


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, "RETROFILL_AIRFLOW_URL: '' is not allowed; give the address"),
        ({"RETROFILL_AIRFLOW_URL": "localhost:8080"}, "RETROFILL_AIRFLOW_URL: 'localhost:8080'"),
        ({"RETROFILL_AIRFLOW_URL": "http://[::1"}, "RETROFILL_AIRFLOW_URL: 'http://…'"),
        (
            {"RETROFILL_AIRFLOW_URL": "http://127.0.0.1"},
            "RETROFILL_AIRFLOW_TOKEN: it is not set; give a token of Airflow's, or RETROFI",
        ),
    ],
)
def test_the_address_of_airflow_is_required(environ: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError) as error:
        sign_in(environ)
    assert str(error.value).startswith(said)


def test_an_airflow_that_does_not_answer_is_unreachable() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    environ = {"RETROFILL_AIRFLOW_URL": url, "RETROFILL_AIRFLOW_USERNAME": "admin"}
    with pytest.raises(AirflowUnreachable, match=url):
        sign_in(environ)


def test_job_files_are_checked(cli: Command, tmp_path: Path) -> None:
    (tmp_path / "theirs.yaml").write_text("kind: Job\n")
    done = cli("check-jobs", tmp_path)
    assert (done.code, done.out.splitlines()) == (
        0,
        [
            f"0 job files, 0 problems, in {tmp_path}",
            "not job files, because their names do not start with retrofill_: 'theirs.yaml'",
        ],
    )
    (tmp_path / "retrofill_a.yaml").write_text("source: s4\n")
    done = cli("check-jobs", tmp_path)
    assert done.code == Exit.BAD_INPUT
    assert "retrofill_a.yaml:1: source: 's4' is not allowed; give one of" in done.err
    told = json.loads(cli("check-jobs", tmp_path, "--json").out)
    assert told["jobs"] == ["retrofill_a"]
    assert len(told["problems"]) >= 3
