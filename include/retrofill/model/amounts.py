"""Amounts, as people read them."""

_STEP = 1_000
_UNITS = ("kB", "MB", "GB", "TB", "PB")


def in_bytes(count: int) -> str:
    """Return a number of bytes for people, such as ``1.2 MB``: in decimal units."""
    amount, unit = float(count), "bytes"
    for larger in _UNITS:
        if amount < _STEP:
            break
        amount, unit = amount / _STEP, larger
    return f"{amount:,.0f} {unit}" if unit == "bytes" else f"{amount:,.1f} {unit}"
