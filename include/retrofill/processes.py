"""The process of a task: what it does when it is told to end, and its name for others."""

import ctypes
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its supervisor dies.

    Airflow would start another try beside it: it does not end a task whose supervisor was killed.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def ask_to_end(stop: Callable[[], None]) -> None:
    """Have ``stop`` called when Airflow ends this task, or its execution timeout has passed.

    Airflow's own handlers may throw an error into the midst of anything: of the calls in flight, no
    answer would be settled. Only the main thread may ask for this.
    """
    for number in (signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, lambda _number, _frame: stop())


def own_name() -> str:
    """Name this process so that another one on this machine can tell whether it lives."""
    return f"{socket.gethostname()}:{os.getpid()}:{_started_at(os.getpid())}"


def is_dead(holder: str) -> bool:
    """Return whether a process that has named itself is known to be gone."""
    host, pid, started_at = holder.rsplit(":", 2)
    return host == socket.gethostname() and _started_at(int(pid)) != started_at


def _started_at(pid: int) -> str:
    """Return when a process of this machine began, in clock ticks; empty if it is gone.

    Format: field 22 of /proc/PID/stat, proc(5).
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    zombie = fields[0] == "Z"
    return "" if zombie else fields[19]
