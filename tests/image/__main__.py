"""Build the image where no engine runs, and use what came of it: ``make image``.

Linux as root is needed, for a view of this machine that the steps of the Dockerfile may change.
"""

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from stack.services import temporary_postgres
from tests.image.dockerfile import ROOT, base, context, steps
from tests.image.machine import Machine
from tests.versions.environments import interpreter

_APART = "RETROFILL_IMAGE_APART"
_EXPECTED = {
    "retrofill_s3", "retrofill_manifest", "retrofill_rows",
    "retrofill_maintenance", "retrofill_forget",
}  # fmt: skip


def main() -> int:
    """Execute all steps, then list DAGs and plugins with Airflow, and ask the command line."""
    if sys.platform != "linux" or os.geteuid() != 0:
        print("make image needs Linux and root", file=sys.stderr)
        return 1
    if _APART not in os.environ:
        os.environ[_APART] = "yes"
        command = ["unshare", "--mount", sys.executable, "-m", "tests.image"]
        os.execvp(command[0], command)  # noqa: S606  the mounts end with this process
    python = interpreter(base().python)
    if python is None:
        print(f"there is no Python {base().python} here, which the base has", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="retrofill-image-") as folder:
        machine = Machine(Path(folder))
        try:
            _build(machine, python)
            _use(machine)
        except subprocess.CalledProcessError as error:
            print(f"error: {error}\n{error.stdout}", file=sys.stderr)
            return 1
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)  # noqa: S603, S607
    return 0


def _build(machine: Machine, python: str) -> None:
    with _timed(f"FROM, made here: Airflow {base().airflow} on {python}"):
        machine.make_base(python, base().airflow, _constraints())
    for instruction, value in steps():
        with _timed(f"{instruction} {' '.join(value.split())}"):
            _step(machine, instruction, value)


def _step(machine: Machine, instruction: str, value: str) -> None:
    match instruction:
        case "COPY":
            *flags, source, target = value.split()
            assert source in context(), f"{source} is not let in by .dockerignore"
            owner = "".join(flag.removeprefix("--chown=") for flag in flags) or "0:0"
            machine.copy(ROOT / source, target, owner)
        case "RUN":
            machine.shell(value)
        case "ENV":
            for word in shlex.split(value):
                name, _, text = word.partition("=")
                machine.environment[name] = text
        case "USER":
            machine.user = value.partition(":")[0]
        case _:
            raise AssertionError(f"no test executes {instruction}")


def _constraints() -> str:
    """Return the packages that Airflow's own constraints of the release before have."""
    lock = max((ROOT / "tests/versions").glob("*.lock")).read_text()
    pins = re.findall(r"^([a-z0-9._-]+==[^ \\]+)", lock, re.MULTILINE)
    return "\n".join(pin for pin in pins if not pin.startswith("apache-airflow"))


def _use(machine: Machine) -> None:
    assert machine.shell("id --user").strip() == "50000"
    assert machine.shell("airflow version").strip().endswith(base().airflow)
    machine.shell("pip check")
    with temporary_postgres(durable=False) as server:
        server.ensure_database("retrofill")
        state = {"AIRFLOW_CONN_RETROFILL_STATE": server.dsn("retrofill", role="retrofill")}
        machine.environment |= state
        services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
        for name in ("airflow-migrate", "state-migrate"):
            words = services[name]["command"]
            machine.shell(shlex.join(words if words[0] == "python" else ["airflow", *words]))
    dags = {one["dag_id"] for one in _listed(machine, "airflow dags list --local")}
    assert dags >= _EXPECTED, f"DAGs: {dags}"
    plugins = {one["name"] for one in _listed(machine, "airflow plugins")}
    assert "retrofill" in plugins, f"plugins: {plugins}"
    assert "migrate" in machine.shell("retrofill db --help")
    print(f"DAGs {', '.join(sorted(dags))}; plugin retrofill; the command retrofill answers")


def _listed(machine: Machine, command: str) -> list[dict[str, Any]]:
    """Return what Airflow lists; its logs are in lines before."""
    lines = machine.shell(f"{command} --output json").splitlines()
    found: list[dict[str, Any]] = json.loads(lines[-1])
    return found


@contextmanager
def _timed(text: str) -> Iterator[None]:
    began = time.monotonic()
    print(f"{textwrap.shorten(text, 90, placeholder=' …'):<91}", end="", flush=True)
    yield
    print(f"{time.monotonic() - began:5.1f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
