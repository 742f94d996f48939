"""What is missing before runs can be made, as every face of Retrofill says it."""

from typing import NamedTuple


class Finding(NamedTuple):
    """One thing that is missing or wrong."""

    what: str
    """What is wrong."""

    where: str
    """Where it is to be put right."""

    todo: str
    """What a person does about it."""

    text: str = ""
    """What to copy for that: a variable, SQL; empty: nothing."""

    dag_id: str = ""
    """The DAG to trigger or to switch on for that; empty: none."""

    blocks: bool = False
    """Whether no run can be opened until it is put right."""

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
    """Whether nothing is in the way of a run."""

    findings: list[Finding]
    """What is missing, and what should be looked after; first what is in the way of every run."""

    state: StateFacts | None
    """The state; null: it cannot be used."""

    notices: list[str]
    """What this Airflow cannot do that a newer one can."""
