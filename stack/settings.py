"""The settings of the embedded stack: its directory, ports and secrets."""

import json
import os
import secrets
import sys
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Self

REPOSITORY = Path(__file__).resolve().parent.parent

# A Unix socket's path may have 107 bytes on Linux and 103 on macOS. The supervisor's socket is in
# the stack's directory, and its name ends in a process id until it is ready.
_LONGEST_DIRECTORY = (107 if sys.platform == "linux" else 103) - len("/supervisor.sock.0000000")
_SAVED = "settings.json"
EXECUTORS = ("local", "celery")


class StackError(Exception):
    """The embedded stack cannot start, or broke; the message says what to do."""


@dataclass(frozen=True)
class Ports:
    """The TCP ports on 127.0.0.1."""

    airflow: int = 8080
    postgres: int = 5433
    aws: int = 4566

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Self:
        """Read ``RETROFILL_<NAME>_PORT``, with a default for each.

        :raises StackError: a value is not a port number, or two are the same
        """
        chosen: dict[str, int] = {}
        for name, port in asdict(cls()).items():
            variable = cls.variable(name)
            chosen[variable] = _port(variable, environ.get(variable) or str(port))
        for one, other in combinations(chosen, 2):
            if chosen[one] == chosen[other]:
                raise StackError(f"{one} and {other} are both {chosen[one]}: give different ports")
        return cls(*chosen.values())

    @staticmethod
    def variable(name: str) -> str:
        """Return the environment variable that sets the port of this name."""
        return f"RETROFILL_{name.upper()}_PORT"


@dataclass(frozen=True)
class Secrets:
    """Secrets that the first start generates and the stack's directory keeps."""

    postgres_password: str
    fernet_key: str
    jwt_secret: str
    session_key: str

    @classmethod
    def kept_in(cls, directory: Path) -> Self:
        """Read the secrets of this stack, or generate them."""
        file = cls.file(directory)
        if not file.exists():
            generated = cls(
                postgres_password=secrets.token_hex(16),
                fernet_key=urlsafe_b64encode(secrets.token_bytes(32)).decode(),
                jwt_secret=secrets.token_hex(32),
                session_key=secrets.token_hex(32),
            )
            unfinished = file.with_suffix(".new")
            unfinished.touch(mode=0o600)
            unfinished.write_text(json.dumps(asdict(generated)))
            unfinished.rename(file)
        return cls(**json.loads(file.read_text()))

    @staticmethod
    def file(directory: Path) -> Path:
        """Return the file with the secrets of the stack in a directory."""
        return directory / "secrets.json"


