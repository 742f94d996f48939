"""What the page and the report of a run say of S3's objects that are not called."""

from collections.abc import Mapping

LEFT_OUT: Mapping[str, str] = {
    "filtered": "left out by the filters of the run or of its live trigger",
    "archived": "in GLACIER or DEEP_ARCHIVE, which no function can read",
    "rejected": "with a key that Postgres cannot hold",
}
"""Why objects are left out, by the name of the reason."""
