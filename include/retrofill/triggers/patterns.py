"""Event patterns: the filters of EventBridge rules, mappings and topic policies.

Syntax: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html.
The details are those of AWS's own engine: https://github.com/aws/event-ruler. It sees an event as
its leaves: texts, numbers, booleans and nulls, each under the names on its path, joined by dots. A
list has no name of its own, and an empty value has no leaves.
https://docs.aws.amazon.com/sns/latest/dg/sns-subscription-filter-policies.html has the same
operators, or fewer.
"""

import ipaddress
import json
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from retrofill.model.errors import ConfigError

Test: TypeAlias = Callable[[Any], bool]
"""Returns whether a value passes; a missing one is :data:`MISSING`."""

MISSING = object()
"""The value of a field that the event does not have."""


@dataclass(frozen=True, slots=True)
class TextLike:
    """A text of which only the beginning and the end are known. It passes a test if it may."""

    begin: str = ""
    end: str = ""

    def may_begin(self, text: str) -> bool:
        """Return whether it may begin with a text."""
        return self.begin.startswith(text) or text.startswith(self.begin)

    def may_end(self, text: str) -> bool:
        """Return whether it may end with a text."""
        return self.end.endswith(text) or text.endswith(self.end)

    def may_be(self, text: str) -> bool:
        """Return whether it may be a text."""
        return text.startswith(self.begin) and text.endswith(self.end)

    def spelled(self, spell: Callable[[str], str]) -> "TextLike":
        """Return it in another spelling, which is made character by character."""
        return TextLike(spell(self.begin), spell(self.end))


_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def compile_pattern(pattern: Mapping[str, Any], *, missing_passes: bool = False) -> Test:
    """Return a check if an event, as JSON values, matches a pattern.

    :param missing_passes: whether any field may be missing, for an event that is known in part
    :raises ConfigError: the pattern is malformed, or has an unknown operator
    """
    inner = partial(compile_pattern, missing_passes=missing_passes)
    tests: list[Test] = []
    for name, wanted in _without_dots(pattern):
        if name == "$or":
            tests.append(_any([inner(_object(one, "$or")) for one in wanted]))
        elif isinstance(wanted, Mapping):
            tests.append(_field(name, _inside(inner(wanted)), missing_passes=missing_passes))
        elif isinstance(wanted, list):
            values = _of_values([_value_test(one, name) for one in wanted])
            tests.append(_field(name, values, missing_passes=missing_passes))
        else:
            raise ConfigError(
                f"event: the trigger's pattern has {_shown(wanted)} for {name!r}; a pattern has"
                " only lists and objects"
            )
    return lambda event: all(test(event) for test in tests)


def fields_of(pattern: Mapping[str, Any]) -> Iterator[tuple[str, list[Any]]]:
    """Yield each field that a pattern asks for: its own name, and the wanted values."""
    for name, wanted in _without_dots(pattern):
        if name == "$or":
            for one in wanted:
                yield from fields_of(_object(one, name))
        elif isinstance(wanted, Mapping):
            yield from fields_of(wanted)
        elif isinstance(wanted, list):
            yield name, wanted


