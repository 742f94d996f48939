"""This machine as the image's base: a view whose writes vanish at the end."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

HOME = "/home/airflow"
AIRFLOW_HOME = "/opt/airflow"
_USER = "50000"
_SHELL = ["/bin/bash", "-o", "pipefail", "-o", "errexit", "-o", "nounset", "-c"]
_INDEX = ("PIP_", "UV_", "SSL_", "HTTP_", "HTTPS_", "NO_PROXY", "http", "no_proxy")


class Machine:
    """An overlay of this machine's disk, in a mount namespace that ends with this process.

    https://github.com/apache/airflow/blob/main/Dockerfile shows the content of the base: Airflow in
    a virtual environment in the home of user 50000, whose group is 0.
    """

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.user = _USER
        self.environment = {
            **{name: value for name, value in os.environ.items() if name.startswith(_INDEX)},
            "PATH": f"{HOME}/.local/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin",
            "VIRTUAL_ENV": f"{HOME}/.local",
            "HOME": HOME,
            "AIRFLOW_HOME": AIRFLOW_HOME,
            "LANG": "C.UTF-8",
        }
        _run("mount", "-t", "tmpfs", "tmpfs", str(folder))
        for name in ("upper", "work", "root"):
            (folder / name).mkdir()
        layers = f"lowerdir=/,upperdir={folder}/upper,workdir={folder}/work"
        _run("mount", "-t", "overlay", "overlay", "-o", layers, str(self.root))
        _run("mount", "--rbind", "/dev", f"{self.root}/dev")
        _run("mount", "-t", "proc", "proc", f"{self.root}/proc")

    def make_base(self, interpreter: str, airflow: str, constraints: str) -> None:
        """Install the content of the base image."""
        for folder in Path(interpreter).parents:  # such as root's home
            seen = self.root / folder.relative_to("/")
            seen.chmod(seen.stat().st_mode | 0o011)
        self.shell(f"useradd --uid {_USER} --gid 0 --create-home --home-dir {HOME} airflow", "0")
        self.shell(f"mkdir -p {AIRFLOW_HOME}/dags {AIRFLOW_HOME}/logs", "0")
        (self.root / "constraints.txt").write_text(constraints)
        self.shell(f"{interpreter} -m venv {HOME}/.local", "0")
        # pip takes minutes for it; the Dockerfile's steps run unchanged.
        uv = Path(sys.executable).with_name("uv").resolve()
        install = f"apache-airflow=={airflow} --constraint /constraints.txt"
        self.shell(f"{uv} pip install --quiet --python {HOME}/.local/bin/python {install}", "0")
        self.shell(f"chown -R {_USER}:0 {HOME} {AIRFLOW_HOME}", "0")

    def copy(self, source: Path, target: str, owner: str) -> None:
        """Copy a file or the content of a folder into a folder, without byte code."""
        place = self.root / target.removeprefix("/")
        if not source.is_dir():
            place = place / source.name if target.endswith("/") else place
            target = str(place).removeprefix(str(self.root))
            shutil.copy(source, place)
        else:
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, place, dirs_exist_ok=True, ignore=ignored)
        self.shell(f"chown -R {owner} {target}", "0")

    def shell(self, command: str, user: str | None = None) -> str:
        """Execute a command like a RUN of the image; return its output.

        :raises subprocess.CalledProcessError: it fails
        """
        who = f"--userspec={user or self.user}:0"
        chroot = ["chroot", who, "--groups=0", str(self.root), "/usr/bin/env", "-i"]
        variables = [f"{name}={value}" for name, value in self.environment.items()]
        moved = f"cd {AIRFLOW_HOME} 2>/dev/null || cd /; {command}"
        return _run(*chroot, *variables, *_SHELL, moved)


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout  # noqa: S603
