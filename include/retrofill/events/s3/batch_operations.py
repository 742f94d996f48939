"""The request of S3 Batch Operations, in its schemas 1.0 and 2.0: one task per call."""

import json
from collections.abc import Mapping
from dataclasses import replace

from retrofill.aws.names import CARRIED_BY_LAMBDA
from retrofill.aws.objects import unpack
from retrofill.events.context import EventContext
from retrofill.events.fields import json_string
from retrofill.events.s3.context import S3Context
from retrofill.events.s3.fields import url_encoded
from retrofill.events.s3.form import OBJECTS
from retrofill.events.shape import Encoder, EventShape, each
from retrofill.events.synthetic import BASE64, UUID, letters, of_item
from retrofill.model.delivery import Contract
from retrofill.model.errors import ConfigError
from retrofill.model.items import Item

MAX_ARGUMENTS = 10
MAX_ARGUMENT_NAME_CHARS = 64
MAX_ARGUMENT_CHARS = 1_024
TASK_ID = letters(BASE64, 64)


def _schema_1_0(context: EventContext) -> Encoder:
    """Return the encoder of schema 1.0.

    https://docs.aws.amazon.com/lambda/latest/dg/services-s3-batch.html
    """
    bucket_arn = S3Context.of(context).bucket_arn
    return _encoder(context, "1.0", "", f'"s3BucketArn":{json_string(bucket_arn)}')


def _schema_2_0(context: EventContext) -> Encoder:
    """Return the encoder of schema 2.0.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/batch-ops-invoke-lambda.html

    :raises ConfigError: the arguments exceed the limits of S3 Batch Operations
    """
    arguments = ""
    if context.arguments:
        _check(context.arguments)
        text = json.dumps(dict(context.arguments), separators=(",", ":"))
        arguments = f',"userArguments":{text}'
    bucket = S3Context.of(context).bucket
    return _encoder(context, "2.0", arguments, f'"s3Bucket":{json_string(bucket)}')


def _encoder(context: EventContext, schema: str, arguments: str, bucket: str) -> Encoder:
    task_id_of = of_item(context.ids(TASK_ID, "task"))
    job = f'{{"id":"{context.id(UUID, "job")}"{arguments}}}'

    def request(item: Item) -> str:
        # One task per call, so that either echoed id shows that a response is for this call.
        task_id, version = task_id_of(item), unpack(item.content).version_id
        return (
            f'{{"invocationSchemaVersion":"{schema}","invocationId":"{task_id}","job":{job}'
            f',"tasks":[{{"taskId":"{task_id}","s3Key":"{url_encoded(item.key)}"'
            f',"s3VersionId":{json_string(version) if version else "null"},{bucket}}}]}}'
        )

    return Encoder(parts=each(request), identifier_in_event=task_id_of)


def _check(arguments: Mapping[str, object]) -> None:
    problems = []
    if len(arguments) > MAX_ARGUMENTS:
        problems.append(f"arguments: there are {len(arguments)}; give at most {MAX_ARGUMENTS}")
    for name, value in arguments.items():
        if not 0 < len(name) <= MAX_ARGUMENT_NAME_CHARS:
            problems.append(
                f"arguments: the name {name[:80]!r} with {len(name)} characters is not allowed;"
                f" give 1 to {MAX_ARGUMENT_NAME_CHARS}"
            )
        if not isinstance(value, str) or len(value) > MAX_ARGUMENT_CHARS:
            problems.append(
                f"arguments: {name[:80]!r} is {repr(value)[:80]}, which is not allowed;"
                f" give a text of at most {MAX_ARGUMENT_CHARS} characters"
            )
    if problems:
        raise ConfigError(*problems)


S3_BATCH_1_0 = EventShape(
    name="s3-batch-1.0",
    words="**s3-batch-…** the request of S3 Batch Operations",
    imitates="S3 Batch Operations",
    encoder=_schema_1_0,
    forms=OBJECTS,
    carried_by=CARRIED_BY_LAMBDA,
    max_items=1,
    answers=(Contract.S3_BATCH, Contract.RETURN, Contract.BATCH_ITEM_FAILURES),
    hints=dict.fromkeys(
        ("NoSuchJob", "NoSuchJobException"),
        "the id of the job is synthetic, as no job of S3 Batch Operations makes these calls",
    ),
)
S3_BATCH_2_0 = replace(
    S3_BATCH_1_0,
    name="s3-batch-2.0",
    encoder=_schema_2_0,
    takes_arguments=True,
    arguments_allowed=f"up to {MAX_ARGUMENTS} texts",
)
