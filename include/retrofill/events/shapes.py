"""All event shapes by name, and selections of them."""

from collections.abc import Iterable, Mapping

from retrofill.events import cloudevents, plain, records
from retrofill.events.context import EventContext
from retrofill.events.s3 import batch_operations, eventbridge, notification, relays
from retrofill.events.shape import CompiledShape, EventShape
from retrofill.model.errors import ConfigError
from retrofill.model.registry import Registry

SHAPES: Mapping[str, EventShape] = Registry(
    {
        "s3": notification.S3,
        "s3-sqs": relays.S3_SQS,
        "s3-sns": relays.S3_SNS,
        "s3-sns-sqs": relays.S3_SNS_SQS,
        "eventbridge": eventbridge.EVENTBRIDGE,
        "eventbridge-sqs": relays.EVENTBRIDGE_SQS,
        "eventbridge-sns": relays.EVENTBRIDGE_SNS,
        "eventbridge-sns-sqs": relays.EVENTBRIDGE_SNS_SQS,
        "s3-batch-1.0": batch_operations.S3_BATCH_1_0,
        "s3-batch-2.0": batch_operations.S3_BATCH_2_0,
        "items": plain.ITEMS,
        "cloudevents": cloudevents.STRUCTURED,
        "cloudevents-batch": cloudevents.BATCHED,
        "cloudevents-binary": cloudevents.BINARY,
        "sqs": records.SQS,
        "kinesis": records.KINESIS,
        "dynamodb": records.DYNAMODB,
    },
    EventShape,
    "retrofill.events",
)
"""All event shapes by name: built-in ones, and those of packages with this entry point group."""

AUTO = "auto"
"""The value of ``event`` that asks for the shape of the live trigger."""


def offered(form: str) -> list[EventShape]:
    """Return the shapes that items of a form can fill."""
    return [shape for shape in SHAPES.values() if not shape.forms or form in shape.forms]


def default_shape() -> EventShape:
    """Return the default shape of calls that imitate no live trigger."""
    return plain.ITEMS


def names_in_words(shapes: Iterable[EventShape], last: str = "and") -> str:
    """Return the names of shapes for a sentence: ``s3, eventbridge and items``."""
    *others, final = [shape.name for shape in shapes]
    return f"{', '.join(others)} {last} {final}" if others else final


def need_no_trigger(carrier: str) -> list[EventShape]:
    """Return the shapes that a kind of function can receive without a live trigger."""
    return [
        shape
        for shape in SHAPES.values()
        if not (shape.needs_trigger or shape.content) and shape.is_carried_by([carrier])
    ]


def with_arguments() -> list[EventShape]:
    """Return the shapes that have a place for arguments."""
    return [shape for shape in SHAPES.values() if shape.takes_arguments]


def compile_shape(name: str, context: EventContext) -> CompiledShape:
    """Return the event shape with this name for a run.

    :raises ConfigError: there is no such shape, or the context lacks what it needs
    """
    shape = SHAPES.get(name)
    if shape is None:
        raise ConfigError(f"event: {name!r} is not allowed; give one of {', '.join(SHAPES)}")
    if context.arguments and not shape.takes_arguments:
        raise ConfigError(
            f"arguments: the event shape {name} has no place for them; leave them empty, or give"
            f" one of the shapes {', '.join(one.name for one in with_arguments())}"
        )
    return shape.compile(context)
