"""The names of processes, by which another task finds out whether a holder is alive."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from retrofill import processes
from retrofill.processes import is_dead, own_name

_UNSHARE = shutil.which("unshare") or ""
_NAMESPACE = [_UNSHARE, "--pid", "--fork", "--kill-child", "--mount-proc"]
_SAY_NAME = "from retrofill.processes import own_name; print(own_name(), flush=True); input()"
_PATHS = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
_SAY_DEAD = "import sys; from retrofill.processes import is_dead; print(is_dead(sys.argv[1]))"


@pytest.fixture(params=["by /proc", "by psutil"], autouse=True)
def _portable(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "by psutil":
        monkeypatch.setattr(processes, "_PROC", Path("/nowhere"))


@contextmanager
def holding(*before: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Start another process; yield the name that it gives itself."""
    with subprocess.Popen(  # noqa: S603  our own code
        [*before, sys.executable, "-c", _SAY_NAME],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=_PATHS,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        yield process.stdout.readline().strip(), process
        process.kill()


def test_a_live_process_is_not_dead() -> None:
    assert not is_dead(own_name())
    assert own_name().startswith(f"{socket.gethostname()} "), "this is the readable part"


def test_a_process_is_dead_even_if_its_pid_was_reused() -> None:
    place, pid, started_at = own_name().rsplit(":", 2)
    assert is_dead(f"{place}:{pid}:{float(started_at) - 1:g}")
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert is_dead(f"{place}:{gone.pid}:{started_at}")


def test_a_zombie_is_dead() -> None:
    place, _, started_at = own_name().rsplit(":", 2)
    zombie = os.fork()
    if not zombie:
        os._exit(0)
    try:
        while psutil.Process(zombie).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
        assert is_dead(f"{place}:{zombie}:{started_at}")
    finally:
        os.waitpid(zombie, 0)


_BEGET = """
import subprocess, sys
subprocess.run([sys.executable, "-c", sys.argv[1], sys.argv[2]])
"""
_FOLLOW = """
import os, sys, time
from retrofill import processes
getattr(processes, sys.argv[1])()
print(os.getpid(), flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("way", ["die_with_parent", "_watch_parent"])
def test_a_task_dies_with_its_parent(way: str, request: pytest.FixtureRequest) -> None:
    if request.node.callspec.params["_portable"] == "by psutil":
        pytest.skip("it does not use names")
    with subprocess.Popen(  # noqa: S603  our own code
        [sys.executable, "-c", _BEGET, _FOLLOW, way], stdout=subprocess.PIPE, text=True, env=_PATHS
    ) as parent:
        assert parent.stdout is not None
        task = psutil.Process(int(parent.stdout.readline()))
        assert task.is_running()
        parent.kill()
        _, left = psutil.wait_procs([task], timeout=60)
        assert left == []


def test_processes_of_another_boot_or_namespace_are_unknown() -> None:
    named, pid, _ = own_name().rsplit(":", 2)
    assert not is_dead(f"{named}1:{pid}:1")


def test_in_another_namespace_of_one_hostname_a_live_holder_is_not_dead(
    request: pytest.FixtureRequest,
) -> None:
    if request.node.callspec.params["_portable"] == "by psutil":
        pytest.skip("only Linux has namespaces")
    if subprocess.run([*_NAMESPACE, "true"], check=False, capture_output=True).returncode:  # noqa: S603
        pytest.skip("PID namespaces are not allowed here")

    def ask(holder: str, *before: str) -> str:
        asked = [*before, sys.executable, "-c", _SAY_DEAD, holder]
        done = subprocess.run(  # noqa: S603  our own code
            asked, check=True, capture_output=True, text=True, env=_PATHS
        )
        return done.stdout.strip()

    with holding(*_NAMESPACE) as (inside, _):
        assert inside.startswith(f"{socket.gethostname()} ")
        assert ask(inside, *_NAMESPACE) == "False"
        assert ask(inside) == "False"
    with holding() as (other, process):
        assert ask(other) == "False"
        process.kill()
        process.wait()
        assert ask(other) == "True"
