"""What the embedded stack is set to: its directory, ports and secrets."""

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

# A Unix socket's path may have 107 bytes on Linux and 103 on macOS. The supervisor's is in the
# stack's directory, and has a process id at its end while it is made.
_LONGEST_DIRECTORY = (107 if sys.platform == "linux" else 103) - len("/supervisor.sock.0000000")
_REMEMBERED = "settings.json"
EXECUTORS = ("local", "celery")


class StackError(Exception):
    """The embedded stack cannot start, or broke; the message says what to do."""


@dataclass(frozen=True)
class Ports:
    """The TCP ports on 127.0.0.1, each with who needs it and the variable that changes it."""

    airflow: int = 8080
    postgres: int = 5433
    aws: int = 4566

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Self:
        """Read ``RETROFILL_<NAME>_PORT``; what is unset keeps its default.

        :raises StackError: a variable holds no port number, or two hold the same
        """
        chosen: dict[str, int] = {}
        for name, port in asdict(cls()).items():
            variable = cls.variable(name)
            chosen[variable] = _port(variable, environ.get(variable) or str(port))
        for one, other in combinations(chosen, 2):
            if chosen[one] == chosen[other]:
                message = f"{one} and {other} are both {chosen[one]}"
                raise StackError(f"{message}: each needs a port of its own")
        return cls(*chosen.values())

    @staticmethod
    def variable(name: str) -> str:
        """Return the environment variable that sets the port of this name."""
        return f"RETROFILL_{name.upper()}_PORT"


@dataclass(frozen=True)
class Secrets:
    """What was made up at the first start and is kept in the stack's directory."""

    postgres_password: str
    fernet_key: str
    jwt_secret: str
    session_key: str

    @classmethod
    def kept_in(cls, directory: Path) -> Self:
        """Read the secrets of this stack, or make them up."""
        file = cls.file(directory)
        if not file.exists():
            made = cls(
                postgres_password=secrets.token_hex(16),
                fernet_key=urlsafe_b64encode(secrets.token_bytes(32)).decode(),
                jwt_secret=secrets.token_hex(32),
                session_key=secrets.token_hex(32),
            )
            unfinished = file.with_suffix(".new")
            unfinished.touch(mode=0o600)
            unfinished.write_text(json.dumps(asdict(made)))
            unfinished.rename(file)
        return cls(**json.loads(file.read_text()))

    @staticmethod
    def file(directory: Path) -> Path:
        """Return the file that keeps the secrets of the stack in a directory."""
        return directory / "secrets.json"


@dataclass(frozen=True)
class Settings:
    """Everything that tells one embedded stack from another."""

    directory: Path
    ports: Ports
    secrets: Secrets
    aws_endpoint_url: str
    """Where AWS is; empty for AWS itself, or where ``AIRFLOW_CONN_AWS_DEFAULT`` says."""
    aws_embedded: bool
    """Whether that is the stack's own MiniStack."""
    state_elsewhere: str
    """Where the state is kept when not in the stack's own Postgres; empty when it is."""
    executor: str = "local"
    """What runs Airflow's tasks: processes of the scheduler, or Celery's workers."""
    aws_region: str = "us-east-1"
    aws_account: str = ""
    """One's own account; empty for the emulator, and for the AWS that other variables name."""

    user = "admin"
    password = "admin"  # noqa: S105  of a UI that only this machine can reach

    @classmethod
    def from_environment(
        cls, environ: Mapping[str, str] = os.environ, *, account: str = "", region: str = ""
    ) -> Self:
        """Read the settings, and make the directory and its secrets if they are missing.

        :param account: one's own account of AWS to ask, in `region`, with a directory of its own
        :raises StackError: a variable's value is not allowed
        """
        usual = REPOSITORY / ".stack-aws" / account if account else REPOSITORY / ".stack"
        directory = Path(environ.get("RETROFILL_STACK_DIR") or usual).resolve()
        if len(os.fsencode(directory)) > _LONGEST_DIRECTORY:
            message = f"the stack's directory {directory} is longer than {_LONGEST_DIRECTORY} bytes"
            raise StackError(f"{message}: set RETROFILL_STACK_DIR to a shorter path")
        ports = Ports.from_environment(environ)
        executor = environ.get("RETROFILL_EXECUTOR") or EXECUTORS[0]
        if executor not in EXECUTORS:
            allowed = " and ".join(EXECUTORS)
            raise StackError(f"RETROFILL_EXECUTOR is {executor!r}: allowed are {allowed}")
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

    def remember(self) -> None:
        """Write down what is not secret, for whoever finds this stack running."""
        known = {
            "ports": asdict(self.ports),
            "aws_endpoint_url": self.aws_endpoint_url,
            "aws_embedded": self.aws_embedded,
            "aws_account": self.aws_account,
        }
        (self.directory / _REMEMBERED).write_text(json.dumps(known))

    def require_same_aws(self) -> None:
        """Make sure that the state in this directory tells of runs on the AWS that is asked.

        :raises StackError: it tells of runs on another
        """
        with suppress(FileNotFoundError):
            before = self.remembered().aws_account
            if before != self.aws_account:
                names = [
                    f"account {one}" if one else "an emulator" for one in (before, self.aws_account)
                ]
                message = (
                    f"the state in {self.directory} is of runs on {names[0]}, not on {names[1]}"
                )
                raise StackError(f"{message}: set RETROFILL_STACK_DIR to another folder")

    def remembered(self) -> Self:
        """Return the settings with which the stack in this directory was started."""
        known = json.loads((self.directory / _REMEMBERED).read_text())
        return replace(self, **{**known, "ports": Ports(**known["ports"])})


def _require_own(directory: Path) -> None:
    """Make sure that a folder may become, or is, a stack's: it is closed to all other users.

    :raises StackError: it is another user's, or holds something else
    """
    mend = "set RETROFILL_STACK_DIR to a folder of its own"
    if os.geteuid() not in {0, directory.stat().st_uid}:
        raise StackError(f"the stack's directory {directory} belongs to another user: {mend}")
    kept = Secrets.file(directory)
    if any(directory.iterdir()) and not any(directory.glob(f"{kept.stem}.*")):
        raise StackError(f"{directory} holds files, and none of a stack: {mend}")


def _port(variable: str, text: str) -> int:
    if text.isascii() and text.isdigit() and 0 < int(text) < 65536:  # noqa: PLR2004  TCP's own limit
        return int(text)
    raise StackError(f"{variable} is {text!r}: a port is a number from 1 to 65535")
