"""A PostgreSQL server of a test's own, to be stopped, started and filled as it likes."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from psycopg2 import sql
from retrofill.state.migrate import migrate

from stack.services import Postgres, autocommit_cursor, free_port

_WITHIN_S = 60
# As safe as one that people rely on, and as small as one of eight on a laptop.
_SETTINGS = {"shared_buffers": "64MB", "wal_buffers": "4MB", "min_wal_size": "32MB"}


class OwnPostgres:
    """A server that keeps what it has committed over a crash."""

    def __init__(self, directory: Path, settings: dict[str, str] | None = None) -> None:
        self.server = Postgres(directory / "data", free_port(), password="test")  # noqa: S106
        self._settings = {**_SETTINGS, **(settings or {})}
        self._log = directory / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it lets clients in."""
        self.server.prepare()
        program = self.server.program()
        options = [part for item in self._settings.items() for part in ("-c", "=".join(item))]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  our own server
                [*program.command, *options],
                user=program.user or None,
                group=pwd.getpwnam(program.user).pw_gid if program.user else None,
                extra_groups=[] if program.user else None,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
            )
        limit = time.monotonic() + _WITHIN_S
        while not self.server.accepts():
            assert self._process.poll() is None, f"it ended:\n{self.said()}"
            assert time.monotonic() < limit, f"it does not start:\n{self.said()}"
            time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """Stop it: SIGQUIT at once, as a crash; SIGINT in good order."""
        if self._process is None:
            return
        self._process.send_signal(how)
        self._process.wait(_WITHIN_S)
        self._process = None

    def restart(self, down_s: float = 0.0) -> None:
        """Crash it, and start it again after so many seconds."""
        self.stop()
        time.sleep(down_s)
        self.start()

    @property
    def runs(self) -> bool:
        """Whether its first process lives."""
        return self._process is not None and self._process.poll() is None

    def said(self) -> str:
        """Return the end of its log."""
        return self.log()[-4_000:]

    def log(self) -> str:
        """Return its log."""
        return self._log.read_text(errors="replace")

    def own(self, path: Path) -> None:
        """Let the server have a file or directory."""
        if user := self.server.program().user:
            shutil.chown(path, user)

    def move_log(self, place: Path) -> None:
        """Move its write-ahead log to another place; it must be stopped."""
        here = self.server.directory / "pg_wal"
        shutil.copytree(here, place)
        for path in (place, *place.rglob("*")):
            self.own(path)
        place.chmod(0o700)
        shutil.rmtree(here)
        here.symlink_to(place)

    def state(self, name: str = "state", *, tablespace: str | None = None) -> str:
        """Make a database with the state's schema; return its URI."""
        self.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'test'").format(sql.Identifier(name)))
        create = sql.SQL("CREATE DATABASE {0} OWNER {0}").format(sql.Identifier(name))
        if tablespace:
            create += sql.SQL(" TABLESPACE {}").format(sql.Identifier(tablespace))
        self.execute(create)
        dsn = self.server.dsn(name, role=name)
        migrate(dsn)
        return dsn

    def execute(self, statement: sql.Composable | str, database: str = "postgres") -> None:
        """Run a statement as the superuser."""
        with autocommit_cursor(self.server.dsn(database)) as cur:
            cur.execute(statement)


@contextmanager
def own_postgres(settings: dict[str, str] | None = None) -> Iterator[OwnPostgres]:
    """Run a server, and stop it and remove all of it at the end."""
    with tempfile.TemporaryDirectory(prefix="retrofill-faults-") as directory:
        server = OwnPostgres(Path(directory), settings)
        try:
            server.start()
            yield server
        finally:
            server.stop()


@contextmanager
def small_disk(megabytes: int) -> Iterator[Path]:
    """Mount a small disk, which is in memory, for a server to fill.

    :raises PermissionError: nothing may be mounted here
    """
    with tempfile.TemporaryDirectory(prefix="retrofill-disk-") as directory:
        Path(directory).chmod(0o755)
        disk = Path(directory) / "disk"
        disk.mkdir()
        _mount("-t", "tmpfs", "-o", f"size={megabytes}m,mode=0777", "tmpfs", str(disk))
        try:
            yield disk
        finally:
            umount = shutil.which("umount") or "umount"
            subprocess.run([umount, "--lazy", str(disk)], check=True)  # noqa: S603


def enlarge(disk: Path, megabytes: int) -> None:
    """Give a small disk more space."""
    _mount("-o", f"remount,size={megabytes}m", str(disk))


def _mount(*arguments: str) -> None:
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        raise PermissionError("only root can mount")
    done = subprocess.run([mount, *arguments], check=False, capture_output=True, text=True)  # noqa: S603
    if done.returncode != 0:
        raise PermissionError(done.stderr.strip())
