"""The command line of benchmarks: options, progress, and exit codes."""

import argparse
import sys
from collections.abc import Iterable

from retrofill.model.errors import StateError

from stack.settings import StackError


class FailedError(Exception):
    """A measurement is not possible, or its subject did not do its work."""


def options(module: str, doc: str | None) -> argparse.ArgumentParser:
    """Return the parser of a benchmark's options.

    :param doc: the module's docstring, whose first line describes the benchmark
    """
    return argparse.ArgumentParser(
        prog=f"python -m {module}", description=(doc or "").partition("\n")[0]
    )


def count(text: str) -> int:
    """Parse an option that is a positive whole number.

    :raises argparse.ArgumentTypeError: it is not one
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed; give a whole number from 1")
    return int(text)


def sizes_asked(
    module: str, doc: str | None, default: list[int], *, multiples_of: int = 1
) -> list[int]:
    """Parse the only option of a benchmark that measures the same thing at several sizes."""
    parser = options(module, doc)
    parser.add_argument("--sizes", type=count, nargs="+", default=default, metavar="N")
    chosen: list[int] = parser.parse_args().sizes
    if wrong := [size for size in chosen if size % multiples_of]:
        parser.error(f"--sizes: {wrong[0]:,} is not allowed; give multiples of {multiples_of:,}")
    return chosen


def say(text: str) -> None:
    """Print progress for the user who waits."""
    print(text, file=sys.stderr, flush=True)


def exit_code(lines: Iterable[str]) -> int:
    """Print lines as they are measured; return the exit code."""
    if sys.platform != "linux":
        print("error: benchmarks read memory from /proc: run them on Linux", file=sys.stderr)
        return 1
    try:
        for line in lines:
            print(line, flush=True)
    except (FailedError, StackError, StateError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0
