"""The layout of a manifest: the meaning of its columns, and the encoding of its keys."""

import re
from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple
from urllib.parse import unquote, unquote_plus

from retrofill.aws.completion_report import COLUMNS
from retrofill.model.report_files import DETAILS, STATUSES

ROLES = {
    "bucket": "bucket",
    "bucketname": "bucket",
    "key": "key",
    "objectkey": "key",
    "keyname": "key",
    "objectname": "key",
    "version": "version_id",
    "versionid": "version_id",
    "objectversionid": "version_id",
    "size": "size",
    "contentlength": "size",
    "lastmodified": "modified_at",
    "lastmodifieddate": "modified_at",
    "modifiedat": "modified_at",
    "etag": "etag",
    "storageclass": "storage_class",
    "islatest": "is_latest",
    "isdeletemarker": "is_delete_marker",
    "taskstatus": "status",
}
"""The meaning of a column, by its name in lowercase letters and digits."""

_NOT_PLAIN = re.compile(r"[^a-z0-9]")
_DETAILED = (*COLUMNS, *DETAILS)
_STATUS_PLACE = COLUMNS.index("TaskStatus")


class Writing(Enum):
    """How a manifest writes keys."""

    PLAIN = "as they are"
    PERCENT = "URL-encoded"
    PLUS = "URL-encoded, with + for a space"

    def read(self, key: str) -> str:
        """Return a key as in S3.

        :raises UnicodeDecodeError: its bytes are not UTF-8
        """
        if self is Writing.PLAIN:
            return key
        return (unquote_plus if self is Writing.PLUS else unquote)(key, errors="strict")


class Layout(NamedTuple):
    """Which column has which meaning."""

    columns: dict[str, str]
    """The name of the column by its meaning; at least that of `key`."""

    @classmethod
    def of(cls, names: Sequence[str]) -> "Layout":
        """Return the layout of columns; of two with the same meaning, the first counts.

        :raises ValueError: there is no column for the key
        """
        columns: dict[str, str] = {}
        for name in names:
            role = role_of(name)
            if role is not None:
                columns.setdefault(role, name)
        if "key" not in columns:
            raise ValueError(
                f"none of its columns, {', '.join(map(repr, names))}, is named key; name them"
            )
        return cls(columns)

    @property
    def words(self) -> str:
        """The recognized columns, in words."""
        return ", ".join(f"{name} is the {role}" for role, name in self.columns.items())


def role_of(name: str) -> str | None:
    """Return the meaning of a column with this name; None: it is ignored."""
    return ROLES.get(_NOT_PLAIN.sub("", name.lower()))


def names_without_header(first: Sequence[str]) -> tuple[str, ...] | None:
    """Return the columns of a CSV file whose first row does not name them; None: it does.

    The file is then a manifest of S3 Batch Operations or a completion report. Source:
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/specify-batchjob-manifest.html
    """
    # Checked first, because an object may be called key.
    if len(first) in {len(COLUMNS), len(_DETAILED)} and first[_STATUS_PLACE] in STATUSES:
        return _DETAILED[: len(first)]
    if any(role_of(name) == "key" for name in first):
        return None
    if len(first) in {2, 3}:
        return COLUMNS[: len(first)]
    return None
