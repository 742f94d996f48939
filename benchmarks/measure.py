"""Resources of processes: CPU seconds, and the most memory of each of Airflow's tasks."""

import threading
import time
from collections import defaultdict
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil
from retrofill.state.connection import Connection

from benchmarks.contenders.work import memory_kb

_LOOK_EVERY_S = 0.1
_TASK_TITLE = b"airflow worker -- "
_SUPERVISOR_TITLE = b"airflow worker -- LocalExecutor"


def cpu_s(process: psutil.Process) -> float:
    """Return the CPU seconds of a process, with all that it started."""
    total = 0.0
    for one in [process, *process.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):  # its CPU counts with its parent's
            total += sum(one.cpu_times()[:4])
    return total


def server_of(conn: Connection) -> psutil.Process:
    """Return the first process of the server at the other end of a connection."""
    return psutil.Process(psutil.Process(conn.info.backend_pid).ppid())


class Stopwatch:
    """Adds up the time and CPU of the blocks it is entered for, here and in the server."""

    def __init__(self, conn: Connection) -> None:
        self._server = server_of(conn)
        self.seconds = 0.0
        self.cpu_s = 0.0

    def __enter__(self) -> None:
        # In this order, and the reverse at the end: examining the server's processes takes a few
        # milliseconds, which should not count.
        self._began = cpu_s(self._server), time.process_time(), time.perf_counter()

    def __exit__(self, *_: object) -> None:
        seconds, own_cpu_s = time.perf_counter(), time.process_time()
        server_cpu_s = cpu_s(self._server)
        began_server, began_own, began = self._began
        self.seconds += seconds - began
        self.cpu_s += own_cpu_s - began_own + server_cpu_s - began_server


Watch = AbstractContextManager[None]
"""A stopwatch, or nothing if time does not matter."""


@dataclass
class Memory:
    """The most memory that one process of a task had, in kB."""

    resident: int = 0
    """The kernel's own high-water mark."""

    private: int = 0
    """The part not shared with the process it was forked from, as far as it was seen."""


class MemoryWatch:
    """Examines the processes of Airflow's tasks while a block runs, on any stack.

    Formats: VmHWM of /proc/PID/status and Private_* of /proc/PID/smaps_rollup, proc(5).
    """

    def __init__(self) -> None:
        self.of_task: defaultdict[str, Memory] = defaultdict(Memory)
        """By the id of the task instance."""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(_LOOK_EVERY_S):
            for process in Path("/proc").glob("[0-9]*"):
                with suppress(OSError):  # it has ended
                    self._look(process)

    def _look(self, process: Path) -> None:
        title = (process / "cmdline").read_bytes()
        if not title.startswith(_TASK_TITLE) or title.startswith(_SUPERVISOR_TITLE):
            return
        seen = self.of_task[title.removeprefix(_TASK_TITLE).rstrip(b"\0 ").decode()]
        seen.resident = max(seen.resident, memory_kb("VmHWM", process / "status"))
        seen.private = max(seen.private, memory_kb("Private_", process / "smaps_rollup"))
