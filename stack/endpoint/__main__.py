"""The command: ``python -m stack.endpoint``."""

import argparse
import sys
from pathlib import Path

from pydantic import ValidationError

from stack.endpoint.buckets import Bucket, GeneratedObjects
from stack.endpoint.script import (
    Function,
    Script,
    parse_script,
    read_script,
)
from stack.endpoint.server import serve

_SCRIPT_FLAGS = ("objects", "pattern", "bucket", "function", "latency", "answer", "no_items")
_LAST_PORT = 65_535


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > _LAST_PORT:
        message = f"{text!r} is not a number from 0 to {_LAST_PORT}"
        raise argparse.ArgumentTypeError(message)
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m stack.endpoint",
        description=(
            "Serve Lambda's Invoke and S3's ListObjectsV2 on 127.0.0.1, as a script tells it."
            " Prints its URL on one line. Observe it at /_endpoint/stats, /_endpoint/items?above=1"
            " and /_endpoint/calls; POST to /_endpoint/reset and /_endpoint/script."
        ),
    )
    parser.add_argument("--port", type=_port, default=0, help="TCP port; 0 (the default) for free")
    parser.add_argument("--certificate", type=Path, help="PEM file, to serve TLS")
    parser.add_argument("--private-key", type=Path, help="PEM file, if not in --certificate")
    parser.add_argument(
        "--script",
        metavar="FILE",
        help="JSON file; '-' takes one line of standard input and serves until that closes",
    )
    parser.add_argument("--bucket", metavar="NAME", help="the bucket (default: scripted)")
    parser.add_argument("--objects", type=int, metavar="N", help="objects made up in the bucket")
    parser.add_argument("--pattern", help="their keys (default: data/{i:09d}.json)")
    parser.add_argument("--function", metavar="NAME", help="the function (default: scripted)")
    parser.add_argument("--latency", type=float, metavar="SECONDS", help="default: 0.05")
    parser.add_argument("--answer", metavar="TEXT", help="the function's answer (default: null)")
    parser.add_argument(
        "--no-items",
        action="store_true",
        default=None,
        help="do not count items: bodies are not looked into",
    )
    return parser


def _script_of(arguments: argparse.Namespace) -> Script:
    """Return the script that the command line tells.

    :raises ValueError: if it contradicts itself (or a :class:`pydantic.ValidationError`)
    :raises OSError: if the script's file cannot be read
    """
    given = {name: getattr(arguments, name) for name in _SCRIPT_FLAGS}
    given = {name: value for name, value in given.items() if value is not None}
    if arguments.script is not None:
        if given:
            flags = ", ".join("--" + name.replace("_", "-") for name in given)
            text = f"{flags}: a script is given, so say it there"
            raise ValueError(text)
        if arguments.script == "-":
            return parse_script(sys.stdin.buffer.readline())
        return read_script(Path(arguments.script))
    generated = None
    if "objects" in given:
        pattern = {"pattern": given["pattern"]} if "pattern" in given else {}
        generated = GeneratedObjects(count=given["objects"], **pattern)
    elif "pattern" in given:
        text = f"--pattern: {given['pattern']!r} has no meaning without --objects"
        raise ValueError(text)
    plain = {name: given[name] for name in ("latency", "answer") if name in given}
    return Script(
        functions=(Function(name=given["function"]) if "function" in given else Function(),),
        buckets=(Bucket(name=given.get("bucket", "scripted"), generated=generated),),
        count_items="no_items" not in given,
        **plain,
    )


def _print_url(url: str) -> None:
    sys.stdout.write(url + "\n")
    sys.stdout.flush()


def main() -> None:
    """Serve, or say on standard error what is wrong with the command line and exit with 2."""
    parser = _parser()
    arguments = parser.parse_args()
    try:
        script = _script_of(arguments)
        serve(
            script,
            port=arguments.port,
            certificate=arguments.certificate,
            private_key=arguments.private_key,
            announce=_print_url,
            ends_with_stdin=arguments.script == "-",
        )
    except ValidationError as error:
        parser.error(str(error))
    except (OSError, ValueError, OverflowError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
