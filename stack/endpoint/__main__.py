"""The command: ``python -m stack.endpoint``."""

import argparse
import sys
from pathlib import Path

from stack.endpoint.script import parse_script
from stack.endpoint.server import serve

if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m stack.endpoint",
        description=(
            "Serve Lambda's Invoke and S3's ListObjectsV2 on 127.0.0.1 until standard input closes."
            " The first line of standard input is the script, as JSON. Prints the URL on one line."
            " Observe the endpoint at /_endpoint/stats, /_endpoint/items and /_endpoint/calls; POST"
            " to /_endpoint/reset and /_endpoint/script."
        ),
    )
    parser.add_argument("--certificate", type=Path, help="PEM file with its key, to serve TLS")
    certificate = parser.parse_args().certificate
    try:
        serve(parse_script(sys.stdin.buffer.readline()), certificate)
    except (OSError, ValueError) as error:
        parser.error(str(error))
