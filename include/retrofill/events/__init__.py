"""Event shapes: how items become the payload that the function knows from its live trigger."""

from retrofill.events.context import EventContext
from retrofill.events.registry import (
    BY_WAY,
    OFFERED,
    SHAPES,
    compile_shape,
    names_in_words,
    need_no_trigger,
    with_arguments,
)
from retrofill.events.shape import MAX_ITEMS, CompiledShape, EventShape, Way

__all__ = [
    "BY_WAY",
    "MAX_ITEMS",
    "OFFERED",
    "SHAPES",
    "CompiledShape",
    "EventContext",
    "EventShape",
    "Way",
    "compile_shape",
    "names_in_words",
    "need_no_trigger",
    "with_arguments",
]
