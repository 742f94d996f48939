"""The params of report files: where they go, and what they tell."""

from typing import Annotated, Literal

from pydantic import AfterValidator

from retrofill.model.destination import Destination
from retrofill.model.report_files import Asked
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
    """Which files tell at the end what became of each item."""

    report_to: Annotated[Annotated[Text, AfterValidator(_destination)] | None, BLANK] = field(
        REPORT,
        "Folder",
        "Where files are written at the end that tell what became of each item: an address such as"
        " **s3://bucket/folder**, or a path. Each time they get a folder of their own in it, with a"
        " **manifest.json** that is written last. Empty: no files.",
        allowed="the address of a folder in a store, or an absolute path",
        form={"maxLength": 1_024},
        default=None,
        examples=["s3://my-reports/photos"],
    )
    report_items: Literal["all", "failures"] = field(
        REPORT,
        "Items",
        "**all**, or only **failures**: what is in quarantine.",
        default="all",
    )
    report_format: Literal["csv", "parquet"] = field(
        REPORT,
        "Format",
        "Of objects, **csv** has the columns of a completion report of S3 Batch Operations, in its"
        " order, and either can be read again as a manifest.",
        default="csv",
    )
    report_details: bool = field(
        REPORT,
        "With details",
        "Also tell, behind these columns, of attempts, doubts, run, request id, version of the"
        " function, time and identifier.",
        default=False,
    )

    @property
    def asked(self) -> Asked:
        """What shall be written."""
        return Asked(
            items=self.report_items, format=self.report_format, details=self.report_details
        )
