"""The notification of a run: its targets, and how to send it.

A connection may name any Airflow notifier, of a provider or your own. Its extra then has
``{"notifier": "dotted.path.Class", "kwargs": {…}}``. Texts in ``kwargs`` are templates, as for
every notifier. They know only ``title``, ``text``, ``link``, ``page`` and ``report``.
"""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.configuration import conf
from airflow.providers.amazon.aws.hooks.sns import SnsHook
from airflow.providers.apprise.hooks.apprise import AppriseHook
from airflow.sdk import BaseNotifier
from apprise import Apprise, NotifyFormat

from retrofill.aws.refusals import NO_CREDENTIALS
from retrofill.compat import AirflowNotFoundException
from retrofill.config import RunConfig
from retrofill.model.errors import ConfigError, NotNotified
from retrofill.model.report import Report

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient

log = logging.getLogger(__name__)

_SUBJECT_CHARS = 99
_PROGRAMS = ("http", "https", "lambda", "sqs", "firehose")
"""The SNS protocols of programs, which get the report as JSON."""

_NOTIFIER = "notifier"
_KWARGS = "kwargs"


def check_targets(config: RunConfig) -> None:
    """Check that the targets of the notification exist, before the run does anything.

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

    :param worst: the most frequent errors of its items, one line each
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
    :param what: the end of the title, such as ``did not start``
    :param why: the reason; empty: unknown
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
    targets: list[Callable[[], None]] = []
    if config.notification.notify_sns_topic_arn:
        targets.append(partial(_publish, config, title, text, json.dumps(fields)))
    if config.notification.notify_conn_id:
        targets.append(partial(_send, config.notification.notify_conn_id, title, text, fields))
    errors = []
    for send in targets:
        try:
            send()
        except Exception as error:  # noqa: BLE001  a library's, raised after the other targets
            errors.append(error)
    if errors:
        raise NotNotified("; ".join(map(str, errors))) from errors[0]


def _problems(config: RunConfig) -> dict[str, str]:
    targets = config.notification
    found = {
        "notify_conn_id": _problem_of_connection(targets.notify_conn_id),
        "notify_sns_topic_arn": _problem_of_topic(
            config.job.aws_conn_id, targets.notify_sns_topic_arn
        ),
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
    if _NOTIFIER in connection.extra_dejson:
        why = _problem_of_notifier(connection.extra_dejson)
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
    """Look up a topic. Without permission for that, publishing to it may still be permitted.

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


def _problem_of_notifier(extra: Mapping[str, Any]) -> str:
    path, kwargs = extra[_NOTIFIER], extra.get(_KWARGS, {})
    if not (isinstance(path, str) and "." in path and isinstance(kwargs, dict)):
        return 'its extra must be {"notifier": "dotted.path.Class", "kwargs": {…}}'
    try:
        _notifier(extra)
    except Exception as error:  # noqa: BLE001  its module and its own checks may raise anything
        return f"{path!r} is not a notifier that can be made from its kwargs ({error})"
    return ""


def _notifier(extra: Mapping[str, Any]) -> BaseNotifier:
    module, _, name = extra[_NOTIFIER].rpartition(".")
    named = getattr(import_module(module), name)
    if not (isinstance(named, type) and issubclass(named, BaseNotifier)):
        raise TypeError("it is not a subclass of airflow.sdk.BaseNotifier")
    made: BaseNotifier = named(**extra.get(_KWARGS, {}))
    return made


def _services(conn_id: str) -> Apprise:
    hook = AppriseHook(conn_id)
    services = Apprise()
    hook.set_config_from_conn(conn=hook.get_connection(conn_id), apprise_obj=services)
    return services


def _send(conn_id: str, title: str, text: str, fields: dict[str, Any]) -> None:
    """Send through the notifier that a connection names, or through Apprise.

    Not through Apprise's hook in Airflow, which does not report whether anyone was reached.

    :raises NotNotified: one of the connection's services did not accept it
    """
    extra = AppriseHook.get_connection(conn_id).extra_dejson
    if _NOTIFIER in extra:
        addresses = {"link": fields["link"], "page": fields["page"]}
        _notifier(extra)({"title": title, "text": text, "report": fields, **addresses})
    elif not _services(conn_id).notify(
        title=title, body=text, body_format=NotifyFormat.TEXT, tag="all"
    ):
        raise NotNotified(
            f"notify_conn_id: a service of the connection {conn_id!r} did not accept the"
            " notification; Apprise's lines above show why, and this log also has the report"
        )
    log.info("notified through connection %s", conn_id)


def subject_of(title: str) -> str:
    """Return a title as a valid SNS subject: printable ASCII, less than 100 characters.

    Source: https://docs.aws.amazon.com/sns/latest/api/API_Publish.html, Subject.
    """
    plain = title.replace("→", "->").encode("ascii", "replace").decode()
    return "".join(char if char.isprintable() else " " for char in plain)[:_SUBJECT_CHARS]


def _publish(config: RunConfig, title: str, text: str, json_text: str) -> None:
    """Publish to SNS: text for people, JSON for programs.

    Source: https://docs.aws.amazon.com/sns/latest/api/API_Publish.html, MessageStructure.
    """
    topic = config.notification.notify_sns_topic_arn or ""
    message = {"default": text, **dict.fromkeys(_PROGRAMS, json_text)}
    sns: SNSClient = SnsHook(aws_conn_id=config.job.aws_conn_id).get_conn()  # type: ignore[no-untyped-call]
    response = sns.publish(
        TopicArn=topic,
        Subject=subject_of(title),
        MessageStructure="json",
        Message=json.dumps(message),
    )
    log.info("published to %s as %s", topic, response["MessageId"])
