"""How long each part takes."""

import time


class Stopwatch:
    """Records the durations of consecutive parts."""

    def __init__(self) -> None:
        self._began = self._noted = time.monotonic()
        self._parts: dict[str, float] = {}

    def note(self, part: str) -> None:
        """Assign the time since the last note to a part."""
        now = time.monotonic()
        self._parts[part] = self._parts.get(part, 0) + now - self._noted
        self._noted = now

    @property
    def total(self) -> float:
        """Seconds from the beginning to the last note."""
        return self._noted - self._began

    def __str__(self) -> str:
        return ", ".join(f"{part} {seconds:.0f} s" for part, seconds in self._parts.items())
