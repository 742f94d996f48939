"""Read a reply: how its call ended, the result of each item, and the cost."""

import logging
from dataclasses import replace
from typing import NamedTuple

from retrofill.engine.answers import ALL_SUCCEEDED, Answer, read_answer
from retrofill.engine.hints import hint_for
from retrofill.engine.meter import Charge, Meter
from retrofill.engine.outcomes import Ending, Outcome, explained
from retrofill.events import CompiledShape
from retrofill.functions.client import NoReply, Reply
from retrofill.functions.kind import FunctionKind
from retrofill.model.calls import Call
from retrofill.model.cost import Usage
from retrofill.model.delivery import Contract
from retrofill.model.runs import Run

log = logging.getLogger(__name__)


class Meaning(NamedTuple):
    """What a reply means."""

    ended: Ending
    answer: Answer | None
    """The function's response about its items; None: it did not return."""

    usage: Usage | None
    """None: no reply came."""

    charge: Charge


class Replies:
    """Reads the replies to the calls of one task.

    :param shape: the run's event shape
    """

    def __init__(self, kind: FunctionKind, shape: CompiledShape, run: Run) -> None:
        self._classify = kind.classify
        self._usage = kind.usage
        self._shape = shape
        self._contract = Contract(run.delivery.answer)
        self._hints = {**shape.hints, **kind.hints}
        self._hinted: set[str] = set()
        self._meter = Meter(run.price, run.function.timeout_s)
        self.least_cost = self._meter.least(run.delivery.items_per_call)
        """The minimum cost of a call, in dollars."""

    def read(self, reply: Reply | NoReply, call: Call) -> Meaning:
        """Return what the reply to a call means; log each hint once."""
        ended = self._with_hint(self._classify(reply))
        answer = None
        if ended.done and self._contract is Contract.RETURN:
            # The content of the response does not matter; the error stays as a note.
            ended = replace(ended, kind=Outcome.SUCCEEDED, cause="")
            answer = ALL_SUCCEEDED
        elif isinstance(reply, Reply) and ended.kind is Outcome.SUCCEEDED:
            answer = self._answer(reply.body, call)
        usage = self._usage(reply) if isinstance(reply, Reply) else None
        return Meaning(ended, answer, usage, self._meter.charge(ended.kind, usage, len(call.seqs)))

    def _with_hint(self, ended: Ending) -> Ending:
        if ended.kind is not Outcome.FAILED:
            return ended
        hint = hint_for(self._hints, ended.error_type, ended.message)
        if hint and hint not in self._hinted:
            self._hinted.add(hint)
            log.warning("%s: %s", ended.error_type, hint)
        return explained(ended, hint)

    def _answer(self, body: bytes, call: Call) -> Answer:
        if self._contract is Contract.RETURN:
            return ALL_SUCCEEDED
        names = [self._shape.identifier_in_event(item) for item in call.items]
        return read_answer(self._contract, body, names)
