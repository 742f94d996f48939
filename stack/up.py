"""Start the whole embedded stack and keep it up: ``python -m stack.up``."""

import fcntl
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from functools import partial
from types import FrameType
from typing import NoReturn

from stack import airflow, own_aws
from stack.private import close_to_others, private_files
from stack.services import MiniStack, Postgres
from stack.settings import Ports, Secrets, Settings, StackError
from stack.supervise import Supervisor, supervised

_NEEDED_BY = {
    "airflow": "Airflow's UI and API need it",
    "postgres": "PostgreSQL needs it",
    "aws": "MiniStack (the emulator of AWS) needs it",
}
_JOINED_WITHIN_S = 1_800


@contextmanager
def running_stack(say: Callable[[str], None] = print) -> Iterator[Settings]:
    """Have the stack run: use the one of this directory if it runs, else start and stop one.

    :param say: is told what goes on
    :raises StackError: it cannot start; the message says what to do
    """
    settings = Settings.from_environment()
    with ExitStack() as stack:
        if stack.enter_context(_alone(settings)):
            stack.enter_context(_started(settings, say))
            yield settings
        else:
            say(f"the stack in {settings.directory} runs already")
            yield _joined(settings)


def main() -> int:
    """Keep the stack up until Ctrl-C, or until a part of it is lost."""
    try:
        _keep_up(_settings())
    except StackError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped")
    return 0


def _settings() -> Settings:
    """Return what is set, with one's own AWS only for those who ask for it."""
    if not own_aws.wanted():
        return Settings.from_environment()
    own = own_aws.identified()
    print(own.warning(), flush=True)
    return Settings.from_environment(account=own.account, region=own.region)


def _keep_up(settings: Settings) -> NoReturn:
    with _alone(settings) as alone:
        if not alone:
            raise StackError(f"the stack in {settings.directory} runs already")
        with _started(settings, print) as supervisor:
            print(welcome(settings), flush=True)
            while True:
                supervisor.check()
                time.sleep(1)


@contextmanager
def _alone(settings: Settings) -> Iterator[bool]:
    """Hold the stack's directory; yield whether nobody else does."""
    with (settings.directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _joined(settings: Settings) -> Settings:
    """Return the settings of the stack that someone else started, once it is healthy."""
    limit = time.monotonic() + _JOINED_WITHIN_S
    while time.monotonic() < limit:
        with suppress(FileNotFoundError):
            settings = settings.remembered()
            if airflow.healthy(settings):
                return settings
        time.sleep(1)
    logs = settings.directory / "logs"
    raise StackError(f"the stack that runs in {settings.directory} is not healthy: see {logs}")


@contextmanager
def _started(settings: Settings, say: Callable[[str], None]) -> Iterator[Supervisor]:
    with _ended_by_interrupt():
        settings.require_same_aws()
        _require_free(settings)
        close_to_others(settings.directory)
        with private_files():
            settings.remember()
        began = time.monotonic()
        postgres = Postgres(
            settings.directory / "postgres",
            settings.ports.postgres,
            settings.secrets.postgres_password,
        )
        ministack = MiniStack(settings.directory / "ministack", settings.ports.aws)
        groups = {"postgres": [postgres.program()]}
        if settings.aws_embedded:
            groups["ministack"] = [ministack.program()]
        airflows = airflow.groups(settings)
        with private_files():
            postgres.prepare(say)
            ministack.prepare()
        with supervised(settings.directory, groups | airflows) as supervisor:
            say("starting PostgreSQL" + " and MiniStack" * settings.aws_embedded)
            for group in groups:
                supervisor.start(group)
            supervisor.wait("PostgreSQL", postgres.accepts, say=say)
            say("migrating the databases")
            postgres.ensure_database("retrofill")
            postgres.ensure_database("airflow")
            with private_files():
                airflow.prepare(settings)
            say("starting Airflow")
            for group in airflows:
                supervisor.start(group)
            if settings.aws_embedded:
                supervisor.wait("MiniStack", ministack.accepts, say=say)
            healthy = partial(airflow.healthy, settings)
            supervisor.wait("Airflow", healthy, say=say)
            airflow.warm(settings)
            say(f"healthy after {time.monotonic() - began:.0f} s")
            try:
                yield supervisor
            finally:
                say("stopping")


def _require_free(settings: Settings) -> None:
    """Make sure that nobody listens on the ports that the stack needs.

    :raises StackError: a port is taken
    """
    for name, port in asdict(settings.ports).items():
        if name == "aws" and not settings.aws_embedded:
            continue
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", port))
            except OSError as error:
                message = f"port {port} is not free ({error.strerror}): {_NEEDED_BY[name]}"
                mend = f"stop what has it, or set {Ports.variable(name)} to another"
                raise StackError(f"{message}; {mend}") from error


@contextmanager
def _ended_by_interrupt() -> Iterator[None]:
    """Take SIGTERM and a closed terminal as a Ctrl-C, and that one even if the shell ignores it."""

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        del number, frame
        raise KeyboardInterrupt

    ending = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    kept = {number: signal.signal(number, interrupt) for number in ending}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def welcome(settings: Settings) -> str:
    """Return what a person needs to know of a stack that is up, and what to do next."""
    own_state = f"postgresql://retrofill@127.0.0.1:{settings.ports.postgres}/retrofill"
    own_state += f"  password: in {Secrets.file(settings.directory)}"
    first = f"trigger {settings.airflow_url}/dags/retrofill_s3"
    if settings.aws_account:
        first += " with preview, then with approve and a narrow prefix"
    else:
        first = (
            "make demo, in another terminal, makes a bucket and a function, and runs them here;"
            f" or {first} with your own"
        )
    lines = {
        "Airflow": f"{settings.airflow_url}  login: {settings.user} / {settings.password}",
        "AWS": _aws(settings),
        "state": "as AIRFLOW_CONN_RETROFILL_STATE says" if settings.state_elsewhere else own_state,
        "logs": str(settings.directory / "logs"),
        "next": first,
    }
    return "\n".join([*(f"{name:>9}  {text}" for name, text in lines.items()), "Ctrl-C stops it"])


def _aws(settings: Settings) -> str:
    if settings.aws_embedded:
        emulator = f"{settings.aws_endpoint_url}  an emulator: calls of one function run in turn"
        return f"{emulator}; make up AWS_PROFILE=… takes your own AWS"
    if settings.aws_account:
        return f"your own, account {settings.aws_account}, region {settings.aws_region}"
    return settings.aws_endpoint_url or "as AIRFLOW_CONN_AWS_DEFAULT says"


if __name__ == "__main__":
    sys.exit(main())
