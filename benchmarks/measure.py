"""Resources of processes: CPU seconds, and the most memory of each of Airflow's tasks."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from retrofill.state.connection import Connection

from benchmarks.contenders.work import memory_kb

_LOOK_EVERY_S = 0.1
_TASK_TITLE = b"airflow worker -- "
_SUPERVISOR_TITLE = b"airflow worker -- LocalExecutor"


def cpu_s(process: psutil.Process) -> float:
    """Return the CPU seconds of a process and its descendants."""
    total = 0.0
    for one in [process, *process.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):  # its CPU counts with its parent's
            total += sum(one.cpu_times()[:4])
    return total


def server_of(conn: Connection) -> psutil.Process:
    """Return the first process of the server at the other end of a connection."""
    return psutil.Process(psutil.Process(conn.info.backend_pid).ppid())


class Stopwatch:
    """Adds up the time and CPU of its blocks, in this process and in the server."""

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


@contextmanager
def sampling(look: Callable[[], None]) -> Iterator[None]:
    """Call a function ten times a second, in a thread, while a block runs."""
    over = threading.Event()

    def sample() -> None:
        while not over.wait(_LOOK_EVERY_S):
            look()

    thread = threading.Thread(target=sample, name="sampling")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@dataclass
class Memory:
    """The most memory that one process of a task had, in kB."""

    resident: int = 0
    """The kernel's own high-water mark."""
    private: int = 0
    """The highest sample of the part that it does not share with its parent."""


@contextmanager
def task_memory() -> Iterator[defaultdict[str, Memory]]:
    """Yield the memory of Airflow's tasks in a block, on any stack, by task instance id.

    Formats: VmHWM of /proc/PID/status and Private_* of /proc/PID/smaps_rollup, proc(5).
    """
    of_task: defaultdict[str, Memory] = defaultdict(Memory)

    def look() -> None:
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it has ended
                title = (process / "cmdline").read_bytes()
                if title.startswith(_TASK_TITLE) and not title.startswith(_SUPERVISOR_TITLE):
                    seen = of_task[title.removeprefix(_TASK_TITLE).rstrip(b"\0 ").decode()]
                    resident = memory_kb("VmHWM", process / "status")
                    seen.resident = max(seen.resident, resident)
                    private = memory_kb("Private_", process / "smaps_rollup")
                    seen.private = max(seen.private, private)

    with sampling(look):
        yield of_task
