"""The params of calls: what the function receives, and how to read its responses."""

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import Annotated, Any

from pydantic import AfterValidator, JsonValue, WithJsonSchema, create_model

from retrofill.events import AUTO, MAX_ITEMS, SHAPES, EventShape, names_in_words, with_arguments
from retrofill.model.delivery import Contract
from retrofill.params.base import Params, Problem, Sound, field
from retrofill.params.texts import one_of

FUNCTION = "Function"

_LONGEST_ARGUMENTS = 100_000

_WITH_ARGUMENTS = " and ".join(f"**{one.name}**" for one in reversed(with_arguments()))
_ARGUMENTS_ALLOWED = "".join(
    f"; for {shape.name} {shape.arguments_allowed}"
    for shape in with_arguments()
    if shape.arguments_allowed
)


class CallParams(Params):
    """What the function receives, and how to read its responses.

    :func:`call_params` completes it by the kinds of functions and the event shapes.
    """

    function_kind: str = field(FUNCTION, "Kind of function", "", default="")
    event: str = field(FUNCTION, "Event", "", default=AUTO)
    items_per_call: int | None = field(
        FUNCTION,
        "Items per call",
        "The maximum number of items in one call. Empty: as many as the live trigger sends, which"
        " is 1 except for queues. Many functions read only the first record.",
        default=None,
        ge=1,
        le=MAX_ITEMS,
        examples=[1, 100],
    )
    answer: str = field(
        FUNCTION,
        "Answer",
        "How to read the function's response: **return** any response is success,"
        " **batchItemFailures** it lists failed items, **s3-batch** it has a result for each task."
        " **auto**: as the live trigger reads it, or as usual for the event.",
        default=AUTO,
    )
    arguments: dict[str, JsonValue] | None = field(
        FUNCTION,
        "Arguments",
        f"Constants for the function, a JSON object: in events {_WITH_ARGUMENTS}, which"
        " have a place for them.",
        allowed=f"a JSON object of up to {_LONGEST_ARGUMENTS:,} characters{_ARGUMENTS_ALLOWED}",
        default=None,
        examples=[{"width": "200"}],
    )
    preview: bool = field(
        FUNCTION,
        "Preview",
        "Check everything and show the plan and the first payload in the log of open_run. Nothing"
        " is called.",
        default=False,
    )

    def contradictions(self, sound: Sound) -> Iterator[Problem]:
        """Find params that the event has no place for."""
        # What the live trigger sends is not known before it is looked up.
        shape = None if self.event == AUTO else SHAPES[self.event]
        if sound("event", "items_per_call") and (
            shape and shape.max_items == 1 and (self.items_per_call or 1) > 1
        ):
            yield Problem(
                "items_per_call",
                f"{self.items_per_call:,} is not allowed; give 1, as an event of shape {self.event}"
                " carries one item",
            )
        possible = [shape] if shape else [one for one in SHAPES.values() if one.imitation]
        if (
            sound("event", "answer")
            and self.answer != AUTO
            and not any(self.answer in one.answers for one in possible)
        ):
            tasks = [one for one in SHAPES.values() if self.answer in one.answers]
            yield Problem(
                "answer",
                f"{self.answer!r} names the tasks of the events {names_in_words(tasks)}, but event"
                f" is {self.event!r}",
            )
        if sound("event", "arguments") and self.arguments:
            yield from self._problems_of_arguments(shape)

    def _problems_of_arguments(self, shape: EventShape | None) -> Iterator[Problem]:
        if shape and not shape.takes_arguments:
            yield Problem(
                "arguments",
                f"an event of shape {shape.name} has no place for them; leave them empty, or give"
                f" event {names_in_words(with_arguments(), 'or')}",
            )
        length = len(json.dumps(self.arguments))
        if length > _LONGEST_ARGUMENTS:
            yield Problem(
                "arguments",
                f"{length:,} characters of JSON are too many; give at most {_LONGEST_ARGUMENTS:,}",
            )


def call_params(kinds: Sequence[tuple[str, str]], shapes: Sequence[EventShape]) -> type[CallParams]:
    """Return the params of calls with these choices.

    :param kinds: name and title of each kind of function, the default first
    :param shapes: the event shapes to choose from
    """
    answers = [one for one in Contract if any(one in shape.answers for shape in shapes)]
    words = ", ".join(dict.fromkeys(shape.words for shape in shapes))
    names = [name for name, _ in kinds]
    return create_model(
        "CallParams",
        __base__=CallParams,
        function_kind=(
            _choice(names),
            field(
                FUNCTION,
                "Kind of function",
                f"{', '.join(f'**{name}** {title}' for name, title in kinds)}."
                " Each has its own section of the form.",
                default=names[0],
            ),
        ),
        event=(
            _choice([AUTO, *(shape.name for shape in shapes)]),
            field(
                FUNCTION,
                "Event",
                "What the function receives: **auto** what its live trigger sends, with that"
                " trigger's filter and batch size, or plain items if no live trigger can be"
                f" looked up; {words}.",
                default=AUTO,
            ),
        ),
        answer=(_choice([AUTO, *(str(one) for one in answers)]), CallParams.model_fields["answer"]),
    )


def _choice(choices: Collection[str]) -> Any:
    schema = {"type": "string", "enum": list(choices)}
    chosen: Callable[[str], str] = partial(one_of, choices)
    return Annotated[str, AfterValidator(chosen), WithJsonSchema(schema)]
