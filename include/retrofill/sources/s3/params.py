"""The params of an S3 listing: which objects of which bucket."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BeforeValidator, model_validator

from retrofill.model.errors import ConfigError
from retrofill.model.items import LONGEST_KEY_BYTES
from retrofill.model.quoting import quoted
from retrofill.model.runs import Window
from retrofill.params import Problem, Sound, field, refuse
from retrofill.params.texts import (
    BLANK,
    KeyPattern,
    Text,
    Time,
    at_most_key_bytes,
    matching,
)
from retrofill.sources.kind import SOURCE, Interval, SourceParams

WITH_VERSIONS = " with versions"

_ADDRESS = "s3://"

_LARGEST_OBJECT = 10**15

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
# defines the names of buckets, and of those created in us-east-1 before March 2018.
_BUCKET = r"[a-z0-9][a-z0-9.\-]{1,61}[a-z0-9]|[A-Za-z0-9._\-]{3,255}"
_NO_BUCKETS = {
    "--x-s3": "a directory bucket, which lists its keys in no order and has no live trigger",
    "--table-s3": "a table bucket, which holds no objects of yours",
    "-s3alias": "the alias of an access point; give the bucket behind it",
    "--ol-s3": "the alias of an Object Lambda access point; give the bucket behind it",
    ".mrap": "a multi-region access point; give one of its buckets",
}


def _bucket(text: str) -> str:
    if text.startswith(_ADDRESS):
        refuse("it is an address with another prefix than prefix")
    if text.startswith(("arn:", "s3:")):
        refuse("it is more than the name")
    if "/" in text:
        refuse("it contains a slash; what follows the bucket's name goes into prefix")
    for ending, kind in _NO_BUCKETS.items():
        if text.endswith(ending):
            refuse(f"it is the name of {kind}")
    return matching(_BUCKET, text)


def _prefix(text: str) -> str:
    if text.startswith("s3://"):
        refuse("it begins with s3://; the bucket's name goes into bucket, without s3://")
    return at_most_key_bytes(text)


def _none_is_blank(value: object) -> object:
    return "" if value is None else value


BUCKETS = (
    "the bare name of a bucket: 3 to 63 of a-z, 0-9, dot and hyphen, or, if it is from before 2018,"
    " up to 255, also of A-Z and underscore"
)
Bucket = Annotated[Text, AfterValidator(_bucket)]
Prefix = Annotated[Text, AfterValidator(_prefix), BeforeValidator(_none_is_blank)]


REQUESTER_PAYS = field(
    SOURCE,
    "Requester pays",
    "Must be on for a requester-pays bucket: the account of the AWS connection is charged. Your"
    " function must request it too when it reads an object.",
    default=False,
)


class S3Params(SourceParams):
    """The bucket, and filters for its objects."""

    filters: ClassVar[tuple[str, ...]] = (
        "min_size",
        "max_size",
        "modified_after",
        "modified_before",
        "use_data_interval",
        "reach_back_hours",
    )
    key_filters: ClassVar[tuple[str, ...]] = ("prefix", "key_glob")

    bucket: Bucket = field(
        SOURCE,
        "Bucket",
        "The S3 bucket to process: its bare name. From an address such as s3://bucket/prefix, the"
        " prefix is taken too.",
        allowed=BUCKETS,
        form={"maxLength": 1_024},
        examples=["my-photos"],
    )
    prefix: Prefix = field(
        SOURCE,
        "Prefix",
        "Only keys that start with this. It is not a folder name: **in** matches **in/a** and"
        " **index**. Empty: the whole bucket, which also needs the next switch.",
        allowed="the beginning of keys, of up to 1,024 bytes",
        form={"type": ["null", "string"], "default": None, "maxLength": LONGEST_KEY_BYTES},
        default="",
        examples=["incoming/2025/"],
    )
    whole_bucket: bool = field(
        SOURCE,
        "The whole bucket",
        "Must be on if the prefix is empty, to confirm that you mean every object in the bucket.",
        default=False,
    )
    key_glob: Annotated[KeyPattern | None, BLANK] = field(
        SOURCE,
        "Key pattern",
        "Only keys that match: * is any text including slashes, ? one character, [ab] one of"
        " these. Separate patterns with |. A pattern covers the whole key.",
        allowed="a shell pattern, or several separated by |, of up to 1,024 bytes",
        form={"maxLength": LONGEST_KEY_BYTES},
        default=None,
        examples=["*.jpg", "*.jpg|*.png"],
    )
    min_size: int | None = field(
        SOURCE,
        "Smallest size",
        "Only objects of at least this many bytes.",
        default=None,
        ge=0,
        le=_LARGEST_OBJECT,
        examples=[1],
    )
    max_size: int | None = field(
        SOURCE,
        "Largest size",
        "Only objects of at most this many bytes.",
        default=None,
        ge=0,
        le=_LARGEST_OBJECT,
        examples=[10_000_000],
    )
    modified_after: Annotated[Time | None, BLANK] = field(
        SOURCE,
        "Modified from",
        "Only objects last modified at this time or later.",
        default=None,
        examples=["2025-01-01T00:00:00Z"],
    )
    modified_before: Annotated[Time | None, BLANK] = field(
        SOURCE,
        "Modified before",
        "Only objects last modified before this time, such as the time when you attached the live"
        " trigger.",
        default=None,
        examples=["2026-01-01T00:00:00Z"],
    )
    use_data_interval: bool = field(
        SOURCE,
        "Use the data interval",
        "Only objects last modified within the DAG run's data interval, and new ones from the"
        " hours before it. For schedules and Airflow's Backfill.",
        default=False,
    )
    reach_back_hours: int = field(
        SOURCE,
        "Reach back",
        "With the data interval: how many hours before it to include. S3 dates a multipart upload"
        " from its start, so one that ends after midnight belongs to the day before, whose run may"
        " be over. Known objects are not called again.",
        default=24,
        ge=0,
        le=8_760,
        examples=[24, 0],
    )
    requester_pays: bool = REQUESTER_PAYS
    list_versions: bool = field(
        SOURCE,
        "With version ids",
        "List the version id of each object, as live events of a versioned bucket have it. Takes"
        " longer, because noncurrent versions are read too. Needs s3:ListBucketVersions.",
        default=False,
    )

    @model_validator(mode="before")
    @classmethod
    def _address(cls, params: Any) -> Any:
        """Split an address in ``bucket``, as copied from consoles and other tools."""
        given = params.get("bucket") if isinstance(params, dict) else None
        if not isinstance(given, str) or not given.startswith(_ADDRESS):
            return params
        bucket, _, prefix = given.removeprefix(_ADDRESS).partition("/")
        asked = params.get("prefix") or prefix
        if not isinstance(asked, str) or not asked.startswith(prefix):
            return params
        return {**params, "bucket": bucket, "prefix": asked}

    def label(self) -> str:
        """Return the address of the objects: ``s3://bucket/prefix``."""
        return f"s3://{self.bucket}/{self.prefix}"

    def origin(self) -> str:
        """Return the bucket, and whether an item is one version of an object."""
        # The version is part of an item's identifier, so all items differ with it.
        return f"s3://{self.bucket}/{WITH_VERSIONS if self.list_versions else ''}"

    def datasets(self) -> list[tuple[str, str]]:
        """Return the bucket and the prefix that is read."""
        return [(f"s3://{self.bucket}", self.prefix or "/")]

    def place(self) -> Mapping[str, str]:
        """Return the bucket, and the known parts of the keys."""
        known = {"bucket": self.bucket, "prefix": self.prefix, "key_glob": self.key_glob}
        return {name: text for name, text in known.items() if text is not None}

    def window(self, interval: Interval) -> Window:
        """Return the time in which an object must have been modified; see :class:`SourceParams`."""
        after, before = self.modified_after, self.modified_before
        if self.use_data_interval:
            start, end = interval
            if start is None or end is None or start == end:
                raise ConfigError(
                    "use_data_interval: this DAG run has no data interval; trigger it with a"
                    " logical date on a schedule with intervals, or use modified_after and"
                    " modified_before"
                )
            after = max(filter(None, (after, start - timedelta(hours=self.reach_back_hours))))
            before = min(filter(None, (before, end)))
            return Window(after=after, before=before, start=start)
        return Window(after=after, before=before)

    def redriven_keys(self) -> tuple[str, str | None]:
        """Return the prefix and the pattern."""
        return self.prefix, self.key_glob

    def redrives(self, origin: str) -> bool:
        """Return whether a job is for the bucket; how it lists does not matter."""
        return origin.removesuffix(WITH_VERSIONS) == self.origin().removesuffix(WITH_VERSIONS)

    def problems_of_extent(self, sound: Sound) -> Iterator[Problem]:
        """Find a whole bucket that is not confirmed."""
        if sound("prefix", "whole_bucket") and not self.prefix and not self.whole_bucket:
            yield Problem(
                "prefix",
                "it is empty, which means every object of the bucket; if you mean that, set"
                " whole_bucket to true",
            )

    def contradictions(self, sound: Sound) -> Iterator[Problem]:
        """Find two params that contradict each other."""
        if sound("prefix", "whole_bucket") and self.prefix and self.whole_bucket:
            yield Problem(
                "whole_bucket",
                f"it is true, but prefix is {quoted(self.prefix)}; give only one",
            )
        if sound("min_size", "max_size") and _exceeds(self.min_size, self.max_size):
            yield Problem(
                "min_size",
                f"{self.min_size:,} bytes is more than max_size, {self.max_size:,} bytes",
            )
        after, before = self.modified_after, self.modified_before
        if sound("modified_after", "modified_before") and after and before and after >= before:
            yield Problem("modified_after", f"{after} is not before modified_before, {before}")


def _exceeds(low: int | None, high: int | None) -> bool:
    return low is not None and high is not None and low > high
