"""The params of the notification: where the report of a run goes."""

from typing import Annotated

from pydantic import AfterValidator

from retrofill.model.permission import Permission
from retrofill.params.base import Params, field, refuse
from retrofill.params.texts import BLANK, ConnectionId, Text, matching

NOTIFICATION = "Notification"

_TOPIC = r"arn:aws[a-z\-]*:sns:[a-z0-9\-]+:\d{12}:[a-zA-Z0-9\-_]{1,256}"


def _topic(text: str) -> str:
    if text.endswith(".fifo"):
        refuse("it is a FIFO topic, whose messages need a group")
    return matching(_TOPIC, text)


class NotificationParams(Params):
    """Where the report of a run goes."""

    notify_sns_topic_arn: Annotated[Annotated[Text, AfterValidator(_topic)] | None, BLANK] = field(
        NOTIFICATION,
        "SNS topic",
        "Receives the report at the end: text for people, JSON for queues, functions and HTTP.",
        allowed="the ARN of a standard SNS topic",
        form={"maxLength": 400},
        default=None,
        examples=["arn:aws:sns:us-east-1:123456789012:backfills"],
    )
    notify_conn_id: Annotated[ConnectionId | None, BLANK] = field(
        NOTIFICATION,
        "Connection",
        "An Airflow connection of type Apprise (mail, chat, webhook and many more), or one whose"
        " extra names any Airflow notifier.",
        allowed="the id of an Airflow connection",
        form={"maxLength": 200},
        default=None,
        examples=["apprise_default"],
    )


_THE_TOPIC = "arn:aws:sns:eu-central-1:123456789012:backfills"

PERMISSIONS = (
    Permission("sns:Publish", _THE_TOPIC, "for `notify_sns_topic_arn`"),
    Permission(
        "sns:GetTopicAttributes",
        _THE_TOPIC,
        "for `notify_sns_topic_arn`; without it, a missing topic shows only at the end",
    ),
)
"""The permissions that the role needs. An encrypted topic also needs kms:GenerateDataKey and
kms:Decrypt on its key."""
