"""The params of the job: the name under which processed items are remembered."""

import unicodedata
from typing import Annotated, Literal

from pydantic import AfterValidator

from retrofill.params.base import Params, field, refuse
from retrofill.params.texts import BLANK, ConnectionId, Text

JOB = "Job and connections"


def _job(text: str) -> str:
    if not text.isprintable() or not unicodedata.is_normalized("NFC", text):
        refuse("it contains invisible characters, or some that look like others")
    return text


class JobParams(Params):
    """The job that a run belongs to, and the connection for AWS."""

    job: Annotated[Annotated[Text, AfterValidator(_job)] | None, BLANK] = field(
        JOB,
        "Job",
        "The name under which Retrofill remembers what it processed. Empty: made from the source"
        " and the function.",
        allowed="up to 200 printable characters",
        default=None,
        max_length=200,
        examples=["thumbnails"],
    )
    overlap: Literal["join", "wait"] = field(
        JOB,
        "While another run of the job is open",
        "**join** starts at once and leaves items that the other run has in process to it;"
        " **wait** starts when all earlier runs of the job are closed, and takes no worker slot"
        " until then.",
        default="join",
    )
    aws_conn_id: ConnectionId = field(
        JOB,
        "AWS connection",
        "The Airflow connection for all requests to AWS.",
        allowed="the id of an Airflow connection",
        form={"maxLength": 200},
        default="aws_default",
        examples=["aws_default"],
    )