@dataclass(frozen=True)
class Settings:
    """Everything in which two embedded stacks may differ."""

    directory: Path
    ports: Ports
    secrets: Secrets
    aws_endpoint_url: str
    """Empty for AWS itself, and if ``AIRFLOW_CONN_AWS_DEFAULT`` names it."""
    aws_embedded: bool
    """Whether it is the stack's own MiniStack."""
    state_elsewhere: str
    """The URI of the state's database; empty: the stack's own Postgres."""
    executor: str = "local"
    """One of ``EXECUTORS``: tasks run as processes of the scheduler, or in Celery's workers."""
    aws_region: str = "us-east-1"
    aws_account: str = ""
    """Your own account; empty for the emulator, and for an AWS that other variables name."""

    user = "admin"
    password = "admin"  # noqa: S105  of a UI that only this machine can reach

    @classmethod
    def from_environment(
        cls, environ: Mapping[str, str] = os.environ, *, account: str = "", region: str = ""
    ) -> Self:
        """Read the settings, and create the directory and its secrets if they are missing.

        :param account: your own AWS account, which gets its own directory
        :raises StackError: a variable's value is not allowed
        """
        usual = REPOSITORY / ".stack-aws" / account if account else REPOSITORY / ".stack"
        directory = Path(environ.get("RETROFILL_STACK_DIR") or usual).resolve()
        if len(os.fsencode(directory)) > _LONGEST_DIRECTORY:
            raise StackError(
                f"the stack's directory {directory} has more than {_LONGEST_DIRECTORY} bytes:"
                " set RETROFILL_STACK_DIR to a shorter path"
            )
        ports = Ports.from_environment(environ)
        executor = environ.get("RETROFILL_EXECUTOR") or EXECUTORS[0]
        if executor not in EXECUTORS:
            allowed = " or ".join(EXECUTORS)
            raise StackError(f"RETROFILL_EXECUTOR: {executor!r} is not allowed; give {allowed}")
        endpoint = environ.get("AWS_ENDPOINT_URL", "")
        embedded = not (account or endpoint or environ.get("AIRFLOW_CONN_AWS_DEFAULT"))
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _require_own(directory)
        return cls(
            directory=directory,
            ports=ports,
            secrets=Secrets.kept_in(directory),
            aws_endpoint_url=f"http://127.0.0.1:{ports.aws}" if embedded else endpoint,
            aws_embedded=embedded,
            state_elsewhere=environ.get("AIRFLOW_CONN_RETROFILL_STATE", ""),
            executor=executor,
            aws_region=region or environ.get("AWS_DEFAULT_REGION") or cls.aws_region,
            aws_account=account,
        )

    @property
    def airflow_url(self) -> str:
        """The address of Airflow's UI and REST API."""
        return f"http://127.0.0.1:{self.ports.airflow}"

    @property
    def state_dsn(self) -> str:
        """The URI of the database that keeps Retrofill's state."""
        return self.state_elsewhere or self._dsn("retrofill")

    @property
    def metadata_dsn(self) -> str:
        """The URI of Airflow's metadata database."""
        return self._dsn("airflow")

    def _dsn(self, role: str) -> str:
        password, port = self.secrets.postgres_password, self.ports.postgres
        return f"postgresql://{role}:{password}@127.0.0.1:{port}/{role}"

    def save(self) -> None:
        """Write the settings, without secrets, for processes that find this stack running."""
        known = {
            "ports": asdict(self.ports),
            "aws_endpoint_url": self.aws_endpoint_url,
            "aws_embedded": self.aws_embedded,
            "aws_account": self.aws_account,
        }
        (self.directory / _SAVED).write_text(json.dumps(known))

    def require_same_aws(self) -> None:
        """Check that the state in this directory is of runs on the same AWS account.

        :raises StackError: it is of runs on another
        """
        with suppress(FileNotFoundError):
            before = self.saved().aws_account
            if before != self.aws_account:
                was, now = (
                    f"account {one}" if one else "an emulator" for one in (before, self.aws_account)
                )
                raise StackError(
                    f"the state in {self.directory} is of runs on {was}, not on {now}:"
                    " set RETROFILL_STACK_DIR to another folder"
                )

    def saved(self) -> Self:
        """Return the settings with which the stack in this directory was last started."""
        known = json.loads((self.directory / _SAVED).read_text())
        return replace(self, **{**known, "ports": Ports(**known["ports"])})


def _require_own(directory: Path) -> None:
    """Check that a folder is empty or a stack's, because the stack closes it to other users.

    :raises StackError: it belongs to another user, or has other files
    """
    fix = "set RETROFILL_STACK_DIR to a new folder"
    if os.geteuid() not in {0, directory.stat().st_uid}:
        raise StackError(f"the stack's directory {directory} belongs to another user: {fix}")
    if any(directory.iterdir()) and not any(directory.glob(f"{Secrets.file(directory).stem}.*")):
        raise StackError(f"{directory} has files that are not a stack's: {fix}")


def _port(variable: str, text: str) -> int:
    if text.isascii() and text.isdigit() and 0 < int(text) < 65536:  # noqa: PLR2004  TCP's own limit
        return int(text)
    raise StackError(f"{variable}: {text!r} is not allowed; give a whole number from 1 to 65535")
