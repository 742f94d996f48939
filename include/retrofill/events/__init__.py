"""Event shapes: turn items into the payload that the function knows from its live trigger."""

from retrofill.events.context import EventContext
from retrofill.events.fields import json_string, uuid_of
from retrofill.events.form import ROW, ItemForm
from retrofill.events.shape import MAX_ITEMS, CompiledShape, Encoder, EventShape, each, listed
from retrofill.events.shapes import (
    AUTO,
    SHAPES,
    compile_shape,
    default_shape,
    names_in_words,
    need_no_trigger,
    offered,
    with_arguments,
)

__all__ = [
    "AUTO",
    "MAX_ITEMS",
    "ROW",
    "SHAPES",
    "CompiledShape",
    "Encoder",
    "EventContext",
    "EventShape",
    "ItemForm",
    "compile_shape",
    "default_shape",
    "each",
    "json_string",
    "listed",
    "names_in_words",
    "need_no_trigger",
    "offered",
    "uuid_of",
    "with_arguments",
]
