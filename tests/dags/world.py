"""A bucket, a function and an Airflow set up for both, for whole runs of a DAG."""

import json
import zipfile
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg2

from tests.dags.run_dag import REJECT, run_dag

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

HANDLER = """
import json, os, urllib.parse
import boto3

def handle(event, context):
    s3 = boto3.client("s3", endpoint_url=os.environ.get("AWS_ENDPOINT_URL"))
    for record in event["Records"]:
        key = urllib.parse.unquote_plus(record["s3"]["object"]["key"])
        if "poison" in key:
            raise ValueError("poison: " + key)
        s3.put_object(Bucket=os.environ["OUT"], Key=context.aws_request_id + "/" + key, Body=b"1")
"""
_JOBS = {
    "name": "jobs",
    "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
    "kwargs": {"path": str(Path(__file__).parent / "jobs")},
}
TASKS = [
    "open_run", "list_partitions", "enqueue", "plan_batches", "invoke", "close_run", "next_set",
    "notify",
]  # fmt: skip


@dataclass
class World:
    """A bucket, a function that leaves a trace of each object, and an Airflow set up for both."""

    bucket: str
    function: str
    dsn: str
    environment: dict[str, str]
    s3: "S3Client"
    function_arn: str

    def attach_trigger(self, suffix: str) -> None:
        rule = {"Name": "suffix", "Value": suffix}
        self.s3.put_bucket_notification_configuration(
            Bucket=self.bucket,
            NotificationConfiguration={
                "LambdaFunctionConfigurations": [
                    {
                        "Id": "new-objects",
                        "LambdaFunctionArn": self.function_arn,
                        "Events": ["s3:ObjectCreated:*"],
                        "Filter": {"Key": {"FilterRules": [rule]}},  # type: ignore[list-item]
                    }
                ]
            },
        )

    def put(self, *keys: str) -> None:
        for key in keys:
            self.s3.put_object(Bucket=self.bucket, Key=key, Body=key.encode())

    def outputs(self) -> list[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=f"{self.bucket}-out")
        found = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        return sorted(key.partition("/")[2] for key in found)

    def run(self, user: Callable[[str], str] = lambda _: REJECT, **params: Any) -> dict[str, str]:
        """Run the DAG; return the final state of its tasks and of the run.

        :param user: answers a request to approve a plan, by its text
        """
        asked = {"bucket": self.bucket, "prefix": "in/", "function": self.function, "event": "s3"}
        return run_dag(self.environment, asked | params, user=user)

    def run_job(self, conf: dict[str, Any], **settings: str) -> dict[str, str]:
        """Trigger the DAG of a job file with this bucket and function.

        :param settings: for Airflow, as environment variables
        """
        job = {
            "SAMPLE_BUCKET": self.bucket,
            "SAMPLE_FUNCTION": self.function,
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([_JOBS]),
        }
        return run_dag(self.environment | job | settings, conf, "tests.dags.jobs.sample_job:dag")

    def run_next_set(self) -> dict[str, str]:
        """Make the DAG run that next_set requested, with an id that Airflow derives from a date.

        Its conf is another's: a run's work is fixed when it opens.
        """
        moment = datetime.now(UTC)
        statement = "UPDATE retrofill.run_set SET dag_run_id = %s WHERE dag_run_id LIKE %s"
        with closing(psycopg2.connect(self.dsn)) as conn, conn, conn.cursor() as cur:
            cur.execute(statement, (f"manual__{moment.isoformat()}", "retrofill__run_%"))
            assert cur.rowcount == 1
        others = {"bucket": "not-asked", "function": "not-asked", "preview": True}
        return run_dag(self.environment, others, run_after=moment)

    def report(self) -> Mapping[str, Any]:
        """Return the newest run's row of the public view."""
        with closing(psycopg2.connect(self.dsn)) as conn, conn.cursor() as cur:
            cur.execute("SELECT row_to_json(v) FROM retrofill.v_run v ORDER BY run_id DESC LIMIT 1")
            row = cur.fetchone()
        assert row is not None
        report: Mapping[str, Any] = row[0]
        return report


def zipped(handler: str) -> bytes:
    code = BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("handler.py", handler)
    return code.getvalue()
