"""What the events of one run have in common: where its items are and what calls the function."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class EventContext:
    """The facts of one run that its events tell beside the item."""

    bucket: str
    """The bucket that holds the items."""

    region: str
    """The AWS region of the bucket."""

    account_id: str
    """The 12-digit AWS account that owns the bucket."""

    bucket_owner: str
    """The principal id of the bucket's owner."""

    configuration_id: str
    """The id of the bucket's notification configuration that the live trigger hangs on."""

    function_arn: str
    """The function that is called; its ARN also tells the AWS partition."""

    job: str
    """The job's name."""

    run_id: int
    """The run's number."""

    queue_arn: str = ""
    """The queue that the live events pass through; only for shapes by way of SQS."""

    topic_arn: str = ""
    """The topic that the live events pass through; only for shapes by way of SNS."""

    subscription_arn: str = ""
    """The topic's subscription by which they come; empty: not known, and one is made up."""

    stream_arn: str = ""
    """The stream that the live events come from; only for shapes of streams."""

    arguments: Mapping[str, object] = field(default_factory=dict)
    """Constants for the function; only for shapes that have a place for them."""
