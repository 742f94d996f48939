"""The params of report files: where they go, and what they contain."""

from typing import Annotated, Literal

from pydantic import AfterValidator

from retrofill.model.destination import Destination
from retrofill.model.report_files import ReportRequest
from retrofill.params.base import Params, field, refuse
from retrofill.params.texts import BLANK, Text

REPORT = "Report files"


def _destination(text: str) -> str:
    try:
        Destination.parse(text)
    except ValueError as error:
        refuse(str(error))
    return text


class ReportParams(Params):
    """Which files report the result of each item at the end."""

    report_to: Annotated[Annotated[Text, AfterValidator(_destination)] | None, BLANK] = field(
        REPORT,
        "Folder",
        "Where to write the result of each item at the end: an address such as"
        " **s3://bucket/folder**, or a path. Each report gets its own folder with a"
        " **manifest.json**, which is written last. Empty: no files.",
        allowed="the address of a folder in a store, or an absolute path",
        form={"maxLength": 1_024},
        default=None,
        examples=["s3://my-reports/photos"],
    )
    report_items: Literal["all", "failures"] = field(
        REPORT,
        "Items",
        "**all**, or only **failures**: quarantined items.",
        default="all",
    )
    report_format: Literal["csv", "parquet"] = field(
        REPORT,
        "Format",
        "For objects, **csv** has the columns of a completion report of S3 Batch Operations, in"
        " its order. Both formats can be read again as a manifest.",
        default="csv",
    )
    report_details: bool = field(
        REPORT,
        "With details",
        "Add columns: attempts, doubt, run, request id, function version, time and identifier.",
        default=False,
    )

    @property
    def asked(self) -> ReportRequest:
        """What to write."""
        return ReportRequest(
            items=self.report_items, format=self.report_format, details=self.report_details
        )
