"""The delivery: how a run's items reach its function. It is fixed when the run is opened."""

from retrofill.config import RunConfig
from retrofill.events import AUTO, SHAPES, CompiledShape, EventContext, compile_shape, default_shape
from retrofill.functions.kind import Asked
from retrofill.model.delivery import Delivery
from retrofill.model.errors import ConfigError
from retrofill.model.function import Pinned
from retrofill.model.runs import Run


def find_delivery(config: RunConfig, asked: Asked) -> Delivery:
    """Return the requested delivery, or that of the live trigger.

    :raises ConfigError: there is no live trigger to imitate, or more than one; or a permission to
        look it up is missing
    :raises FunctionUnavailable: AWS did not answer
    """
    kind, calls = config.function_kind, config.calls
    has_triggers = config.source_kind.form.name in kind.has_triggers_for
    if kind.find_delivery is not None and has_triggers and is_looked_up(calls.event):
        return kind.find_delivery(config.function, calls, config.source.place(), asked)
    shape = default_shape() if calls.event == AUTO else SHAPES[calls.event]
    if shape.needs_trigger:
        raise ConfigError(
            f"event: {calls.event!r} imitates a live trigger, but none can be looked up between"
            f" {config.source_kind.title} and {config.function_kind.title}; give another event"
        )
    return Delivery(
        event=shape.name,
        items_per_call=calls.items_per_call or shape.default_items,
        answer=str(shape.answer) if calls.answer == AUTO else calls.answer,
    )


def is_looked_up(event: str) -> bool:
    """Return whether the live trigger must be looked up for an event."""
    return event == AUTO or SHAPES[event].needs_trigger


def shape_of(config: RunConfig, run: Run) -> CompiledShape:
    """Compile the event shape of a run; see :func:`compile_delivery`."""
    return compile_delivery(config, run.delivery, run.function, job=run.job, run_id=run.run_id)


def compile_delivery(
    config: RunConfig, delivery: Delivery, function: Pinned, *, job: str, run_id: int
) -> CompiledShape:
    """Compile the event shape of a delivery.

    :raises ConfigError: a param that the shape needs is missing, or it cannot use one
    """
    return compile_shape(
        delivery.event,
        EventContext(
            form=config.source_kind.form,
            place=config.source.place(),
            function=function,
            trigger=delivery.trigger,
            job=job,
            run_id=run_id,
            arguments=config.calls.arguments or {},
        ),
    )
