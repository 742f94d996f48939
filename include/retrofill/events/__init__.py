"""Event shapes: how items become the payload that the function knows from its live trigger."""

from include.retrofill.events.context import EventContext
from include.retrofill.events.shapes import (
    OF_RECORDS,
    SHAPES,
    Shape,
    compile_shape,
    default_items,
    max_items,
)

__all__ = [
    "OF_RECORDS",
    "SHAPES",
    "EventContext",
    "Shape",
    "compile_shape",
    "default_items",
    "max_items",
]
