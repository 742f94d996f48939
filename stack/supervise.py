"""Programs under supervisord: started in groups, restarted if they die, and all stopped at last."""

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
_GIVEN_UP = frozenset({ProcessStates.FATAL, ProcessStates.UNKNOWN})
_ENDED = _GIVEN_UP | {ProcessStates.BACKOFF, ProcessStates.EXITED}
_TERMINATING = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
_PAUSE_S = 0.1
_SAY_EVERY_S = 15
_WITHIN_S = 1_800  # for a busy machine; a program that ended is reported at once
_KILLED_WITHIN_S = 10


@dataclass(frozen=True)
class Program:
    """A command that supervisord keeps running."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables in addition to :func:`child_environment`."""
    user: str = ""
    """The user it runs as; empty: the user who started the stack."""
    stop_signal: Literal["TERM", "INT"] = "TERM"
    stop_after_s: int = 30
    """After this, it is killed."""


class Supervisor:
    """A client of a running supervisord."""

    def __init__(self, directory: Path) -> None:
        self._logs = directory / "logs"
        self._url = f"unix://{directory / _SOCKET}"

    def responds(self) -> bool:
        """Return whether supervisord responds."""
        try:
            self._call("getPID")
        except OSError:
            return False
        return True

    def start(self, group: str) -> None:
        """Start the programs of a group without waiting for them."""
        self._call("startProcessGroup", group, False)  # noqa: FBT003  XML-RPC has no keywords

    def _call(self, method: str, *arguments: object) -> Any:
        # Supervisor's transport cannot be used again after a failed request.
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
        """Wait until `ready` returns True.

        :param say: called with the time so far, every `say_every_s`
        :raises StackError: a program ended, or the time is over
        """
        began = said = time.monotonic()
        while not ready():
            self.check(_ENDED)
            now = time.monotonic()
            if now > began + within_s:
                raise StackError(f"{what} was not ready within {within_s:g} s: see {self._logs}")
            if now > said + say_every_s:
                say(f"  {what} is starting: {now - began:.0f} s so far, its log is in {self._logs}")
                said = now
            time.sleep(_PAUSE_S)

    def check(self, refused: AbstractSet[int] = _GIVEN_UP) -> None:
        """Check that no program is in one of these states: by default, given up.

        :raises StackError: one is, with the end of its log; or supervisord has ended
        """
        try:
            programs = self._call("getAllProcessInfo")
        except OSError as error:
            raise StackError(f"the supervisor has ended: see {self._logs}") from error
        for program in programs:
            if program["state"] in refused:
                log = self._logs / f"{program['name']}.log"
                lines = log.read_text(errors="replace").splitlines()[-15:]
                message = f"{program['name']} ended ({program['spawnerr'] or 'on its own'}): {log}"
                raise StackError("\n".join([message, *(f"    {line}" for line in lines)]))


def child_environment() -> dict[str, str]:
    """Return the environment of the stack's programs.

    Every task of Airflow imports the project again in a new process, so the stack always caches
    byte code.
    """
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


@contextmanager
def supervised(directory: Path, groups: Mapping[str, Sequence[Program]]) -> Iterator[Supervisor]:
    """Run supervisord for groups of programs, without starting them.

    At the end it stops the groups, the last one first. Then it kills all remaining descendants,
    including those that moved to their own process groups.

    :raises StackError: supervisord does not start
    """
    mark = uuid4().hex
    with private_files():
        process = _supervisord(directory, groups, mark)
    try:
        supervisor = Supervisor(directory)
        while not supervisor.responds():
            if process.poll() is not None:
                output = (directory / "logs" / "supervisord.out").read_text(errors="replace")
                raise StackError(f"supervisord did not start:\n{output.strip()}")
            time.sleep(_PAUSE_S)
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
    """Start it; its programs inherit the umask of this process."""
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
            start_new_session=True,  # else it would get the terminal's Ctrl-C, too
        )


def _kill_leftovers(session: int, mark: str) -> None:
    """Kill a supervisor's remaining descendants, and wait until they have ended.

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

    It takes two signs: a process that writes its title over its environment loses the mark, and one
    that opens its own session leaves the supervisor's.
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

    :raises StackError: supervisord would misread it, for example as a comment
    """
    if re.search(r"\s[;#]|\n", str(value)):
        raise StackError(f"{name}: supervisord cannot take a value with a newline, ' ;' or ' #'")
    return str(value).replace("%", "%%")


def _quoted(name: str, value: str) -> str:
    """Quote a variable's value; supervisord cannot escape quotes.

    :raises StackError: neither kind of quotes preserves it
    """
    for quote in "'\"":
        if quote not in value and value.strip("'\"") == value:
            return f"{quote}{value}{quote}"
    raise StackError(f"{name}: supervisord cannot take a value that mixes quotes")
