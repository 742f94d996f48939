"""What is read for people, shared among all who look at the same thing at the same time."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

FRESH_S = 2.0
"""Seconds for which what was read is shown to others."""

MOST_KEPT = 100
"""Things that are kept at most: those that were asked for last."""

Value = TypeVar("Value")


class _Slot(Generic[Value]):
    """One thing, and when it was read; whoever reads it anew holds the lock."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.read_at = float("-inf")
        self.value: Value | None = None


class Shared(Generic[Value]):
    """Reads things, each no more than once in FRESH_S, however many ask.

    Whoever asks while another reads waits for what that one finds. An error is nobody else's.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._slots: OrderedDict[Hashable, _Slot[Value]] = OrderedDict()

    def get(self, key: Hashable, read: Callable[[], Value]) -> Value:
        """Return a thing as it was read just now, or read it."""
        slot = self._slot(key)
        with slot.lock:
            if slot.value is None or self._clock() - slot.read_at > FRESH_S:
                slot.value = read()
                slot.read_at = self._clock()
            return slot.value

    def forget(self, key: Hashable) -> None:
        """Have a thing be read again by whoever asks next, since it was changed."""
        with self._lock:
            self._slots.pop(key, None)

    def _slot(self, key: Hashable) -> _Slot[Value]:
        with self._lock:
            slot = self._slots.setdefault(key, _Slot())
            self._slots.move_to_end(key)
            while len(self._slots) > MOST_KEPT:
                self._slots.popitem(last=False)
            return slot
