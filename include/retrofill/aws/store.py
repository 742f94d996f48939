"""S3 as a store for files; see :class:`retrofill.export.stores.Store`."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import IO

from botocore.exceptions import ClientError, ParamValidationError

from retrofill.aws.refusals import Refusal, explained
from retrofill.model.connections import AwsSession
from retrofill.model.destination import Destination
from retrofill.model.errors import ConfigError, NotWritten
from retrofill.model.permission import Permission

SCHEMES = ("s3", "s3a", "s3n")
"""The schemes of a bucket's address; the first is the one to write."""

_PART_BYTES = 8 * 2**20
"""Bytes of a file to collect before they are sent."""

_REPORTS = "arn:aws:s3:::my-reports/*"

PERMISSIONS = (
    Permission("s3:PutObject", _REPORTS, "for `report_to` on S3"),
    Permission("s3:AbortMultipartUpload", _REPORTS, "for `report_to` on S3"),
)
"""The permissions that the role needs. A bucket that is encrypted with a KMS key also needs
kms:GenerateDataKey and kms:Decrypt on that key."""


class ObjectStore:
    """A bucket with folders, accessed with the session of a connection.

    :param param: the param that names it, for messages
    """

    def __init__(self, session: AwsSession, folder: Destination, param: str) -> None:
        self._client = session.client("s3")
        self._name = folder.host
        self._param = param

    def require_writable(self, folder: Destination) -> None:
        """Check that files can be written to a folder, by starting an upload and aborting it."""
        key = (folder / "retrofill-may-write").path
        with self._explained():
            begun = self._client.create_multipart_upload(Bucket=self._name, Key=key)
            self._client.abort_multipart_upload(
                Bucket=self._name, Key=key, UploadId=begun["UploadId"]
            )

    @contextmanager
    def writing(self, file: Destination) -> Iterator[IO[bytes]]:
        """Write a file in parts; it appears when all are written."""
        import smart_open  # noqa: PLC0415  it takes a tenth of a second that few tasks need

        transport = {"client": self._client, "min_part_size": _PART_BYTES}
        with (
            self._explained(),
            smart_open.open(
                str(file), "wb", compression="disable", transport_params=transport
            ) as opened,
        ):
            yield opened

    def _explained(self) -> AbstractContextManager[None]:
        return explained(self._refused, self._unanswered)

    def _refused(self, error: ClientError | ParamValidationError, _: Refusal) -> ConfigError:
        return ConfigError(
            f"{self._param}: nothing can be written to s3://{self._name} ({error}); the credentials"
            " of aws_conn_id need s3:PutObject and s3:AbortMultipartUpload there"
        )

    def _unanswered(self, error: Exception) -> NotWritten:
        return NotWritten(f"{self._param}: s3://{self._name} did not answer ({error})")
