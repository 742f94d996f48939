"""What processes take: seconds of CPU, and the most memory of each of Airflow's tasks."""

import threading
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil

from benchmarks.contenders.work import memory_kb

_LOOK_EVERY_S = 0.1
_TASK_TITLE = b"airflow worker -- "
_SUPERVISOR_TITLE = b"airflow worker -- LocalExecutor"


def cpu_s(process: psutil.Process) -> float:
    """Return the seconds of CPU that a process has taken, with all that it started."""
    total = 0.0
    for one in [process, *process.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):  # what it took counts with its parent
            total += sum(one.cpu_times()[:4])
    return total


@dataclass
class Memory:
    """The most memory that one process of a task had, in kB."""

    resident: int = 0
    """As the kernel's own high-water mark says."""

    private: int = 0
    """Of it not shared with the process it was forked from, as far as it was seen."""


class MemoryWatch:
    """Looks at the processes of Airflow's tasks while a block runs, those of any stack.

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
                try:
                    self._look(process)
                except (OSError, LookupError):  # it has ended
                    continue

    def _look(self, process: Path) -> None:
        title = (process / "cmdline").read_bytes()
        if not title.startswith(_TASK_TITLE) or title.startswith(_SUPERVISOR_TITLE):
            return
        seen = self.of_task[title.removeprefix(_TASK_TITLE).rstrip(b"\0 ").decode()]
        seen.resident = max(seen.resident, memory_kb("VmHWM", process))
        private = sum(
            int(line.split()[1])
            for line in (process / "smaps_rollup").read_text().splitlines()
            if line.startswith("Private_")
        )
        seen.private = max(seen.private, private)
