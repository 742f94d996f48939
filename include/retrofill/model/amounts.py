"""Format amounts for people."""

from collections.abc import Callable, Sequence

_STEP = 1_000
_MINUTE_S = 60
_TENTHS_UNTIL_S = 10
_UNITS = ("kB", "MB", "GB", "TB", "PB")


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun, such as ``1 call`` and ``2 batches``.

    :param plural: plural of the noun; empty: add an s
    """
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def in_bytes(count: int) -> str:
    """Return a number of bytes for people in decimal units, such as ``1.2 MB``."""
    amount, unit = float(count), "bytes"
    for larger in _UNITS:
        if amount < _STEP:
            break
        amount, unit = amount / _STEP, larger
    return f"{amount:,.0f} {unit}" if unit == "bytes" else f"{amount:,.1f} {unit}"


def in_time(seconds: float) -> str:
    """Return a duration for people, in at most two units."""
    if round(seconds) < _MINUTE_S:
        return f"{seconds:.1f} s" if seconds < _TENTHS_UNTIL_S else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), _MINUTE_S)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days:,} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def in_range(amount: Sequence[float | None] | None, text_of: Callable[[float], str]) -> str:
    """Return a range for people, such as ``5 (3 to 9)``; ``unknown`` for None.

    :param amount: the lowest, the likely (or None) and the highest value
    """
    if amount is None:
        return "unknown"
    low, likely, high = (None if one is None else text_of(one) for one in amount)
    if low == high:
        return str(low)
    return f"{low} to {high}" if likely is None else f"{likely} ({low} to {high})"
