"""The process of a task: what it does when it is told to end, and its name for others."""

import ctypes
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil

_PROC = Path("/proc")
_PR_SET_PDEATHSIG = 1
_LOOK_EVERY_S = 1.0


def die_with_parent() -> None:
    """Have this process killed when its supervisor dies.

    Airflow would start another try beside it: it does not end a task whose supervisor was killed.
    Linux does it by itself. On other systems a thread looks for the supervisor every second.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    else:
        _watch_parent()


def _watch_parent() -> None:
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_EVERY_S)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="parent watch", daemon=True).start()


def ask_to_end(stop: Callable[[], None]) -> None:
    """Have ``stop`` called when Airflow ends this task, or its execution timeout has passed.

    Airflow's own handlers may throw an error into the midst of anything: of the calls in flight, no
    answer would be settled. Only the main thread may ask for this.
    """
    for number in (signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, lambda _number, _frame: stop())


def own_name() -> str:
    """Name this process so that another one can tell whether it lives: hostname, place, pid, start.

    The hostname is for people. Machines and containers may share one, and then have pids of their
    own.
    """
    return f"{socket.gethostname()} {_place()}:{os.getpid()}:{_started_at(os.getpid())}"


def is_dead(holder: str) -> bool:
    """Return whether a process that has named itself is known to be gone."""
    named, pid, started_at = holder.rsplit(":", 2)
    place = named.rpartition(" ")[2]
    return place == _place() and _started_at(int(pid)) != started_at


def _place() -> str:
    """Return where pids are unique: this boot of this machine, and the namespace of its pids.

    Formats: proc_sys_kernel(5), pid_namespaces(7). Elsewhere than on Linux there are no namespaces.
    """
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{(_PROC / 'self/ns/pid').readlink()}"
    except OSError:
        return f"{socket.gethostname()}/{psutil.boot_time():.0f}"


def _started_at(pid: int) -> str:
    """Return when a process of this place began; empty if it is gone.

    Format: clock ticks, field 22 of /proc/PID/stat, proc(5); else seconds.
    """
    if not (_PROC / "self/stat").exists():
        return _started_at_s(pid)
    try:
        fields = (_PROC / f"{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    zombie = fields[0] == "Z"
    return "" if zombie else fields[19]


def _started_at_s(pid: int) -> str:
    try:
        process = psutil.Process(pid)
        zombie = process.status() == psutil.STATUS_ZOMBIE
        return "" if zombie else f"{process.create_time():.2f}"
    except psutil.NoSuchProcess:
        return ""
