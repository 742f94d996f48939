"""The process of a task: how it ends, and its name for other processes."""

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

    Airflow does not end a task whose supervisor was killed, and would start another try alongside
    it. On Linux the kernel ends it; on other systems a thread checks the supervisor every second.
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
    """Call ``stop`` when Airflow ends this task, or when its execution timeout has passed.

    Airflow's own handlers raise an error at an arbitrary point, and calls in flight would never be
    settled. Only the main thread may call this.
    """
    for number in (signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, lambda _number, _frame: stop())


def own_name() -> str:
    """Return a name by which :func:`is_dead` finds out whether this process is alive.

    It has the hostname, the place, the pid and the start time. The hostname only helps readers, as
    several machines or containers may have the same one.
    """
    return f"{socket.gethostname()} {_place()}:{os.getpid()}:{_started_at(os.getpid())}"


def is_dead(holder: str) -> bool:
    """Return whether the process with this name is known to be gone."""
    named, pid, started_at = holder.rsplit(":", 2)
    place = named.rpartition(" ")[2]
    return place == _place() and _started_at(int(pid)) != started_at


def _place() -> str:
    """Return the scope in which pids are unique: this boot of this machine, and its pid namespace.

    Formats: proc_sys_kernel(5), pid_namespaces(7). Only Linux has namespaces.
    """
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{(_PROC / 'self/ns/pid').readlink()}"
    except OSError:
        return f"{socket.gethostname()}/{psutil.boot_time():.0f}"


def _started_at(pid: int) -> str:
    """Return the start time of a process in this place; empty: it is gone.

    Format: clock ticks, field 22 of /proc/PID/stat, proc(5); without /proc, seconds.
    """
    if not (_PROC / "self/stat").exists():
        return _started_at_s(pid)
    try:
        fields = (_PROC / f"{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    is_zombie = fields[0] == "Z"
    return "" if is_zombie else fields[19]


def _started_at_s(pid: int) -> str:
    try:
        process = psutil.Process(pid)
        is_zombie = process.status() == psutil.STATUS_ZOMBIE
        return "" if is_zombie else f"{process.create_time():.2f}"
    except psutil.NoSuchProcess:
        return ""
