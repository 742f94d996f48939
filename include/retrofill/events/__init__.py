"""Event shapes: how items become the payload that the function knows from its live trigger."""

from retrofill.events.context import EventContext
from retrofill.events.registry import (
    AUTO,
    BY_WAY,
    SHAPES,
    compile_shape,
    default_shape,
    names_in_words,
    need_no_trigger,
    offered,
    with_arguments,
)
from retrofill.events.shape import MAX_ITEMS, CompiledShape, EventShape, Way

__all__ = [
    "AUTO",
    "BY_WAY",
    "MAX_ITEMS",
    "SHAPES",
    "CompiledShape",
    "EventContext",
    "EventShape",
    "Way",
    "compile_shape",
    "default_shape",
    "names_in_words",
    "need_no_trigger",
    "offered",
    "with_arguments",
]
