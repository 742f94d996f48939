"""A small cache: users who look at the same page at the same time share one read."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

FRESH_S = 2.0
"""Seconds for which a read value is shared."""

MOST_KEPT = 100
"""Values that are kept: the most recently used."""

Value = TypeVar("Value")


@dataclass(slots=True)
class _Slot(Generic[Value]):
    """One value, and when it was read; the lock is held while it is read again."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    read_at: float = float("-inf")
    value: Value | None = None


class Shared(Generic[Value]):
    """Reads each value at most once in FRESH_S seconds, for any number of callers.

    Callers wait while another one reads, and share its value, but not its error.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._slots: OrderedDict[Hashable, _Slot[Value]] = OrderedDict()

    def get(self, key: Hashable, read: Callable[[], Value]) -> Value:
        """Return the value of a key; read it if it is missing or not fresh."""
        slot = self._slot(key)
        with slot.lock:
            if slot.value is None or self._clock() - slot.read_at > FRESH_S:
                slot.value = read()
                slot.read_at = self._clock()
            return slot.value

    def forget(self, key: Hashable) -> None:
        """Drop the value of a key that was changed: the next caller reads it again."""
        with self._lock:
            self._slots.pop(key, None)

    def _slot(self, key: Hashable) -> _Slot[Value]:
        with self._lock:
            slot = self._slots.setdefault(key, _Slot())
            self._slots.move_to_end(key)
            while len(self._slots) > MOST_KEPT:
                self._slots.popitem(last=False)
            return slot
