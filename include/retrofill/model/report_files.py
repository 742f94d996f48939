"""Report files: what they tell of each item, in which columns, and what was written."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

SUCCEEDED, FAILED, PENDING = STATUSES = ("succeeded", "failed", "pending")
"""What becomes of an item: processed, in quarantine, or in process still."""

PARQUET_FORMAT = "Retrofill_Parquet_1"
"""What manifest.json calls files of Parquet."""

DETAILS = (
    "Attempts", "Unsure", "RunId", "RequestId", "FunctionVersion", "SettledAt", "Identifier",
)  # fmt: skip
"""The columns that are there for whoever asks for details, behind those of the source."""


class Reported(NamedTuple):
    """What a report file may tell of an item."""

    key: str
    identifier: str
    content: str
    """What its source says of it; empty where that is not kept any more."""

    status: str
    error_type: str
    error: str
    attempts: int
    unsure: bool
    """Whether a call with it ended without an answer, so that its work may be done twice."""

    run_id: int
    """The run that settled it; of one in process, the run that listed it."""

    request_id: str | None
    """Of the call that settled it; None: there is none, or nobody knows any more."""

    function_version: str | None
    settled_at: datetime | None


Row = Callable[[Reported], Sequence[str]]
"""Makes the texts of an item, one for each column."""


def _plain_row(place: Mapping[str, str]) -> Row:
    del place
    return lambda item: (item.key, item.status, item.error_type, item.error)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportForm:
    """The form of the report files of a kind of source."""

    columns: tuple[str, ...] = ("Key", "Status", "ErrorType", "Error")
    row: Callable[[Mapping[str, str]], Row] = _plain_row
    """Takes the source's place."""

    write_key: Callable[[str], str] = str
    """How files of text write a key."""

    header: bool = True
    """Whether files of text begin with the names of the columns."""

    format: str = "Retrofill_CSV_1"
    """What manifest.json calls a file of text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What shall be written."""

    items: Literal["all", "failures"] = "all"
    format: Literal["csv", "parquet"] = "csv"
    details: bool = False

    @property
    def statuses(self) -> tuple[str, ...]:
        """The statuses of the items that are asked for."""
        return (FAILED,) if self.items == "failures" else (FAILED, PENDING, SUCCEEDED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What was written."""

    manifest: str
    """The address of its manifest.json."""

    sha256: str
    """Of manifest.json, which has those of the parts."""

    counts: Mapping[str, int]
    """Items by status."""

    parts: int
    bytes: int
    snapshot_at: datetime
    """When what it tells was so."""

    def as_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {**asdict(self), "snapshot_at": self.snapshot_at.isoformat()}
