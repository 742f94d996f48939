"""Prints which source obeys which law, once all tests have run."""

import re
from typing import TYPE_CHECKING

from retrofill.sources.conformance import LAWS

from tests.conformance.cases import CASES

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

_WORDS = {"passed": "yes", "failed": "NO", "error": "NO", "skipped": "-"}
_NAME = re.compile(r"::test_a_source_obeys_the_law\[(?P<source>.*)-(?P<law>[^-]*)\]$")


def pytest_terminal_summary(terminalreporter: "TerminalReporter") -> None:
    """Print the table of sources and laws."""
    kept: dict[tuple[str, str], str] = {}
    for outcome, word in _WORDS.items():
        for report in terminalreporter.getreports(outcome):
            found = _NAME.search(getattr(report, "nodeid", ""))
            if found:
                kept[found["source"], found["law"]] = word
    if not kept:
        return
    terminalreporter.section("which source obeys which law")
    width = max(map(len, CASES)) + 2
    for number, law in enumerate(LAWS, 1):
        terminalreporter.write_line(f"{number:>2}  {law}")
    terminalreporter.write_line(
        " " * width + "".join(f"{number:>5}" for number in range(1, len(LAWS) + 1))
    )
    for source in CASES:
        words = (f"{kept.get((source, law), ''):>5}" for law in LAWS)
        terminalreporter.write_line(f"{source:<{width}}{''.join(words)}")
