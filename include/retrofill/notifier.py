"""The notification of a run: its targets, and how to send it."""

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.configuration import conf
from airflow.providers.amazon.aws.hooks.sns import SnsHook
from airflow.providers.apprise.hooks.apprise import AppriseHook
from apprise import Apprise, NotifyFormat

from retrofill import named_notifier
from retrofill.aws.refusals import NO_CREDENTIALS
from retrofill.compat import AirflowNotFoundException
from retrofill.config import RunConfig
from retrofill.model.errors import ConfigError, NotNotified
from retrofill.model.report import Report

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient

log = logging.getLogger(__name__)

_SUBJECT_CHARS = 99
_MACHINES = ("http", "https", "lambda", "sqs", "firehose")
"""The SNS protocols of programs: they get the report as JSON."""


def check_targets(config: RunConfig) -> None:
    """Look up the targets of the notification, so that a missing one is found at the start.

    :raises ConfigError: a target does not exist, or cannot be used
    """
    if problems := _problems(config):
        raise ConfigError(*problems.values())


def notify(
    config: RunConfig,
    report: Report,
    dag_id: str,
    dag_run_id: str,
    *,
    worst: Sequence[object] = (),
) -> None:
    """Send a run's report to every target in its configuration.

    :param worst: the errors by which most of its items failed, each as a line for people
    :raises NotNotified: a target did not accept it; a retry may succeed
    """
    title = f"Retrofill: {report.job} is {report.status}"
    lines = [report.as_text(config.source_kind.reasons), *(f"failed: {one}" for one in worst)]
    if report.to_do:
        lines.append(f"to do: {report.to_do}")
    _post(config, title, "\n".join(lines), {**report.as_json(), **_addresses(dag_id, dag_run_id)})


def notify_briefly(config: RunConfig, what: str, why: str, dag_id: str, dag_run_id: str) -> None:
    """Send a short message about a DAG run to every usable target, without a report.

    :param config: the valid part of the params
    :param what: what the job does, such as ``did not start``
    :param why: the error, or what it waits for; empty: unknown
    :raises NotNotified: a target did not accept it; a retry may succeed
    """
    usable = config.notification.model_copy(update=dict.fromkeys(_problems(config)))
    config = replace(config, notification=usable)
    job = config.job.job or dag_id
    title = f"Retrofill: {job} {what}"
    text = f"{title}.\n{why or 'See the logs of its tasks.'}"
    fields = {"job": job, "status": what, "error": why}
    _post(config, title, text, {**fields, **_addresses(dag_id, dag_run_id)})


def _addresses(dag_id: str, dag_run_id: str) -> dict[str, str]:
    """Return the addresses of a DAG run in Airflow's UI, and of the page with its charts."""
    run = f"dags/{quote(dag_id, safe='')}/runs/{quote(dag_run_id, safe='')}"
    base = conf.get("api", "base_url", fallback="").rstrip("/")
    return {"link": f"{base}/{run}", "page": f"{base}/retrofill/{run}"}


def _post(config: RunConfig, title: str, text: str, fields: dict[str, Any]) -> None:
    text = f"{text}\nrun {fields['link']}\ncharts {fields['page']}"
    log.info("%s", text)
    errors: list[Exception] = []
    if config.notification.notify_sns_topic_arn:
        with _kept(errors):
            _publish(config, title, text, json.dumps(fields))
    if config.notification.notify_conn_id:
        with _kept(errors):
            _send(config.notification.notify_conn_id, title, text, fields)
            log.info("notified through connection %s", config.notification.notify_conn_id)
    if errors:
        raise NotNotified("; ".join(map(str, errors))) from errors[0]


@contextmanager
def _kept(errors: list[Exception]) -> Iterator[None]:
    """Keep an error, whatever the library raises: the other targets are notified anyway."""
    try:
        yield
    except Exception as error:  # noqa: BLE001  raised once all targets had their turn
        errors.append(error)


def _problems(config: RunConfig) -> dict[str, str]:
    """Return what is wrong with the targets of the notification, by param."""
    asked = config.notification
    topic = asked.notify_sns_topic_arn
    found = {
        "notify_conn_id": _problem_of_connection(asked.notify_conn_id),
        "notify_sns_topic_arn": _problem_of_topic(config.job.aws_conn_id, topic),
    }
    return {name: problem for name, problem in found.items() if problem}


