"""Choose the live trigger that a run imitates, and its delivery."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import NamedTuple

from retrofill.aws.names import LAMBDA, LATEST
from retrofill.events import AUTO, SHAPES, names_in_words, need_no_trigger
from retrofill.model.delivery import Contract, Delivery
from retrofill.model.errors import ConfigError
from retrofill.params.calls import CallParams
from retrofill.triggers.keys import may_send
from retrofill.triggers.patterns import TextLike
from retrofill.triggers.trigger import Trigger
from retrofill.triggers.unlisted import unlisted_field


class Wanted(NamedTuple):
    """The ends of a live trigger."""

    bucket: str
    keys: Sequence[TextLike]
    """Each key of the run is like one of these."""

    function: str
    """The function's name, for messages."""

    qualifier: str
    """The version or alias that was requested; empty: none."""


def delivery_like(trigger: Trigger, calls: CallParams) -> Delivery:
    """Return the delivery that imitates a live trigger; requested values take precedence."""
    shape = SHAPES[trigger.event]
    if calls.items_per_call is not None and calls.items_per_call > shape.max_items:
        raise ConfigError(
            f"items_per_call: {calls.items_per_call:,} is not allowed; give at most"
            f" {shape.max_items:,}, as the live trigger is of shape {shape.name}"
        )
    # If nobody reads the function's responses in live use, a list of failures means nothing.
    honoured = Contract.BATCH_ITEM_FAILURES if trigger.reports_failures else Contract.RETURN
    return Delivery(
        event=trigger.event,
        items_per_call=calls.items_per_call or trigger.batch_items or shape.default_items,
        answer=str(honoured) if calls.answer == AUTO else calls.answer,
        trigger=replace(trigger.live, qualifier=trigger.qualifier).as_json(),
    )


def choose(
    triggers: Sequence[Trigger], others: Sequence[str], wanted: Wanted, event: str
) -> Trigger:
    """Return the one live trigger that a run is to imitate.

    :param others: other targets of the bucket's events, in words
    :raises ConfigError: there is no live trigger or more than one, or it cannot be imitated
    """
    there = [one for one in triggers if event in {AUTO, one.event}]
    # Triggers for other keys than those of the run send nothing of it.
    found = [one for one in there if may_send(one, wanted.keys)]
    if len(found) > 1:
        called = wanted.qualifier or LATEST
        found = [one for one in found if (one.qualifier or LATEST) == called] or found
    between = f"from bucket {wanted.bucket!r} to {wanted.function}"
    if not found:
        kind = "live trigger" if event == AUTO else f"live trigger of shape {event}"
        what = f"for {_in_words(wanted.keys)} " if there else ""
        routes = [f"{one.event} via {one.route}" for one in triggers] + list(others)
        to_do = "Select keys that it is for, or give" if there else "Give"
        raise ConfigError(
            f"event: {event!r}, but there is no {kind} {what}{between}"
            f"{_instead(routes, to_do)} the event that the function receives:"
            f" {names_in_words(need_no_trigger(LAMBDA))} need no live trigger"
        )
    if len(found) > 1:
        several = "; ".join(f"{one.event} via {one.route}" for one in found)
        alone = [shape for shape in need_no_trigger(LAMBDA) if shape.imitation]
        raise ConfigError(
            f"event: {event!r}, but there are {len(found)} live triggers {between}: {several}."
            " Select the objects of one by prefix and key_glob, or give its event; if several send"
            f" the same objects, give {names_in_words(alone, 'or')}"
        )
    (trigger,) = found
    obstacle = trigger.obstacle or _obstacle_in_patterns(trigger)
    if obstacle:
        raise ConfigError(
            f"event: the live trigger {between} via {trigger.route} cannot be imitated: {obstacle}."
            f" Give the event that the function receives: {names_in_words(need_no_trigger(LAMBDA))}"
        )
    return trigger


def _instead(routes: Sequence[str], to_do: str) -> str:
    """Return the existing routes, and the beginning of what to do.

    A second route to a function that live traffic already reaches would deliver everything twice.
    """
    if not routes:
        return ". Attach it first, or give"
    return (
        f"; there is {'; '.join(routes)}. If the function is reached by one of these, do not attach"
        f" another: it would get each new object twice. {to_do}"
    )


def _in_words(keys: Sequence[TextLike]) -> str:
    return f"keys like {' or '.join(repr(f'{one.begin}*{one.end}') for one in keys)}"


def _obstacle_in_patterns(trigger: Trigger) -> str:
    live = trigger.live
    patterns = (live.filter_policy, *chain(*live.rules), *live.patterns)
    name = next(filter(None, map(unlisted_field, patterns)), None)
    return f"its pattern asks for {name!r}, which a listing does not have" if name else ""
