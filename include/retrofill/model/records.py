"""Records as JSON: make a pydantic model of a frozen dataclass or NamedTuple.

REST and the command line return what the state returns, without a second description: names, types
and field docstrings become the schema.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterable
from dataclasses import is_dataclass
from functools import reduce
from itertools import pairwise
from operator import or_
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model

_MODELS: dict[type[object], type[BaseModel]] = {}


def model_of(record: type[object]) -> type[BaseModel]:
    """Return the pydantic model of a record, which also validates one from its attributes."""
    if record not in _MODELS:
        _MODELS[record] = _made_of(record)
    return _MODELS[record]


def _made_of(record: type[object]) -> type[BaseModel]:
    notes = notes_of(record)
    fields: dict[str, Any] = {
        name: (_converted(hint), Field(description=notes.get(name)))
        for name, hint in get_type_hints(record).items()
    }
    return create_model(
        record.__name__.removeprefix("_"),
        __config__=ConfigDict(from_attributes=True),
        __doc__=inspect.getdoc(record),
        **fields,
    )


def as_json(record: object) -> dict[str, Any]:
    """Return a record as plain JSON values."""
    return model_of(type(record)).model_validate(record).model_dump(mode="json")


def all_as_json(records: Iterable[object]) -> list[dict[str, Any]]:
    """Return records as plain JSON values."""
    return [as_json(record) for record in records]


def _converted(hint: Any) -> Any:
    """Return a type in which models replace records."""
    if isinstance(hint, type) and (is_dataclass(hint) or _is_named_tuple(hint)):
        return model_of(hint)
    origin, inner = get_origin(hint), get_args(hint)
    if origin is None or origin is Annotated:
        return hint
    converted = tuple(_converted(one) for one in inner)
    if origin in {Union, UnionType}:
        return reduce(or_, converted)
    return hint if converted == inner else origin[converted]


def _is_named_tuple(hint: type[Any]) -> bool:
    return issubclass(hint, tuple) and hasattr(hint, "_fields")


def notes_of(described: type[object]) -> dict[str, str]:
    """Return the docstrings below the fields or members of a class, by name."""
    (defined,) = ast.parse(textwrap.dedent(inspect.getsource(described))).body
    body = defined.body if isinstance(defined, ast.ClassDef) else []
    return {
        name: " ".join(inspect.cleandoc(note.value.value).split())
        for field, note in pairwise(body)
        if isinstance(note, ast.Expr)
        and isinstance(note.value, ast.Constant)
        and isinstance(note.value.value, str)
        for name in _names(field)
    }


def _names(field: ast.stmt) -> list[str]:
    """Return the names that a class statement assigns or annotates."""
    targets = field.targets if isinstance(field, ast.Assign) else [getattr(field, "target", None)]
    return [target.id for target in targets if isinstance(target, ast.Name)]