def _problem_of_connection(conn_id: str | None) -> str | None:
    if conn_id is None:
        return None
    try:
        connection = AppriseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        return (
            f"notify_conn_id: Airflow has no connection {conn_id!r}; define it, or give an existing"
            " one of type apprise"
        )
    if named_notifier.is_named(connection.extra_dejson):
        why = named_notifier.problem_of(connection.extra_dejson)
        return why and f"notify_conn_id: the connection {conn_id!r} cannot notify: {why}"
    if connection.conn_type != AppriseHook.conn_type:
        return (
            f"notify_conn_id: the connection {conn_id!r} is of type {connection.conn_type!r};"
            f" give one of type {AppriseHook.conn_type!r}, or one whose extra names a notifier"
        )
    try:
        services = _services(conn_id)
    # The hook lets through any exception that the connection's JSON causes.
    except (AttributeError, LookupError, TypeError, ValueError):
        services = Apprise()
    if not services:
        return (
            f"notify_conn_id: the connection {conn_id!r} names no service that Apprise knows; its"
            ' extra must be {"config": {"path": "URL of the service", "tag": "all"}}, or a list of'
            " these"
        )
    return None


def _problem_of_topic(aws_conn_id: str, topic_arn: str | None) -> str | None:
    """Look up a topic. If that is not permitted, publishing to it may still be.

    Source: https://docs.aws.amazon.com/sns/latest/api/API_GetTopicAttributes.html.
    """
    if topic_arn is None:
        return None
    sns: SNSClient = SnsHook(aws_conn_id=aws_conn_id).get_conn()  # type: ignore[no-untyped-call]
    try:
        sns.get_topic_attributes(TopicArn=topic_arn)
    except sns.exceptions.NotFoundException:
        return f"notify_sns_topic_arn: there is no topic {topic_arn}"
    except sns.exceptions.InvalidParameterException as error:
        return f"notify_sns_topic_arn: {topic_arn} cannot be used ({error})"
    except (sns.exceptions.ClientError, *NO_CREDENTIALS) as error:
        log.warning("the topic %s could not be looked up: %s", topic_arn, error)
    return None


def _services(conn_id: str) -> Apprise:
    hook = AppriseHook(conn_id)
    services = Apprise()
    hook.set_config_from_conn(conn=hook.get_connection(conn_id), apprise_obj=services)
    return services


def _send(conn_id: str, title: str, text: str, fields: dict[str, Any]) -> None:
    """Send by the notifier that a connection names, or via Apprise.

    Apprise's hook in Airflow does not report whether it reached anyone.

    :raises NotNotified: one of the connection's services did not accept it
    """
    extra = AppriseHook.get_connection(conn_id).extra_dejson
    if named_notifier.is_named(extra):
        said = {"title": title, "text": text, "report": fields}
        named_notifier.send(extra, {**said, "link": fields["link"], "page": fields["page"]})
        return
    if not _services(conn_id).notify(
        title=title, body=text, body_format=NotifyFormat.TEXT, tag="all"
    ):
        raise NotNotified(
            f"notify_conn_id: a service of the connection {conn_id!r} did not take the"
            " notification; Apprise's lines above say why, and the report is in this log, too"
        )


def subject_of(title: str) -> str:
    """Return a title as a valid SNS subject: printable ASCII, less than 100 characters.

    Source: https://docs.aws.amazon.com/sns/latest/api/API_Publish.html, Subject.
    """
    plain = title.replace("→", "->").encode("ascii", "replace").decode()
    return "".join(char if char.isprintable() else " " for char in plain)[:_SUBJECT_CHARS]


def _publish(config: RunConfig, title: str, text: str, machine_text: str) -> None:
    """Publish to SNS: text for people, JSON for programs.

    Source: https://docs.aws.amazon.com/sns/latest/api/API_Publish.html, MessageStructure.
    """
    topic = config.notification.notify_sns_topic_arn or ""
    message = {"default": text, **dict.fromkeys(_MACHINES, machine_text)}
    sns: SNSClient = SnsHook(aws_conn_id=config.job.aws_conn_id).get_conn()  # type: ignore[no-untyped-call]
    answer = sns.publish(
        TopicArn=topic,
        Subject=subject_of(title),
        MessageStructure="json",
        Message=json.dumps(message),
    )
    log.info("published to %s as %s", topic, answer["MessageId"])
