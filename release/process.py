"""Run the commands that make a release."""

import subprocess
from pathlib import Path


class ReleaseError(Exception):
    """There can be no release; the message says why, and what to do."""


def run(
    *command: str, umask: int = -1, cwd: Path | None = None, env: dict[str, str] | None = None
) -> str:
    """Run a command; return what it prints on standard output.

    :raises ReleaseError: it fails; the message has what it prints on standard error
    """
    done = subprocess.run(  # noqa: S603 - our own commands
        command, capture_output=True, text=True, check=False, umask=umask, cwd=cwd, env=env
    )
    if done.returncode:
        raise ReleaseError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout.strip()
