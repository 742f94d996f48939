"""The params of a manifest: where it is, which bucket it is about, how to read it."""

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Literal

from retrofill.params import Problem, Sound, field
from retrofill.params.texts import BLANK
from retrofill.sources.files import parse_location
from retrofill.sources.kind import SOURCE, SourceParams
from retrofill.sources.manifest.layout import Layout, Writing
from retrofill.sources.rows.params import (
    ENCODED,
    FORMAT,
    ON_MALFORMED,
    Encoding,
    FilesAddress,
    Names,
    names_in,
)
from retrofill.sources.s3.params import BUCKETS, REQUESTER_PAYS, WITH_VERSIONS, Bucket

PARAM = "manifest"
WRITINGS = {"plain": Writing.PLAIN, "percent": Writing.PERCENT, "plus": Writing.PLUS}


class ManifestParams(SourceParams):
    """Which objects of a bucket a manifest names."""

    filters: ClassVar[tuple[str, ...]] = ("task_status",)

    bucket: Bucket = field(
        SOURCE,
        "Bucket",
        "The S3 bucket to process: its bare name. Rows for other buckets are skipped and counted.",
        allowed=BUCKETS,
        form={"maxLength": 1_024},
        examples=["my-photos"],
    )
    manifest: FilesAddress = field(
        SOURCE,
        "Manifest",
        "The file that names the objects: a manifest of S3 Batch Operations, the **manifest.json**"
        " of an S3 Inventory in CSV or of a completion report, or any CSV, JSON Lines or Parquet"
        " file with a column **key**. Several files: end with a slash, or use a pattern.",
        allowed="s3://bucket/key or an absolute path, with or without a pattern",
        form={"maxLength": 1_024},
        examples=["s3://my-lists/photos.csv"],
    )
    format: Literal["auto", "csv", "jsonl"] = FORMAT
    encoding: Encoding = ENCODED
    columns: Annotated[Names | None, BLANK] = field(
        SOURCE,
        "Columns",
        "The column names of CSV files without a header, separated by commas: key and, if present,"
        " bucket, version_id, size, etag, last_modified. Others are ignored. Empty: the first row"
        " has them, or the columns are those of S3 Batch Operations.",
        allowed="different names, separated by commas, one of them key",
        form={"maxLength": 1_024},
        default=None,
        examples=["bucket,key,version_id"],
    )
    keys_written: Literal["auto", "plain", "percent", "plus"] = field(
        SOURCE,
        "How keys are written",
        "**plain** as they are, **percent** URL-encoded, **plus** URL-encoded with + for a space."
        " **auto**: percent for S3 Batch Operations, plus for S3 Inventory, otherwise plain.",
        default="auto",
    )
    task_status: Literal["all", "succeeded", "failed"] = field(
        SOURCE,
        "Status of the task",
        "For a completion report: only objects whose task ended this way.",
        default="all",
    )
    requester_pays: bool = REQUESTER_PAYS
    list_versions: bool = field(
        SOURCE,
        "With version ids",
        "Process the version that the manifest names, not the current one of its key. Use the same"
        " setting as for a listing of the same objects.",
        default=False,
    )
    on_malformed: Literal["stop", "leave out"] = ON_MALFORMED

    def label(self) -> str:
        """Return where the manifest is."""
        return f"{self.manifest} of s3://{self.bucket}"

    def origin(self) -> str:
        """Return the bucket, as a listing of it does: its items are the same."""
        return f"s3://{self.bucket}/{WITH_VERSIONS if self.list_versions else ''}"

    def datasets(self) -> list[tuple[str, str]]:
        """Return the bucket, and the manifest."""
        return [(f"s3://{self.bucket}", "/"), parse_location(self.manifest, PARAM).dataset]

    def place(self) -> Mapping[str, str]:
        """Return the bucket."""
        return {"bucket": self.bucket, "prefix": ""}

    def redrives(self, origin: str) -> bool:
        """Return whether a job is for the bucket; how it lists does not matter."""
        return origin.removesuffix(WITH_VERSIONS) == self.origin().removesuffix(WITH_VERSIONS)

    def contradictions(self, sound: Sound) -> Iterator[Problem]:
        """Find columns that lack a key, or that are not used."""
        if not (sound("columns", "format", "manifest") and self.columns):
            return
        if self.format == "jsonl" or self.manifest.endswith("manifest.json"):
            yield Problem("columns", "only for CSV without a header; the manifest names its own")
            return
        try:
            Layout.of(names_in(self.columns))
        except ValueError as error:
            yield Problem("columns", str(error))
