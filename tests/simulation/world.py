"""The world outside the simulated processes: a source, and a function that misbehaves."""

import json
import queue
from collections import Counter, deque
from collections.abc import Iterator
from random import Random
from typing import Any
from urllib.parse import unquote_plus

from retrofill.functions.client import NoReply, Payload, Reply
from retrofill.model.errors import SourceError
from retrofill.model.items import Item
from retrofill.model.listing import Page, Partition
from retrofill.sources.memory import MemorySource

from tests.integration.opened import item
from tests.invariants import Seen
from tests.simulation.scheduler import Scheduler

PAGE_KEYS = 4

_ERROR = b'{"errorType": "ValueError", "errorMessage": "no"}'


class SimulatedSource(MemorySource):
    """Keys in order, divided into partitions; a page may fail.

    :param trouble: the share of pages that fail
    :param rows: whether the keys are unordered, and each item has its own content
    """

    def __init__(
        self, keys: list[str], random: Random, trouble: float, *, rows: bool = False
    ) -> None:
        def make(number: int) -> Item:
            made = item(keys[number])
            return made._replace(content=row_of(made.key)) if rows else made

        super().__init__(
            make, len(keys), name="s3://bucket", ordered=not rows, page_items=PAGE_KEYS
        )
        self._random = random
        self._trouble = trouble

    def pages(self, partition: Partition, cursor: str | None = None) -> Iterator[Page]:
        """Make the pages of a part."""
        for page in super().pages(partition, cursor):
            if self._random.random() < self._trouble:
                raise SourceError("SlowDown")
            yield page


def row_of(key: str) -> str:
    """Return the content of a row, some hundred bytes."""
    return json.dumps([key, "\u20ac\x1e\U0001f600" * 20], ensure_ascii=False)


class SimulatedFunction:
    """Runs items, counts them, and fails at random and for its poison.

    :param poison: keys that make every call with them fail
    :param silencing: keys that make it never answer in time
    """

    def __init__(
        self, scheduler: Scheduler, poison: frozenset[str], silencing: frozenset[str]
    ) -> None:
        self._scheduler = scheduler
        self._poison = poison
        self._silencing = silencing
        self._harmed: set[str] = set()
        self.trouble = 1.0
        """The factor for the usual probability of each fault."""
        self.calls = self.items = 0
        self.executed: Counter[str] = Counter()
        self.succeeded: Counter[str] = Counter()

    @property
    def seen(self) -> Seen:
        """Return what has arrived so far."""
        return Seen(self.calls, self.items)

    def call(self, tag: int, body: bytes, completions: "SimulatedQueue") -> None:
        """Take one request; its response comes later, if at all."""
        keys = _keys_in(json.loads(body))
        self.calls += 1
        self.items += len(keys)
        after_s, completion = self._answer(tag, keys)
        scheduler = self._scheduler
        scheduler.at(scheduler.now + after_s, lambda: completions.put(completion))

    def _answer(self, tag: int, keys: list[str]) -> tuple[float, Reply | NoReply]:
        random = self._scheduler.random
        draw = random.random() / self.trouble if self.trouble else 1.0
        if draw < 0.08:
            return 0.01, _refusal(tag, draw)
        after_s = random.uniform(0.01, 0.3)
        self.executed.update(keys)
        if not self._silencing.isdisjoint(keys):
            return 1.5, NoReply(tag, sent=True, error="read timeout")
        if not self._poison.isdisjoint(keys) or (draw < 0.11 and self._may_harm(keys)):
            return after_s, _reply(tag, 200, function_error="Unhandled", body=_ERROR)
        self.succeeded.update(keys)
        if draw < 0.15 and self._may_harm(keys):
            return 1.5, NoReply(tag, sent=True, error="connection reset")
        return after_s, _reply(tag, 200, body=b"null")

    def _may_harm(self, keys: list[str]) -> bool:
        """Return whether a fault may hit this call: a single item is hit at most once."""
        if len(keys) > 1:
            return True
        fresh = keys[0] not in self._harmed
        self._harmed.add(keys[0])
        return fresh


def _keys_in(event: dict[str, Any]) -> list[str]:
    """Return the keys of an event's items.

    :raises ValueError: the content of a row differs from the listing
    """
    if "Records" in event:
        return [unquote_plus(record["s3"]["object"]["key"]) for record in event["Records"]]
    for row in event["items"]:
        if row["row"] != json.loads(row_of(row["key"])):
            raise ValueError(f"the function was given another row of {row['key']}")
    return [row["key"] for row in event["items"]]


def _refusal(tag: int, draw: float) -> Reply | NoReply:
    if draw < 0.04:
        return _reply(tag, 429, error_type="TooManyRequestsException")
    if draw < 0.06:
        return _reply(tag, 502, error_type="ENILimitReachedException")
    return NoReply(tag, sent=False, error="no connection")


def _reply(
    tag: int, status: int, *, error_type: str = "", function_error: str = "", body: bytes = b"{}"
) -> Reply:
    headers = {
        "x-amzn-requestid": f"request-{tag}",
        "x-amz-executed-version": "1",
        "x-amz-function-error": function_error,
        "x-amzn-errortype": error_type,
    }
    return Reply(tag, status, headers, body)


class SimulatedQueue:
    """The completions of one client: waiting for one lets other tasks run.

    :param scheduler: runs other tasks meanwhile
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._waiting: deque[Reply | NoReply] = deque()

    def put(self, completion: Reply | NoReply) -> None:
        """Add a completion."""
        self._waiting.append(completion)

    def get(self, *, timeout: float) -> Reply | NoReply:
        """Return a completion, waiting at most `timeout` simulated seconds."""
        if not self._waiting:
            self._scheduler.pause(timeout, lambda: bool(self._waiting))
        if not self._waiting:
            raise queue.Empty
        return self._waiting.popleft()

    def get_nowait(self) -> Reply | NoReply:
        """Return a completion that has arrived."""
        return self.get(timeout=0.0)


class SimulatedClient:
    """A client for invoke tasks that calls the simulated function."""

    def __init__(self, scheduler: Scheduler, function: SimulatedFunction) -> None:
        self.completions = SimulatedQueue(scheduler)
        self._function = function

    def send(self, tag: int, payload: Payload) -> None:
        """Send one request."""
        self._function.call(tag, payload.body, self.completions)
