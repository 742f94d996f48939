"""What screening and settling cost: by the size of the set, and beside full caches.

Run ``make bench-screening``. A Postgres of its own comes up, with the settings of the embedded
stack. Prints tables in Markdown; the exit code is 1 if a count is not what it must be.
"""

import argparse
import sys

from retrofill.model.errors import StateError

from benchmarks.screening import content, full_caches, whole_sets
from benchmarks.screening.server import Database, WrongCountError, fill_log, own_server
from benchmarks.screening.work import PAGE_ITEMS, Shuffled
from stack.settings import StackError


def main() -> int:
    """Measure and print; return the exit code."""
    arguments = _arguments()
    try:
        with own_server() as server:
            fill_log(server)
            for line in whole_sets.measure(Database(server), arguments.sizes):
                print(line, flush=True)
            print()
            for line in full_caches.measure(server, arguments.sizes):
                print(line, flush=True)
            print("\nThe same of a source without order:\n")
            for line in full_caches.measure(server, arguments.sizes, Shuffled):
                print(line, flush=True)
            print("\nItems with a content of 1 kB:\n")
            for line in content.measure(Database(server), arguments.sizes):
                print(line, flush=True)
    except (StackError, StateError, WrongCountError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.screening", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument(
        "--sizes", type=_size, nargs="+", default=[100_000, 1_000_000], metavar="ITEMS"
    )
    return parser.parse_args()


def _size(text: str) -> int:
    if not text.isdecimal() or int(text) < 1 or int(text) % PAGE_ITEMS:
        message = f"{text!r} is not a multiple of {PAGE_ITEMS:,}, the items of a page"
        raise argparse.ArgumentTypeError(message)
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
