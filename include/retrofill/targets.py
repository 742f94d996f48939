"""The targets of a notification: connections and SNS topics.

A connection may name any Airflow notifier, of a provider or your own. Its extra then has
``{"notifier": "dotted.path.Class", "kwargs": {…}}``. Texts in ``kwargs`` are templates, as for
every notifier. They know only ``title``, ``text``, ``link``, ``page`` and ``report``.

Apprise and Amazon's provider take a fifth of a second to import, so import this module where it is
needed.
"""

import json
import logging
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.hooks.sns import SnsHook
from airflow.providers.apprise.hooks.apprise import AppriseHook
from airflow.sdk import BaseNotifier
from apprise import Apprise, NotifyFormat

from retrofill.aws.refusals import NO_CREDENTIALS
from retrofill.compat import AirflowNotFoundException
from retrofill.model.errors import NotNotified

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient

log = logging.getLogger(__name__)

_SUBJECT_CHARS = 99
_PROGRAMS = ("http", "https", "lambda", "sqs", "firehose")
"""The SNS protocols of programs, which get the report as JSON."""

_NOTIFIER = "notifier"
_KWARGS = "kwargs"


def problem_of_connection(conn_id: str) -> str | None:
    """Return why a connection cannot notify; None: it can."""
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


def problem_of_topic(aws_conn_id: str, topic_arn: str) -> str | None:
    """Look up a topic; return why it cannot be used, or None.

    Without permission to look it up, publishing to it may still be permitted.

    Source: https://docs.aws.amazon.com/sns/latest/api/API_GetTopicAttributes.html.
    """
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


def send(conn_id: str, title: str, text: str, fields: Mapping[str, Any]) -> None:
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


def publish(
    aws_conn_id: str, topic_arn: str, title: str, text: str, fields: Mapping[str, Any]
) -> None:
    """Publish to SNS: text for people, JSON for programs.

    Source: https://docs.aws.amazon.com/sns/latest/api/API_Publish.html, MessageStructure.
    """
    message = {"default": text, **dict.fromkeys(_PROGRAMS, json.dumps(fields))}
    sns: SNSClient = SnsHook(aws_conn_id=aws_conn_id).get_conn()  # type: ignore[no-untyped-call]
    response = sns.publish(
        TopicArn=topic_arn,
        Subject=subject_of(title),
        MessageStructure="json",
        Message=json.dumps(message),
    )
    log.info("published to %s as %s", topic_arn, response["MessageId"])


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