def _without_dots(pattern: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield what a pattern wants for each name; a name with a dot leads into an object."""
    for name, wanted in pattern.items():
        first, _, rest = name.partition(".")
        yield first, {rest: wanted} if rest else wanted


def _object(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(
            f"event: the trigger's pattern has {_shown(value)} in {name!r}, where only objects are"
            " allowed"
        )
    return value


def _any(tests: Iterable[Test]) -> Test:
    tests = list(tests)
    return lambda value: any(test(value) for test in tests)


def _field(name: str, test: Test, *, missing_passes: bool) -> Test:
    def of_field(event: Any) -> bool:
        value = event.get(name, MISSING) if isinstance(event, Mapping) else MISSING
        return (missing_passes and value is MISSING) or test(value)

    return of_field


def _inside(test: Test) -> Test:
    """Match an object, or one of a list; anything else has no fields."""

    def inside(value: Any) -> bool:
        if isinstance(value, list) and value:
            return any(map(inside, value))
        return test(value)

    return inside


def _of_values(tests: list[Test]) -> Test:
    """Match if a leaf passes a test; if there is none, match if its absence does."""
    any_of = _any(tests)
    return lambda value: any(map(any_of, _leaves(value) or [MISSING]))


def _leaves(value: Any) -> list[Any]:
    """Return the values directly under a name; the fields of an object have names of their own."""
    if isinstance(value, list):
        return [leaf for one in value for leaf in _leaves(one)]
    return [] if value is MISSING or isinstance(value, Mapping) else [value]


def _value_test(wanted: Any, name: str) -> Test:
    if not isinstance(wanted, Mapping):
        return _equals(wanted)
    if len(wanted) != 1:
        raise ConfigError(
            f"event: the trigger's pattern has {_shown(wanted)} for {name!r}; a matcher has one"
            " operator"
        )
    ((kind, operand),) = wanted.items()
    make = _OPERATORS.get(kind)
    if make is None:
        known = ", ".join(_OPERATORS)
        raise ConfigError(
            f"event: the trigger's pattern has the unknown operator {kind!r} for {name!r}; known"
            f" operators are {known}. Give event, and filter by key_glob or size"
        )
    try:
        return make(operand)
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise ConfigError(
            f"event: the trigger's pattern has {_shown(wanted)} for {name!r}, which is malformed"
        ) from error


def _equals(wanted: Any) -> Test:
    def equals(value: Any) -> bool:
        if isinstance(value, TextLike):
            return isinstance(wanted, str) and value.may_be(wanted)
        # True is 1 in Python, but not in JSON.
        return bool(value == wanted) and isinstance(value, bool) is isinstance(wanted, bool)

    return equals


def _text(
    test: Callable[[str], bool],
    may: Callable[[TextLike], bool] = lambda _: True,
    spell: Callable[[str], str] = str,
) -> Test:
    """Test a text, or one that is known in part.

    :param spell: transforms either before the test
    """

    def of_text(value: Any) -> bool:
        if isinstance(value, TextLike):
            return may(value.spelled(spell))
        return isinstance(value, str) and test(spell(value))

    return of_text


def _prefix(operand: Any) -> Test:
    beginning, spell = _operand(operand)
    return _text(
        lambda value: value.startswith(beginning), lambda like: like.may_begin(beginning), spell
    )


def _suffix(operand: Any) -> Test:
    end, spell = _operand(operand)
    return _text(lambda value: value.endswith(end), lambda like: like.may_end(end), spell)


def _operand(operand: Any) -> tuple[str, Callable[[str], str]]:
    """Return a text to compare with, and how the compared text must be spelled."""
    if isinstance(operand, Mapping):
        return operand["equals-ignore-case"].casefold(), str.casefold
    return operand + "", str


def _equals_ignore_case(operand: Any) -> Test:
    folded = operand.casefold()
    return _text(lambda value: value == folded, lambda like: like.may_be(folded), str.casefold)


def _wildcard(operand: Any) -> Test:
    # A star is the only special character, and a backslash escapes it.
    pieces = re.split(r"(\\[*\\]|\*)", operand)
    plain = [piece[1:] if piece[:1] == "\\" else piece for piece in pieces]
    stars = [at for at, piece in enumerate(pieces) if piece == "*"]
    expression = "".join(".*" if at in stars else re.escape(text) for at, text in enumerate(plain))
    first, last = (stars[0], stars[-1] + 1) if stars else (len(plain), 0)
    begin, end = "".join(plain[:first]), "".join(plain[last:])
    return _text(
        lambda value: re.fullmatch(expression, value, re.DOTALL) is not None,
        lambda like: like.may_begin(begin) and like.may_end(end),
    )


def _numeric(operand: Any) -> Test:
    pairs = list(zip(operand[::2], operand[1::2], strict=True))
    tests = [(_COMPARISONS[sign], float(number)) for sign, number in pairs]

    def numeric(value: Any) -> bool:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and all(compare(value, number) for compare, number in tests)

    return numeric


def _exists(operand: Any) -> Test:
    if not isinstance(operand, bool):
        raise TypeError(operand)
    return lambda value: (value is not MISSING) is operand


def _anything_but(operand: Any) -> Test:
    if isinstance(operand, Mapping):
        ((kind, values),) = operand.items()
        make = _OPERATORS[kind]
        tests = [make(one) for one in (values if isinstance(values, list) else [values])]
    else:
        tests = [_equals(one) for one in (operand if isinstance(operand, list) else [operand])]
    return lambda value: (
        isinstance(value, TextLike)
        or (value is not MISSING and not any(test(value) for test in tests))
    )


def _cidr(operand: Any) -> Test:
    network = ipaddress.ip_network(operand)

    def cidr(value: str) -> bool:
        try:
            return ipaddress.ip_address(value) in network
        except ValueError:
            return False

    return _text(cidr)


_OPERATORS: Mapping[str, Callable[[Any], Test]] = {
    "prefix": _prefix,
    "suffix": _suffix,
    "equals-ignore-case": _equals_ignore_case,
    "wildcard": _wildcard,
    "numeric": _numeric,
    "exists": _exists,
    "anything-but": _anything_but,
    "cidr": _cidr,
}


def _shown(value: Any) -> str:
    return json.dumps(value, default=str)[:60]
