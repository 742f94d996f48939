"""The columns of manifests without a header."""

import pytest
from retrofill.aws.completion_report import COLUMNS
from retrofill.sources.manifest.layout import names_without_header


@pytest.mark.parametrize(
    ("first", "columns"),
    [
        (("bucket", "key", "", "failed", "Error", "", "it failed"), COLUMNS),
        (("a-bucket", "in/a"), COLUMNS[:2]),
        (("bucket", "key", "version_id"), None),
        (COLUMNS, None),
    ],
)
def test_a_row_of_a_report_is_never_taken_for_a_header(
    first: tuple[str, ...], columns: tuple[str, ...] | None
) -> None:
    assert names_without_header(first) == columns
