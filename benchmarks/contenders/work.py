"""The work of a contender, and its measurements of itself: JSON from and to its parent process.

It imports only the standard library, because one contender has its own environment.
"""

import json
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path

FUNCTION_ARN = "arn:aws:lambda:us-east-1:000000000000:function:scripted"
"""The function of the scripted endpoint by default."""

QUALIFIER = "1"
REGION = "us-east-1"
_OWN_STATUS = Path("/proc/self/status")


@dataclass(frozen=True, kw_only=True)
class Work:
    """The calls that a contender shall make."""

    url: str
    """Of the endpoint."""
    calls: int
    items_per_call: int
    in_flight: int


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The cost of the calls, from the first claim or event to the last response."""

    cpu_s: float
    """CPU seconds of the client's process, over all threads."""
    wall_s: float
    before_kb: int
    """Resident memory with all modules loaded and the client open."""
    peak_kb: int
    """The most resident memory."""


def contend(opened: Callable[[Work], AbstractContextManager[Callable[[], None]]]) -> None:
    """Read the work from standard input, do it, and print the measurements as the last line.

    :param opened: opens the client; the result makes all the calls, and raises if one fails
    """
    work = Work(**json.load(sys.stdin))
    with opened(work) as make_calls:
        before_kb = memory_kb("VmRSS")
        began, cpu_s = time.perf_counter(), time.process_time()
        make_calls()
        measured = Measured(
            cpu_s=time.process_time() - cpu_s,
            wall_s=time.perf_counter() - began,
            before_kb=before_kb,
            peak_kb=memory_kb("VmHWM"),
        )
    print(json.dumps(asdict(measured)))


def memory_kb(what: str, status: Path = _OWN_STATUS) -> int:
    """Return the sum of the lines with this prefix in a process's status; see proc(5).

    :raises OSError: the process has ended
    """
    lines = status.read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(what))
