"""What is missing before a run can start, as the UI, the command line and REST show it."""

from typing import NamedTuple


class Finding(NamedTuple):
    """One thing that is missing or wrong."""

    what: str
    """What is wrong."""

    where: str
    """Where to fix it."""

    todo: str
    """What to do about it."""

    text: str = ""
    """Text to copy, such as a variable or SQL; empty: nothing."""

    dag_id: str = ""
    """The DAG to trigger or unpause; empty: none."""

    blocks: bool = False
    """Whether no run can be opened until it is fixed."""

    def lines(self) -> list[str]:
        """Return it as text."""
        return [
            f"{'missing' if self.blocks else 'to do'}: {self.what}",
            f"where: {self.where}",
            f"what to do: {self.todo}",
            *self.text.splitlines(),
        ]


class StateFacts(NamedTuple):
    """What is known of a state that can be used."""

    database: str
    role: str
    server_version: str
    schema_version: int


class Setup(NamedTuple):
    """Whether Retrofill can be used, and what is missing."""

    ready: bool
    """Whether runs can be opened."""

    findings: list[Finding]
    """What is missing or needs attention. What blocks every run comes first."""

    state: StateFacts | None
    """The state; null: it cannot be used."""

    notices: list[str]
    """What this version of Airflow cannot do, but a newer one can."""
