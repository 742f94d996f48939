"""The command line: ``retrofill``, or ``python -m retrofill``."""

from retrofill.cli.app import main

__all__ = ["main"]
