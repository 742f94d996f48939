"""The kind of a function: everything that there is to know of it, in one record."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from retrofill.engine.outcomes import Ended
from retrofill.functions.client import Client, NoReply, Reply
from retrofill.model.connections import Connections
from retrofill.model.cost import Price, Usage
from retrofill.model.delivery import Delivery
from retrofill.model.function import Pinned
from retrofill.model.permission import Permission
from retrofill.params import Params
from retrofill.params.calls import CallParams

_NO_TRIGGER: Mapping[str, Any] = {}


class FunctionParams(Params):
    """The params of a function."""

    def label(self) -> str:
        """Return the function's name for people."""
        raise NotImplementedError

    def identity(self, function: Pinned) -> str:
        """Return what a job knows its function by: what has another needs another job."""
        return function.name


class Asked(NamedTuple):
    """What a function is asked about with, beside its params."""

    connections: Connections
    aws_conn_id: str

    trigger: Mapping[str, Any] = _NO_TRIGGER
    """What is told of the live trigger that the run imitates; empty: it imitates none."""

    tells_usage: bool = False
    """Whether answers shall tell what is billed for their calls, if they can."""


def _as_measured(reply: Reply) -> Usage:
    return Usage(reply.took_ms)


class Called(NamedTuple):
    """A call, as its line in a log is looked for."""

    request_id: str
    """What the function's service knows it by; empty: it has told nothing."""

    sent_at: datetime
    ended_at: datetime | None
    """None: it is not settled yet."""


class Capacity(NamedTuple):
    """How many calls a function takes at once."""

    calls: int
    words: str
    """What that number is, for people, such as ``at once``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionKind:
    """One kind of function."""

    name: str
    """How params and job files name it."""

    title: str
    """What it calls, for people: ``a function behind HTTP``."""

    params: type[FunctionParams]

    resolve: Callable[[Any, Asked], Pinned]
    """Finds the function and proves that it may be called; raises ConfigError when not."""

    open: Callable[[Any, Pinned, Asked], Client]
    """Opens the data plane to it."""

    classify: Callable[[Reply | NoReply], Ended]
    """Tells what became of a call by what came back for it."""

    max_request_bytes: int
    """The most bytes in the payload of a call."""

    hints: Mapping[str, str] = field(default_factory=dict)
    """What errors mean of which no item is the cause, by the names of the errors."""

    ceiling: Callable[[Pinned, int, Asked], int] | None = None
    """Returns how many calls a reserve of so many percent leaves; None: it cannot be told."""

    usage: Callable[[Reply], Usage] = _as_measured
    """Tells what a call used, by its answer."""

    price: Callable[[Any, Pinned], Price] | None = None
    """Tells what calls cost, as far as its service publishes that; None: it does not."""

    capacity: Callable[[Pinned, Asked], Capacity | None] | None = None
    """Looks up how many calls it takes at once; None: it cannot be told, or not be looked up."""

    log_link: Callable[[Pinned, Called], str | None] | None = None
    """Returns where the function's log of a call is; None: nobody can tell."""

    find_delivery: Callable[[Any, CallParams, Mapping[str, str], Asked], Delivery] | None = None
    """Looks up the live trigger on a place, and imitates it; None: it has none to look up."""

    has_triggers_for: frozenset[str] = frozenset()
    """The forms of items whose coming may trigger it."""

    permissions: tuple[Permission, ...] = ()
    """What its role must be allowed to do."""
