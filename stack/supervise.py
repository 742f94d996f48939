"""Programs under supervisord: started in groups, restarted if they die, all ended at the end."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from configparser import RawConfigParser
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4
from xmlrpc.client import ServerProxy

import psutil
from supervisor.states import ProcessStates
from supervisor.xmlrpc import SupervisorTransport

from stack.private import private_files
from stack.settings import REPOSITORY, StackError

_SOCKET = "supervisor.sock"
_CONFIGURATION = "supervisord.conf"
_MARK = "RETROFILL_STACK_RUN"
_GIVEN_UP = {ProcessStates.FATAL, ProcessStates.UNKNOWN}
_ENDED = {*_GIVEN_UP, ProcessStates.BACKOFF, ProcessStates.EXITED}
_TERMINATING = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
_PAUSE_S = 0.1
_SAY_EVERY_S = 15
_WITHIN_S = 1_800
"""After this, a program will not start even on a busy machine; one that ended is seen at once."""
_KILLED_WITHIN_S = 10


@dataclass(frozen=True)
class Program:
    """A process to keep running."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    """Its environment in addition to :func:`child_environment`."""
    user: str = ""
    """The user it runs as; empty: the user who started the stack."""
    stop_signal: Literal["TERM", "INT"] = "TERM"
    stop_after_s: int = 30
    """How long it may take to stop before it is killed."""


class Supervisor:
    """A running supervisord, reached through its socket."""

    def __init__(self, directory: Path) -> None:
        self._logs = directory / "logs"
        self._url = f"unix://{directory / _SOCKET}"

    def answers(self) -> bool:
        """Return whether supervisord answers."""
        try:
            self._call("getPID")
        except OSError:
            return False
        return True

    def start(self, group: str) -> None:
        """Start the programs of a group without waiting for them."""
        self._call("startProcessGroup", group, False)  # noqa: FBT003  XML-RPC has no keywords

    def _call(self, method: str, *arguments: object) -> Any:
        # A transport of supervisor's is useless after one of its own requests has failed.
        transport = SupervisorTransport(serverurl=self._url)
        with ServerProxy("http://supervisor", transport=transport) as remote:
            return getattr(remote.supervisor, method)(*arguments)

    def wait(
        self,
        what: str,
        ready: Callable[[], bool],
        *,
        within_s: float = _WITHIN_S,
        say: Callable[[str], None] = print,
        say_every_s: float = _SAY_EVERY_S,
    ) -> None:
        """Wait until `ready` returns True, and report now and then how long that takes.

        :raises StackError: a program gave up, or the time is over
        """
        began = said = time.monotonic()
        while not ready():
            self._refuse(_ENDED)
            now = time.monotonic()
            if now > began + within_s:
                raise StackError(f"{what} was not ready within {within_s:g} s: see {self._logs}")
            if now > said + say_every_s:
                say(f"  {what} is starting: {now - began:.0f} s so far, its log is in {self._logs}")
                said = now
            time.sleep(_PAUSE_S)

    def check(self) -> None:
        """Check that every program runs, or is being restarted.

        :raises StackError: one was given up, with the end of its log; or supervisord is gone
        """
        self._refuse(_GIVEN_UP)

    def _refuse(self, states: AbstractSet[int]) -> None:
        try:
            programs = self._call("getAllProcessInfo")
        except OSError as error:
            raise StackError(f"the supervisor is gone: see {self._logs}") from error
        for program in programs:
            if program["state"] in states:
                log = self._logs / f"{program['name']}.log"
                lines = log.read_text(errors="replace").splitlines()[-15:]
                message = f"{program['name']} ended ({program['spawnerr'] or 'on its own'}): {log}"
                raise StackError("\n".join([message, *(f"    {line}" for line in lines)]))


def child_environment() -> dict[str, str]:
    """Return the environment of what the stack runs.

    Every task of Airflow imports the project again in a new process. So byte code is kept even if
    the user who starts the stack keeps none.
    """
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


@contextmanager
def supervised(directory: Path, groups: Mapping[str, Sequence[Program]]) -> Iterator[Supervisor]:
    """Run supervisord for groups of programs, none of them started yet.

    At the end the groups are stopped, the last one first. Any process that is then left of them is
    killed, including children that moved to process groups of their own.

    :raises StackError: supervisord does not start
    """
    mark = uuid4().hex
    with private_files():
        process = _supervisord(directory, groups, mark)
    try:
        supervisor = Supervisor(directory)
        _await_answer(supervisor, process, directory)
        yield supervisor
    finally:
        # A second Ctrl-C must not leave half of the processes behind.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _TERMINATING)
        try:
            process.terminate()
            process.wait()
            _kill_leftovers(process.pid, mark)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _supervisord(
    directory: Path, groups: Mapping[str, Sequence[Program]], mark: str
) -> subprocess.Popen[bytes]:
    """Start it; what it starts inherits the umask of this process."""
    (directory / "logs").mkdir(exist_ok=True)
    (directory / _SOCKET).unlink(missing_ok=True)
    configuration = directory / _CONFIGURATION
    with configuration.open("w") as file:
        _configuration(directory, groups).write(file)
    command = [sys.executable, "-m", "stack.supervisord", "-n", "-c", str(configuration)]
    with (directory / "logs" / "supervisord.out").open("wb") as output:
        return subprocess.Popen(  # noqa: S603
            command,
            cwd=REPOSITORY,
            env={**child_environment(), _MARK: mark},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a terminal's Ctrl-C is for the process that waits, not for it
        )


def _await_answer(
    supervisor: Supervisor, process: subprocess.Popen[bytes], directory: Path
) -> None:
    while not supervisor.answers():
        if process.poll() is not None:
            output = (directory / "logs" / "supervisord.out").read_text(errors="replace")
            raise StackError(f"supervisord did not start:\n{output.strip()}")
        time.sleep(_PAUSE_S)


def _kill_leftovers(session: int, mark: str) -> None:
    """Kill what is left of a supervisor's descendants, and wait until it is gone.

    A killed process ends a moment later, and may have forked just before.
    """
    limit = time.monotonic() + _KILLED_WITHIN_S
    while time.monotonic() < limit and (
        left := [one for one in psutil.process_iter() if _is_left(one, session, mark)]
    ):
        for process in left:
            with suppress(psutil.Error):  # gone, or not ours
                process.kill()
        time.sleep(_PAUSE_S)


def _is_left(process: psutil.Process, session: int, mark: str) -> bool:
    """Return whether a process descends from the supervisor, and is alive.

    Processes that write their title over their environment have no mark any more, and processes
    that opened a session of their own are not in the supervisor's.
    """
    with suppress(psutil.Error, ProcessLookupError, PermissionError):  # gone, or not ours
        ours = os.getsid(process.pid) == session or process.environ().get(_MARK) == mark
        return ours and process.status() != psutil.STATUS_ZOMBIE
    return False


def _configuration(directory: Path, groups: Mapping[str, Sequence[Program]]) -> RawConfigParser:
    logs = directory / "logs"
    sections: dict[str, dict[str, object]] = {
        "unix_http_server": {"file": directory / _SOCKET, "chmod": "0700"},
        "supervisord": {
            "logfile": logs / "supervisord.log",
            "logfile_maxbytes": "5MB",
            "pidfile": directory / "supervisord.pid",
            **({"user": "root"} if os.geteuid() == 0 else {}),
        },
        "rpcinterface:supervisor": {
            "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
        },
        "supervisorctl": {"serverurl": f"unix://{directory / _SOCKET}"},
    }
    for priority, (group, programs) in enumerate(groups.items(), 1):
        names = ",".join(program.name for program in programs)
        sections[f"group:{group}"] = {"programs": names, "priority": priority}
        for program in programs:
            sections[f"program:{program.name}"] = {
                "command": shlex.join(program.command),
                "environment": ",".join(
                    f"{name}={_quoted(name, value)}" for name, value in program.environment.items()
                ),
                **({"user": program.user} if program.user else {}),
                "autostart": "false",
                "autorestart": "true",
                "startsecs": 2,
                "stopsignal": program.stop_signal,
                "stopwaitsecs": program.stop_after_s,
                "stopasgroup": "true" if program.stop_signal == "TERM" else "false",
                "killasgroup": "true",
                "redirect_stderr": "true",
                "stdout_logfile": logs / f"{program.name}.log",
                "stdout_logfile_maxbytes": "20MB",
                "stdout_logfile_backups": 1,
            }
    configuration = RawConfigParser()
    for name, section in sections.items():
        configuration[name] = {key: _literal(key, value) for key, value in section.items()}
    return configuration


def _literal(name: str, value: object) -> str:
    """Return a value in which supervisord expands nothing.

    :raises StackError: supervisord would take its end for a comment or for something else
    """
    if re.search(r"\s[;#]|\n", str(value)):
        raise StackError(f"a {name} with a newline, ' ;' or ' #' cannot be given to supervisord")
    return str(value).replace("%", "%%")


def _quoted(name: str, value: str) -> str:
    """Quote a variable's value; supervisord knows quotes, but cannot escape them.

    :raises StackError: no quoting would preserve it
    """
    for quote in "'\"":
        if quote not in value and value.strip("'\"") == value:
            return f"{quote}{value}{quote}"
    raise StackError(f"the value of {name} mixes quotes, so it cannot be given to supervisord")
