"""The completion report of S3 Batch Operations: its columns and rows.

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/batch-ops-examples-reports.html.
"""

from collections.abc import Mapping
from urllib.parse import quote

from retrofill.aws.objects import unpack
from retrofill.model.report_files import ReportedItem, ReportForm, Row

COLUMNS = (
    "Bucket", "Key", "VersionId", "TaskStatus", "ErrorCode", "HTTPStatusCode", "ResultMessage",
)  # fmt: skip

CSV_FORMAT = "Report_CSV_20180820"


def _row(place: Mapping[str, str]) -> Row:
    bucket = place["bucket"]

    def row(item: ReportedItem) -> tuple[str, ...]:
        version = unpack(item.content).version_id if item.content else ""
        # The status of a response is not kept.
        return bucket, item.key, version, item.status, item.error_type, "", item.error

    return row


REPORT = ReportForm(columns=COLUMNS, row=_row, write_key=quote, header=False, format=CSV_FORMAT)
"""The report files of objects: without a header, as S3 writes and reads them."""
