"""Live through seeds, and say how each ended: ``python -m tests.simulation [--rows] [FIRST] N``."""

import logging
import sys
import time
from collections import Counter

from stack.services import temporary_postgres
from tests.simulation.simulation import Tale, prepare, simulate

_ALL = ("items", "calls", "turns", "duplicates", "twice")


def main(arguments: list[str]) -> int:
    """Simulate; return 1 if anything was violated."""
    logging.disable()
    rows = "--rows" in arguments
    arguments = [argument for argument in arguments if argument != "--rows"]
    *first, seeds = (int(argument) for argument in arguments or ("300",))
    begin = first[0] if first else 1
    tales: list[Tale] = []
    began = time.monotonic()
    with temporary_postgres(durable=False) as server:
        server.ensure_database("simulation")
        dsn = server.dsn("simulation", role="simulation")
        prepare(dsn)
        for seed in range(begin, begin + seeds):
            tale = simulate(dsn, seed, rows=rows)
            tales.append(tale)
            for violation in tale.violations:
                print(f"seed {seed}: {violation}")  # noqa: T201  for a person at a terminal
    lines = {
        "seeds": f"{len(tales)} in {time.monotonic() - began:.0f} s",
        **{name: f"{sum(getattr(tale, name) for tale in tales):,}" for name in _ALL},
        **sum((tale.faults for tale in tales), Counter()),
        "violations": sum(len(tale.violations) for tale in tales),
    }
    for name, figure in lines.items():
        print(f"{name:12} {figure}")  # noqa: T201  the same
    return int(any(tale.violations for tale in tales))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
