"""The notification of a run: who is told, and how."""

import json
import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.configuration import conf
from airflow.providers.amazon.aws.hooks.sns import SnsHook
from airflow.providers.apprise.hooks.apprise import AppriseHook
from apprise import Apprise, NotifyFormat

from include.retrofill.model.config import RunConfig
from include.retrofill.model.errors import NotNotified
from include.retrofill.model.report import Report

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient

log = logging.getLogger(__name__)

_SUBJECT_CHARS = 100
_MACHINES = ("http", "https", "lambda", "sqs", "firehose")
"""The protocols of SNS behind which a program reads: they get the report as JSON."""


def notify(config: RunConfig, report: Report | None, dag_id: str, dag_run_id: str) -> None:
    """Send a run's report to every target its configuration names.

    :param report: the run's counts; None: the run could not be opened
    :raises NotNotified: a target did not take it; another try may reach it
    """
    link = run_link(dag_id, dag_run_id)
    if report is None:
        title = f"Retrofill: {config.job_name} did not start"
        text = f"{title}. See the log of open_run.\nrun {link}"
        fields: dict[str, Any] = {"job": config.job_name, "state": "not started"}
    else:
        title = f"Retrofill: {report.job} is {report.state}"
        text = f"{report.as_text()}\nrun {link}"
        fields = report.as_json()
    fields["link"] = link
    log.info("%s", text)
    if config.notify_sns_topic_arn:
        _publish(config, title, text, json.dumps(fields))
    if config.notify_conn_id:
        _send(config.notify_conn_id, title, text)
        log.info("notified through connection %s", config.notify_conn_id)


def run_link(dag_id: str, dag_run_id: str) -> str:
    """Return the address of a DAG run in Airflow's UI."""
    base = conf.get("api", "base_url", fallback="").rstrip("/")
    return f"{base}/dags/{quote(dag_id)}/runs/{quote(dag_run_id)}"


def _send(conn_id: str, title: str, text: str) -> None:
    """Send by way of Apprise, whose hook in Airflow does not tell whether anybody was reached.

    :raises NotNotified: one of the connection's services did not take it
    """
    hook = AppriseHook(conn_id)
    services = Apprise()
    hook.set_config_from_conn(conn=hook.get_connection(conn_id), apprise_obj=services)
    if not services.notify(title=title, body=text, body_format=NotifyFormat.TEXT, tag="all"):
        raise NotNotified(
            f"notify_conn_id: a service of the connection {conn_id!r} did not take the"
            " notification; Apprise's lines above say why, and the report is in this log, too"
        )


def _publish(config: RunConfig, title: str, text: str, machine_text: str) -> None:
    """Publish to SNS: text for people, JSON for programs.

    Source: https://docs.aws.amazon.com/sns/latest/api/API_Publish.html, MessageStructure.
    """
    message = {"default": text, **dict.fromkeys(_MACHINES, machine_text)}
    sns: SNSClient = SnsHook(aws_conn_id=config.aws_conn_id).get_conn()  # type: ignore[no-untyped-call]
    answer = sns.publish(
        TopicArn=config.notify_sns_topic_arn or "",
        Subject=title.encode("ascii", "replace").decode()[:_SUBJECT_CHARS],
        MessageStructure="json",
        Message=json.dumps(message),
    )
    log.info("published to %s as %s", config.notify_sns_topic_arn, answer["MessageId"])
