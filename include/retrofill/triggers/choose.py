"""Which delivery a run has: as it is asked for, or as a live trigger has it."""

from collections.abc import Sequence

from retrofill.config import AUTO, RunConfig
from retrofill.events import SHAPES, EventShape, names_in_words, need_no_trigger
from retrofill.model.delivery import CONFIGURATION_ID, Contract, Delivery
from retrofill.model.errors import ConfigError
from retrofill.triggers.trigger import Trigger
from retrofill.triggers.untold import untold_field


def is_looked_up(event: str) -> bool:
    """Return whether the live trigger must be known for an event as it is asked for."""
    return event == AUTO or SHAPES[event].needs_trigger


def delivery_as_asked(config: RunConfig) -> Delivery:
    """Return the delivery of an event that is asked for by the name of its shape."""
    shape = SHAPES[config.event]
    return Delivery(
        event=shape.name,
        items_per_call=config.items_per_call or shape.default_items,
        answer=_answer(config, shape.answer),
    )


def delivery_like(trigger: Trigger, config: RunConfig) -> Delivery:
    """Return the delivery that imitates a live trigger; what is asked for goes before."""
    shape = SHAPES[trigger.event]
    _require_room(shape, config.items_per_call)
    # Where nobody reads the function's answers in live use, a list of failures means nothing.
    honoured = Contract.BATCH_ITEM_FAILURES if trigger.reports_failures else Contract.RETURN
    return Delivery(
        event=trigger.event,
        items_per_call=config.items_per_call or trigger.batch_items or shape.default_items,
        answer=_answer(config, honoured),
        configuration_id=trigger.configuration_id or CONFIGURATION_ID,
        queue_arn=trigger.queue_arn,
        topic_arn=trigger.topic_arn,
        subscription_arn=trigger.subscription_arn,
        events=trigger.events,
        prefix=trigger.prefix,
        suffix=trigger.suffix,
        filter_policy=trigger.filter_policy,
        patterns=trigger.patterns,
    )


def choose(
    triggers: Sequence[Trigger], others: Sequence[str], config: RunConfig, function: str
) -> Trigger:
    """Return the one live trigger that a run is to imitate.

    :param others: what else there is at bucket and function, in words
    :raises ConfigError: there is none or more than one, or it cannot be imitated; the message
        says what there is and what to do
    """
    asked = config.event
    wanted = [one for one in triggers if asked in {AUTO, one.event}]
    if len(wanted) > 1:
        qualifier = config.function_qualifier or ""
        wanted = [one for one in wanted if one.qualifier == qualifier] or wanted
        # What is for other keys than those of the run sends nothing of it.
        wanted = [one for one in wanted if _overlap(one.prefix, config.prefix)] or wanted
    between = f"from bucket {config.bucket!r} to {function}"
    if not wanted:
        kind = "live trigger" if asked == AUTO else f"live trigger of shape {asked}"
        there = [f"{one.event} by {one.way}" for one in triggers] + list(others)
        found = f"; there is {'; '.join(there)}" if there else ""
        raise ConfigError(
            f"event: {asked!r}, and there is no {kind} {between}{found}. Attach it first, or say"
            f" what the function receives: {names_in_words(need_no_trigger())} need no trigger"
        )
    if len(wanted) > 1:
        ways = "; ".join(f"{one.event} by {one.way}" for one in wanted)
        alone = [shape for shape in need_no_trigger() if shape.ways]
        raise ConfigError(
            f"event: {asked!r}, and there are {len(wanted)} live triggers {between}: {ways}. Give"
            f" the event of one; if they are of one kind, give {names_in_words(alone, 'or')} and"
            " choose the objects by prefix and key_glob"
        )
    (trigger,) = wanted
    unlike = trigger.unlike or _unlike_by_pattern(trigger)
    if unlike:
        raise ConfigError(
            f"event: the live trigger {between} by {trigger.way} cannot be imitated:"
            f" {unlike}. Say what the function receives: {names_in_words(need_no_trigger())}"
        )
    return trigger


def _unlike_by_pattern(trigger: Trigger) -> str:
    fields = filter(None, map(untold_field, (trigger.filter_policy, *trigger.patterns)))
    name = next(fields, None)
    return f"its pattern asks for {name!r}, which no listing tells" if name else ""


def _overlap(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)


def _require_room(shape: EventShape, items_per_call: int | None) -> None:
    if items_per_call is not None and items_per_call > shape.max_items:
        raise ConfigError(
            f"items_per_call: {items_per_call:,}; allowed is {shape.max_items:,}, as the live"
            f" trigger is of shape {shape.name}"
        )


def _answer(config: RunConfig, otherwise: Contract) -> str:
    return str(otherwise) if config.answer == AUTO else config.answer
