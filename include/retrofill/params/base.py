"""Params: the fields that one owner defines, and everything that can be wrong with them."""

import difflib
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple, NoReturn, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from retrofill.model.errors import ConfigError
from retrofill.model.quoting import quoted

Sound: TypeAlias = Callable[..., bool]
"""Returns whether the params with these names have the requested values."""


class Problem(NamedTuple):
    """A problem with one param.

    >>> str(Problem("first", "7 is more than last, 5"))
    'first: 7 is more than last, 5'
    """

    name: str
    """The param."""

    text: str
    """Its value, what is wrong with it, and what to give."""

    def __str__(self) -> str:
        return f"{self.name}: {self.text}"


def refuse(why: str) -> NoReturn:
    """Refuse a value. Its name, the value and what is allowed are added to the reason.

    :raises PydanticCustomError: always
    """
    raise PydanticCustomError("retrofill", "{why}", {"why": why})


def field(section: str, title: str, description: str, **more: Any) -> Any:
    """Return a field with everything that the trigger form shows about it.

    ::

        pages: int = field("Source", "Pages", "How many pages to read.", default=1, ge=1, le=99)

    :param section: the section of the form
    :param description: Markdown without code: Airflow's form draws a box around code, which covers
        parts of the lines above and below
    :param allowed: the allowed values, as the end of a sentence; needed for texts only
    :param form: additions to what the type says, for the form
    :param more: other arguments of pydantic's ``Field``: default, ge, le, examples…
    """
    extra = {"section": section, "allowed": more.pop("allowed", ""), "form": more.pop("form", {})}
    return Field(title=title, description=description, json_schema_extra=extra, **more)


class Params(BaseModel):
    """Params of one owner: a kind of source or function, or a part that all runs have.

    Each field is made by :func:`field`. :meth:`contradictions` finds params that contradict each
    other::

        class Pages(Params):
            first: int = field("Source", "First page", "Where to begin.", default=1, ge=1, le=99)
            last: int = field("Source", "Last page", "Where to end.", default=9, ge=1, le=99)

            def contradictions(self, sound):
                if sound("first", "last") and self.first > self.last:
                    yield Problem("first", f"{self.first} is more than last, {self.last}")
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    def contradictions(self, sound: Sound) -> Iterator[Problem]:
        """Find params that contradict each other.

        :param sound: returns whether params have the requested values; the others have their
            defaults
        """
        del sound
        yield from ()

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> Self:
        """Return the values in a DAG run's params, if this owner has all of them.

        :raises ConfigError: everything that is wrong with them, one sentence each
        """
        known = cls.model_fields
        others = [
            unknown(name, known, difflib.get_close_matches(name, known, n=1))
            for name in params
            if name not in known
        ]
        own = {name: value for name, value in params.items() if name in known}
        found, problems, _ = cls.salvage(own)
        if others or problems:
            raise ConfigError(*map(str, (*others, *problems)))
        return found

    @classmethod
    def form_fields(cls) -> dict[str, dict[str, Any]]:
        """Return, for each field, the arguments of an Airflow ``Param``, as plain values."""
        return {name: form_field(cls, name) for name in cls.model_fields}

    @classmethod
    def salvage(cls, params: Mapping[str, Any]) -> tuple[Self, list[Problem], set[str]]:
        """Return what is right with some params, what is wrong, and which of them are wrong.

        A wrong param gets its default or, if it has none, the first of its examples.
        """
        try:
            return cls.model_validate(params), [], set()
        except ValidationError as error:
            mistakes = error.errors(include_url=False)
        unsound = {str(details["loc"][0]) for details in mistakes}
        problems = list({cls._problem(details): None for details in mistakes})
        right = {name: value for name, value in params.items() if name not in unsound}
        stand_ins = {
            name: one.examples[0]
            for name, one in cls.model_fields.items()
            if name in unsound and one.is_required() and one.examples
        }
        return cls.model_validate(right | stand_ins), problems, unsound

    @classmethod
    def _problem(cls, details: ErrorDetails) -> Problem:
        """Return the problem with one field: what is wrong, the value, and what to give."""
        name = str(details["loc"][0])
        one = cls.model_fields[name]
        give = f"give {allowed_of(cls, name)}"
        if details["type"] == "missing" or (one.is_required() and details["input"] in (None, "")):
            return Problem(name, f"it is missing; {give}")
        why = details["msg"] if details["type"] == "retrofill" else ""
        because = f": {why}" if why else ""
        return Problem(name, f"{quoted(details['input'])} is not allowed{because}; {give}")


def allowed_of(params: type[Params], name: str) -> str:
    """Return the allowed values of a param, as the end of a sentence."""
    one, form = params.model_fields[name], form_field(params, name)
    if "enum" in form:
        return f"one of {', '.join(map(repr, form['enum']))}"
    if "integer" in form["type"]:
        return f"a whole number from {form['minimum']:,} to {form['maximum']:,}"
    if "number" in form["type"]:
        return f"a number from {form['minimum']:,} to {form['maximum']:,}"
    if "boolean" in form["type"]:
        return "true or false"
    if form.get("format") == "date-time":
        return "a date and time with its zone, such as 2026-01-01T00:00:00Z"
    return str(_extra(one)["allowed"])


def form_field(params: type[Params], name: str) -> dict[str, Any]:
    """Return the arguments of an Airflow ``Param`` for a field, as plain values.

    The form's rules are only those that Airflow 3.3's form itself shows or enforces: type, choices,
    least and greatest number, longest text. It would answer any other with "Bad Request".
    """
    one, schema = params.model_fields[name], _schema(params)[name]
    options = schema.get("anyOf", [schema])
    merged: dict[str, Any] = {}
    for option in options:
        merged |= option
    types = [option["type"] for option in options]
    form = {
        # The form of a required param begins empty: Airflow marks it with a star.
        "default": None if one.is_required() else one.default,
        "type": ["null", types[0]] if len(types) > 1 else types[0],
        "title": one.title,
        "description_md": one.description,
        "section": schema["section"],
    }
    rules = ("minimum", "maximum", "enum", "format", "maxLength")
    form |= {rule: merged[rule] for rule in rules if rule in merged} | schema["form"]
    if one.examples and "enum" not in form:
        form["examples"] = one.examples
    return form


def unknown(name: str, known: Collection[str], close: Collection[str]) -> Problem:
    """Return the problem that there is no such param.

    :param known: all params
    :param close: those of them with a similar name
    """
    shown = quoted(name)[1:-1]
    if close:
        return Problem(shown, f"there is no such param; did you mean {next(iter(close))}?")
    return Problem(shown, f"there is no such param; see the trigger form for all {len(known)}")


@cache
def _schema(params: type[Params]) -> dict[str, Any]:
    properties: dict[str, Any] = params.model_json_schema()["properties"]
    return properties


def _extra(one: FieldInfo) -> dict[str, Any]:
    extra = one.json_schema_extra
    return extra if isinstance(extra, dict) else {}
