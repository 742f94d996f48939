"""The demo's part of AWS: two buckets, a function, its trigger, and a topic with a queue."""

import io
import json
import os
import zipfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import boto3
from botocore.config import Config

from demo.functions import word_count
from demo.objects import StoredObject
from stack.settings import Settings

_PUTS_AT_ONCE = 8
_QUEUE_WAIT_S = 20  # the longest poll of SQS


class Output(NamedTuple):
    """An object that the function wrote."""

    key: str
    etag: str
    modified_at: datetime


class Aws:
    """Creates and reads the demo's resources in the emulator; every demo uses new names.

    :param name: the prefix of the names
    """

    def __init__(self, settings: Settings, name: str) -> None:
        session = boto3.Session(
            aws_access_key_id="test",
            aws_secret_access_key="test",  # noqa: S106  the emulator accepts any
            region_name=os.environ.get("AWS_DEFAULT_REGION") or "us-east-1",
        )
        where: dict[str, Any] = {
            "endpoint_url": settings.aws_endpoint_url,
            "config": Config(max_pool_connections=_PUTS_AT_ONCE),
        }
        self._s3 = session.client("s3", **where)
        self._lambda = session.client("lambda", **where)
        self._sns = session.client("sns", **where)
        self._sqs = session.client("sqs", **where)
        self.bucket = name
        self.output_bucket = f"{name}-output"
        self.function = f"{name}-word-count"
        self._function_arn = ""
        self._queue_url = ""

    def create_buckets(self) -> None:
        """Create the bucket of the objects, and the one that the function writes to."""
        self._s3.create_bucket(Bucket=self.bucket)
        self._s3.create_bucket(Bucket=self.output_bucket)

    def put(self, objects: Iterable[StoredObject]) -> None:
        """Put objects into the bucket."""

        def put(stored: StoredObject) -> None:
            self._s3.put_object(Bucket=self.bucket, Key=stored.key, Body=stored.body)

        with ThreadPoolExecutor(_PUTS_AT_ONCE) as pool:
            for _ in pool.map(put, objects):
                pass

    def deploy_function(self) -> None:
        """Deploy the function from its file, and wait until it may be called."""
        source = Path(word_count.__file__)
        package = io.BytesIO()
        with zipfile.ZipFile(package, "w") as archive:
            archive.write(source, source.name)
        made = self._lambda.create_function(
            FunctionName=self.function,
            Runtime="python3.11",
            Handler=f"{source.stem}.{word_count.handler.__name__}",
            Role="arn:aws:iam::000000000000:role/demo",
            Code={"ZipFile": package.getvalue()},
            Environment={"Variables": {"OUTPUT_BUCKET": self.output_bucket}},
            Timeout=30,
        )
        self._function_arn = made["FunctionArn"]
        self._lambda.get_waiter("function_active_v2").wait(
            FunctionName=self.function, WaiterConfig={"Delay": 1}
        )

    def attach_trigger(self) -> None:
        """Make the bucket call the function for each new object."""
        self._lambda.add_permission(
            FunctionName=self.function,
            StatementId="live-trigger",
            Action="lambda:InvokeFunction",
            Principal="s3.amazonaws.com",
            SourceArn=f"arn:aws:s3:::{self.bucket}",
        )
        self._s3.put_bucket_notification_configuration(
            Bucket=self.bucket,
            NotificationConfiguration={
                "LambdaFunctionConfigurations": [
                    {"LambdaFunctionArn": self._function_arn, "Events": ["s3:ObjectCreated:*"]}
                ]
            },
        )

    def outputs(self) -> list[Output]:
        """List the objects that the function wrote."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self.output_bucket)
        return [
            Output(listed["Key"], listed["ETag"], listed["LastModified"])
            for page in pages
            for listed in page.get("Contents", [])
        ]

    def open_mailbox(self) -> str:
        """Create a topic with a subscribed queue; return the topic's ARN."""
        topic_arn = self._sns.create_topic(Name=self.bucket)["TopicArn"]
        self._queue_url = self._sqs.create_queue(QueueName=self.bucket)["QueueUrl"]
        attributes = self._sqs.get_queue_attributes(
            QueueUrl=self._queue_url, AttributeNames=["QueueArn"]
        )
        queue_arn = attributes["Attributes"]["QueueArn"]
        self._sns.subscribe(TopicArn=topic_arn, Protocol="sqs", Endpoint=queue_arn)
        return topic_arn

    def received(self) -> list[dict[str, Any]]:
        """Take all notifications from the queue; wait up to 20 s for the first."""
        taken: list[dict[str, Any]] = []
        wait_s = _QUEUE_WAIT_S
        while messages := self._sqs.receive_message(
            QueueUrl=self._queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=wait_s
        ).get("Messages"):
            for message in messages:
                taken.append(json.loads(json.loads(message["Body"])["Message"]))
                self._sqs.delete_message(
                    QueueUrl=self._queue_url, ReceiptHandle=message["ReceiptHandle"]
                )
            wait_s = 0
        return taken
