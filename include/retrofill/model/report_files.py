"""Report files: their contents, their columns, and what was written."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

SUCCEEDED, FAILED, PENDING = STATUSES = ("succeeded", "failed", "pending")
"""The status of an item: processed, in quarantine, or still in process."""

PARQUET_FORMAT = "Retrofill_Parquet_1"
"""The format of Parquet files in manifest.json."""

DETAILS = (
    "Attempts", "Unsure", "RunId", "RequestId", "FunctionVersion", "SettledAt", "Identifier",
)  # fmt: skip
"""The columns that ``report_details`` adds after those of the source."""


class ReportedItem(NamedTuple):
    """What a report file can report about an item."""

    key: str
    identifier: str
    content: str
    """Its content; empty if it is no longer stored."""

    status: str
    error_type: str
    error: str
    attempts: int
    unsure: bool
    """Whether a call with it ended without a response, so that it may be processed twice."""

    run_id: int
    """The run that settled it or, if it is in process, listed it."""

    request_id: str | None
    """The request id of the call that settled it; None: no call, or unknown."""

    function_version: str | None
    settled_at: datetime | None


Row = Callable[[ReportedItem], Sequence[str]]
"""Returns the texts of an item, one per column."""


def _plain_row(place: Mapping[str, str]) -> Row:
    del place
    return lambda item: (item.key, item.status, item.error_type, item.error)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportForm:
    """The format of the report files of a kind of source."""

    columns: tuple[str, ...] = ("Key", "Status", "ErrorType", "Error")
    row: Callable[[Mapping[str, str]], Row] = _plain_row
    """Makes the function that returns the texts of an item, from the place of the source."""

    write_key: Callable[[str], str] = str
    """How text files write a key."""

    header: bool = True
    """Whether text files begin with the column names."""

    format: str = "Retrofill_CSV_1"
    """The format of text files in manifest.json."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRequest:
    """Which report files to write."""

    items: Literal["all", "failures"] = "all"
    format: Literal["csv", "parquet"] = "csv"
    details: bool = False

    @property
    def statuses(self) -> tuple[str, ...]:
        """The statuses of the requested items."""
        return (FAILED,) if self.items == "failures" else (FAILED, PENDING, SUCCEEDED)


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenReport:
    """Report files that were written."""

    manifest: str
    """The address of its manifest.json."""

    sha256: str
    """The digest of manifest.json, which has those of the parts."""

    counts: Mapping[str, int]
    """Items by status."""

    parts: int
    bytes: int
    snapshot_at: datetime
    """The time of the snapshot that it reports."""

    def as_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {**asdict(self), "snapshot_at": self.snapshot_at.isoformat()}
