"""The manifest.json of an S3 Inventory or of a completion report: its files and their columns."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from retrofill.aws.completion_report import CSV_FORMAT
from retrofill.aws.refusals import Refusal, refusal_of
from retrofill.model.errors import ConfigError, SourceError
from retrofill.model.report_files import PARQUET_FORMAT, STATUSES
from retrofill.sources.files import File, Location, S3Files
from retrofill.sources.manifest.layout import Writing

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

LARGEST = 64 * 1024 * 1024
"""The maximum number of bytes of a manifest.json."""

_NEEDED = {"Bucket", "Key"}
_FORMATS = {CSV_FORMAT: Writing.PERCENT, PARQUET_FORMAT: Writing.PLAIN}
"""How reports write keys, by format."""


class Description(NamedTuple):
    """The content of a manifest.json."""

    bucket: str
    """The bucket of the files."""

    files: list[tuple[str, str]]
    """The key of each, and the MD5 of its stored bytes, in hex."""

    columns: tuple[str, ...] | None
    """Columns of its files, which are CSV without a header; None: they are Parquet with names."""

    writing: Writing


def read_description(text: bytes, bucket: str) -> Description:
    """Return the content of a manifest.json.

    Sources: https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory-location.html
    and https://docs.aws.amazon.com/AmazonS3/latest/userguide/batch-ops-examples-reports.html

    :param bucket: where it was found
    :raises ValueError: it is neither, or has an unsupported format
    """
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ValueError(f"it is not JSON ({error})") from error
    try:
        if "Results" in found:
            return _report(found, bucket)
        return _inventory(found)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"it is neither the manifest.json of an S3 Inventory nor that of a completion report:"
            f" {error!r}"
        ) from error


def _inventory(found: Mapping[str, Any]) -> Description:
    if found["fileFormat"] != "CSV":
        raise ValueError(
            f"its files are {found['fileFormat']}, which is not allowed; set the inventory's output"
            " format to CSV"
        )
    columns = _split(found["fileSchema"])
    if missing := _NEEDED - set(columns):
        raise ValueError(f"its fileSchema lacks {', '.join(sorted(missing))}")
    files = [(one["key"], one["MD5checksum"]) for one in found["files"]]
    return Description(found["destinationBucket"].rpartition(":")[2], files, columns, Writing.PLUS)


def _report(found: Mapping[str, Any], bucket: str) -> Description:
    writing = _FORMATS.get(found["Format"])
    if writing is None:
        raise ValueError(
            f"its format {found['Format']!r} is not allowed; give one of {', '.join(_FORMATS)}"
        )
    results = found["Results"]
    for one in results:
        if one["TaskExecutionStatus"] not in STATUSES:
            raise ValueError(
                f"the TaskExecutionStatus {one['TaskExecutionStatus']!r} is not one of"
                f" {', '.join(STATUSES)}"
            )
    where = {one["Bucket"] for one in results} or {bucket}
    if len(where) > 1:
        raise ValueError(
            f"its files are in the buckets {', '.join(sorted(where))}; only one bucket is allowed"
        )
    files = [(one["Key"], one["MD5Checksum"]) for one in results]
    columns = _split(found["ReportSchema"]) if writing is Writing.PERCENT else None
    return Description(where.pop(), files, columns, writing)


def _split(schema: str) -> tuple[str, ...]:
    return tuple(re.split(r"\s*,\s*", schema.strip()))


class ListedFiles:
    """The files that a manifest.json names. Each is compared with its checksum.

    :param location: of the manifest.json
    """

    def __init__(self, client: "S3Client", location: Location) -> None:
        self.location = location
        self._client = client

    def find(self) -> list[File]:
        """Return the files that the manifest.json names, each as it is now.

        :raises ConfigError: there is no manifest.json, it cannot be used, or a file that it names
            is gone
        :raises SourceError: there was no response
        """
        described = self.describe()
        found = []
        for key, md5 in described.files:
            here = self._at(described.bucket, key)
            [file] = S3Files(self._client, here).find()
            found.append(file._replace(tag=f"{file.tag} {md5.lower()}"))
        return sorted(found)

    def describe(self) -> Description:
        """Read the manifest.json, and compare it with the checksum file next to it if there is one.

        :raises ConfigError: it cannot be used
        :raises SourceError: it cannot be read
        """
        bucket, key, _, param = self.location
        source = S3Files(self._client, self.location)
        [file] = source.find()
        if file.size > LARGEST:
            raise ConfigError(
                f"{param}: {file.path} has {file.size:,} bytes, more than the {LARGEST:,} allowed"
            )
        text = b"".join(source.read(file))
        asked = self._checksum_of(bucket, key.removesuffix(".json") + ".checksum")
        own = hashlib.md5(text, usedforsecurity=False).hexdigest()
        if asked and asked != own:
            raise ConfigError(
                f"{param}: the MD5 of {file.path} is {own}, but its checksum file has {asked}"
            )
        try:
            return read_description(text, bucket)
        except ValueError as error:
            raise ConfigError(f"{param}: {file.path}: {error}") from error

    def read(self, file: File, at: int = 0) -> Iterator[bytes]:
        """Read a file, always completely: its checksum is compared at the end."""
        tag, _, md5 = file.tag.rpartition(" ")
        bucket = file.path.removeprefix("s3://").partition("/")[0]
        own = hashlib.md5(usedforsecurity=False)
        plain = file._replace(tag=tag)
        for chunk in S3Files(self._client, self._at(bucket, "")).read(plain):
            own.update(chunk)
            if at < len(chunk):
                yield chunk[at:]
            at = max(0, at - len(chunk))
        if own.hexdigest() != md5:
            raise SourceError(
                f"file {file.path}: its MD5 is {own.hexdigest()}, but {md5} in the manifest, so it"
                " is not the file that was written. Rows read so far stay"
            )

    def _at(self, bucket: str, key: str) -> Location:
        return Location(bucket, key, None, self.location.param)

    def _checksum_of(self, bucket: str, key: str) -> str:
        """Return the content of the file next to the manifest.json; empty if there is none."""
        try:
            answer = self._client.get_object(Bucket=bucket, Key=key)
            return answer["Body"].read(LARGEST).decode("ascii", "replace").strip().lower()
        except ClientError as error:
            if refusal_of(error) is Refusal.TRANSIENT:
                raise SourceError(f"s3://{bucket}/{key} could not be read: {error}") from error
            return ""
        except BotoCoreError as error:
            raise SourceError(f"s3://{bucket}/{key} could not be read: {error}") from error
