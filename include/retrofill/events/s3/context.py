"""The facts of a run in events of objects: bucket, account, and the services on the way."""

from dataclasses import dataclass
from typing import Self

from retrofill.aws.arn import Arn, bucket_arn
from retrofill.events.context import EventContext
from retrofill.events.s3.configuration import Configuration
from retrofill.events.s3.fields import BUCKET_OWNER
from retrofill.events.synthetic import one_id

SYNTHETIC = Configuration(id="retrofill")
"""The notification configuration of events that imitate no live trigger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Context:
    """The facts of one run in AWS's terms."""

    bucket: str
    """The bucket that holds the items."""

    region: str
    """The region of function and bucket."""

    account_id: str
    """The 12-digit account of the function, and so of the bucket."""

    owner_id: str
    """The customer that owns the bucket: a synthetic id, made from the account."""

    configurations: tuple[Configuration, ...]
    """The bucket's notification configurations behind the live trigger; at least one."""

    bucket_arn: str
    """The ARN of the bucket, in the partition of the function."""

    queue_arn: str
    """The queue that the live events pass through; empty: none."""

    topic_arn: str
    """The topic that the live events pass through; empty: none."""

    subscription_arn: str
    """The topic's subscription that delivers them; empty: unknown, so a synthetic one is used."""

    @classmethod
    def of(cls, context: EventContext) -> Self:
        """Return the facts of a run whose function is in AWS."""
        function = Arn.parse(context.function.name)
        bucket = context.place.get("bucket", "")
        trigger = context.trigger
        return cls(
            bucket=bucket,
            region=function.region,
            account_id=function.account,
            owner_id=one_id(BUCKET_OWNER, "owner", function.account),
            configurations=tuple(map(Configuration.from_json, trigger.get("configurations", ())))
            or (SYNTHETIC,),
            bucket_arn=bucket_arn(bucket, function.partition),
            queue_arn=trigger.get("queue_arn", ""),
            topic_arn=trigger.get("topic_arn", ""),
            subscription_arn=trigger.get("subscription_arn", ""),
        )
