"""Check if a live trigger may send items of a run, by what is known of the run's keys."""

from collections.abc import Mapping, Sequence
from functools import partial, reduce
from typing import Any

from retrofill.events import SHAPES
from retrofill.model.globs import ends
from retrofill.triggers.patterns import TextLike, compile_pattern
from retrofill.triggers.trigger import Trigger

_may_match = partial(compile_pattern, missing_passes=True)


def keys_like(prefix: str, pattern: str | None) -> list[TextLike]:
    """Return what is known of a run's keys: each is like one of these.

    :param pattern: shell patterns, separated by bars; None: any key
    """
    found = [
        TextLike(max(prefix, begin, key=len), end)
        for begin, end in ends(pattern)
        if prefix.startswith(begin) or begin.startswith(prefix)
    ]
    # A pattern that cannot match the prefix must not exclude any trigger.
    return found or [TextLike(prefix)]


def may_send(trigger: Trigger, keys: Sequence[TextLike]) -> bool:
    """Return whether the trigger's filters may let through an object with one of these keys.

    :raises ConfigError: a pattern is malformed, or has an unknown operator
    """
    return any(_may_send(trigger, key) for key in keys)


def _may_send(trigger: Trigger, key: TextLike) -> bool:
    live, imitation = trigger.live, SHAPES[trigger.event].imitation
    sender = imitation.sender
    event = _nested(sender.key_path, key.spelled(sender.spell))
    message = {"body": event} if imitation.event_path == ("body",) else {}
    return (
        _one_of(
            [key.may_begin(one.prefix) and key.may_end(one.suffix) for one in live.configurations]
        )
        and _one_of([all(_may_match(one)(event) for one in rule) for rule in live.rules])
        and _may_match(live.filter_policy)(event)
        and _one_of([_may_match(one)(message) for one in live.patterns])
    )


def _one_of(passed: Sequence[bool]) -> bool:
    return not passed or any(passed)


def _nested(path: Sequence[str], value: Any) -> Mapping[str, Any]:
    """Return an event with one known field."""
    event: Mapping[str, Any] = reduce(lambda inner, name: {name: inner}, reversed(path), value)
    return event
