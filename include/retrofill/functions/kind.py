"""The kind of a function: one record with all of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from retrofill.engine.outcomes import Ending
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
        """Return the function's name, as shown to users."""
        raise NotImplementedError

    def identity(self, function: Pinned) -> str:
        """Return what identifies the function in a job: another identity needs another job."""
        return function.name


class Asked(NamedTuple):
    """The context in which a function is looked up, in addition to its params."""

    connections: Connections
    aws_conn_id: str

    trigger: Mapping[str, Any] = _NO_TRIGGER
    """The live trigger that the run imitates, as its module describes it; empty: none."""

    reports_usage: bool = False
    """Whether responses should report what is billed, if they can."""


def _as_measured(reply: Reply) -> Usage:
    return Usage(reply.took_ms)


class Called(NamedTuple):
    """A call whose log is wanted."""

    request_id: str
    """The service's id of the call; empty: unknown."""

    sent_at: datetime
    ended_at: datetime | None
    """None: it is not settled yet."""


class Capacity(NamedTuple):
    """How many calls a function accepts at once."""

    calls: int
    words: str
    """What the number counts, as the rest of a sentence: ``concurrent executions are …``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionKind:
    """One kind of function.

    An installed package adds one by an entry point::

        [project.entry-points."retrofill.functions"]
        printer = "my_package.printer:KIND"
    """

    name: str
    """Its name in params and job files."""

    title: str
    """What it calls, in words: ``a function behind HTTP``."""

    params: type[FunctionParams]

    resolve: Callable[[Any, Asked], Pinned]
    """Finds the function and proves that it may be called; raises ConfigError if not."""

    open: Callable[[Any, Pinned, Asked], Client]
    """Opens the data plane to it."""

    classify: Callable[[Reply | NoReply], Ending]
    """Returns the outcome of a call from its reply."""

    max_request_bytes: int
    """The most bytes in the payload of a call."""

    hints: Mapping[str, str] = field(default_factory=dict)
    """Explanations of errors that no item causes, by the names of the errors."""

    ceiling: Callable[[Pinned, int, Asked], int] | None = None
    """Returns how many calls a reserve in percent leaves; None: unknown."""

    usage: Callable[[Reply], Usage] = _as_measured
    """Returns what a call used, from its response."""

    price: Callable[[Any, Pinned], Price] | None = None
    """Returns the price of calls, as far as the service publishes it; None: it does not."""

    capacity: Callable[[Pinned, Asked], Capacity | None] | None = None
    """Looks up how many calls it accepts at once; None: unknown."""

    log_link: Callable[[Pinned, Called], str | None] | None = None
    """Returns a link to the log of a call; None: there is none."""

    find_delivery: Callable[[Any, CallParams, Mapping[str, str], Asked], Delivery] | None = None
    """Looks up the live trigger of a place, and imitates it; None: it has no live triggers."""

    has_triggers_for: frozenset[str] = frozenset()
    """The forms of items that may trigger it."""

    permissions: tuple[Permission, ...] = ()
    """The permissions that its role needs."""
