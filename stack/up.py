"""Start the whole embedded stack and keep it running: ``python -m stack.up``."""

import fcntl
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from typing import NoReturn

from stack import airflow, own_aws
from stack.private import close_to_others, private_files
from stack.services import MiniStack, Postgres
from stack.settings import Ports, Secrets, Settings, StackError
from stack.supervise import Supervisor, supervised

_NEEDED_BY = {"airflow": "Airflow's UI and API", "postgres": "PostgreSQL", "aws": "MiniStack"}
_JOINED_WITHIN_S = 1_800


@contextmanager
def running_stack(say: Callable[[str], None] = print) -> Iterator[Settings]:
    """Use the stack of this directory if it runs; else start one, and stop it at the end.

    :param say: called with progress messages
    :raises StackError: it cannot start; the message says what to do
    """
    settings = Settings.from_environment()
    with ExitStack() as stack:
        if stack.enter_context(_locked(settings)):
            stack.enter_context(_started(settings, say))
            yield settings
        else:
            say(f"the stack in {settings.directory} is already running")
            yield _joined(settings)


def main() -> int:
    """Keep the stack running until Ctrl-C, or until a part of it fails."""
    try:
        _keep_running(_settings())
    except StackError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped")
    return 0


def _settings() -> Settings:
    """Return the settings, with your own AWS only if you asked for it."""
    if not own_aws.wanted():
        return Settings.from_environment()
    own = own_aws.identify()
    print(own.warning(), flush=True)
    return Settings.from_environment(account=own.account, region=own.region)


def _keep_running(settings: Settings) -> NoReturn:
    with _locked(settings) as locked:
        if not locked:
            raise StackError(f"the stack in {settings.directory} is already running")
        with _started(settings, print) as supervisor:
            print(welcome(settings), flush=True)
            while True:
                supervisor.check()
                time.sleep(1)


@contextmanager
def _locked(settings: Settings) -> Iterator[bool]:
    """Lock the stack's directory; yield False if another process holds the lock."""
    with (settings.directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _joined(settings: Settings) -> Settings:
    """Return the settings of the stack that another process started, once it is healthy."""
    limit = time.monotonic() + _JOINED_WITHIN_S
    while time.monotonic() < limit:
        with suppress(FileNotFoundError):
            settings = settings.saved()
            if airflow.healthy(settings):
                return settings
        time.sleep(1)
    logs = settings.directory / "logs"
    raise StackError(f"the stack that runs in {settings.directory} is not healthy: see {logs}")


@contextmanager
def _started(settings: Settings, say: Callable[[str], None]) -> Iterator[Supervisor]:
    with _interrupted_by_signals():
        settings.require_same_aws()
        _require_free(settings)
        close_to_others(settings.directory)
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
            settings.save()
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
            supervisor.wait("Airflow", lambda: airflow.healthy(settings), say=say)
            airflow.warm_up(settings)
            say(f"healthy after {time.monotonic() - began:.0f} s")
            try:
                yield supervisor
            finally:
                say("stopping")


def _require_free(settings: Settings) -> None:
    """Check that nothing listens on the ports of the stack.

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
                raise StackError(
                    f"port {port} is not free ({error.strerror}), but {_NEEDED_BY[name]} needs it:"
                    f" stop the program that uses it, or set {Ports.variable(name)} to another"
                ) from error


@contextmanager
def _interrupted_by_signals() -> Iterator[None]:
    """Treat SIGTERM and a closed terminal like Ctrl-C, which works even if the shell ignores it."""
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers = {one: signal.signal(one, signal.default_int_handler) for one in signals}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def welcome(settings: Settings) -> str:
    """Return the addresses and logins of a running stack, and what to do next."""
    own_state = f"postgresql://retrofill@127.0.0.1:{settings.ports.postgres}/retrofill"
    own_state += f"  password: in {Secrets.file(settings.directory)}"
    page = f"{settings.airflow_url}/dags/retrofill_s3"
    lines = {
        "Airflow": f"{settings.airflow_url}  login: {settings.user} / {settings.password}",
        "AWS": _aws(settings),
        "state": "see AIRFLOW_CONN_RETROFILL_STATE" if settings.state_elsewhere else own_state,
        "logs": str(settings.directory / "logs"),
        "next": (
            f"trigger {page} with preview, then with approve and a narrow prefix"
            if settings.aws_account
            else "run make demo in another terminal: it makes a bucket and a function, and runs"
            f" them here; or trigger {page} for a bucket and a function of yours"
        ),
    }
    return "\n".join([*(f"{name:>9}  {text}" for name, text in lines.items()), "Ctrl-C stops it"])


def _aws(settings: Settings) -> str:
    if settings.aws_embedded:
        return (
            f"{settings.aws_endpoint_url}  an emulator: it runs one call of a function at a time;"
            " make up AWS_PROFILE=… uses your own AWS"
        )
    if settings.aws_account:
        return f"your own, account {settings.aws_account}, region {settings.aws_region}"
    return settings.aws_endpoint_url or "see AIRFLOW_CONN_AWS_DEFAULT"


if __name__ == "__main__":
    sys.exit(main())
