"""F15: keys of every kind, from the listing via the function to the results, byte by byte."""

import random
import sys
import unicodedata

import pytest

from stack.endpoint import Reply, Rule, ScriptedEndpoint
from tests.faults.fault_table import FaultTable
from tests.faults.pipeline_run import Backfill

WITH_NUL = "nul\0inside"
ODD = [
    " ",
    " leading and trailing ",
    "a+b",
    "a%2Bb",
    "a%20b",
    "a b",
    "100%",
    "%",
    "%zz",
    "line\nfeed",
    "carriage\rreturn",
    "tab\tstop",
    "bell\x07",
    "delete\x7f",
    "back\\slash",
    'quo"te',
    "apo'strophe",
    "<xml>&amp;</xml>",
    "]]>",
    "{braces}{{jinja}}",
    "%(name)s",
    "\N{PILE OF POO}",
    "\N{FAMILY}\u200d\N{MAN}",
    unicodedata.normalize("NFC", "é"),
    unicodedata.normalize("NFD", "é"),
    "\u202etxt.exe",
    "עברית/العربية",
    "\ufeffbom",
    "\ufffe",
    "\U0010ffff",
    "a/../b",
    "../b",
    "./a",
    "a//b",
    "/leading",
    "trailing/",
    "//",
    "ends with a dot.",
    "\\N",
    "\\.",
    "NULL",
    "-",
    "?query=1#fragment",
    "k" * 1_024,
    "é" * 512,
    WITH_NUL,
]


def synthetic(count: int) -> list[str]:
    """Return keys of random characters, the same each time, without surrogates or NUL."""
    rng = random.Random(15)  # noqa: S311  for tests
    keys = set()
    while len(keys) < count:
        points = (rng.randint(1, rng.choice([0x7F, 0x7FF, 0xFFFF, sys.maxunicode]))
                  for _ in range(rng.randint(1, 60)))  # fmt: skip
        keys.add("".join(chr(point) for point in points if not 0xD800 <= point < 0xE000) or "-")
    return sorted(keys)


@pytest.mark.parametrize("event", ["s3", "eventbridge", "s3-batch-1.0", "s3-batch-2.0", "items"])
def test_f15_every_key_arrives_and_is_stored_unchanged(
    shared_dsn: str, endpoint: ScriptedEndpoint, fault_table: FaultTable, event: str
) -> None:
    per_call = 1 if event.startswith(("eventbridge", "s3-batch")) else 10
    params = {
        "prefix": "", "whole_bucket": True, "event": event, "items_per_call": per_call,
        "max_failure_percent": 100,
    }  # fmt: skip
    backfill = Backfill(dsn=shared_dsn, endpoint=endpoint, job=event, params=params)
    keys = sorted({*ODD, *synthetic(300)})
    storable = [key for key in keys if key != WITH_NUL]
    backfill.serve(keys)
    failed = storable if event.startswith("s3-batch") else []
    if failed:
        # All that a scripted function can report by a task's own id is that it gives the object up.
        backfill.break_with(Rule(keys=frozenset(failed), reply=Reply(fails_items=True)))
    ended = backfill.run(watched=False)
    evidence = backfill.evidence(storable, poison=failed, named_as_failed=len(failed))
    fault_table.hold("F15", "keys of every kind, each event shape", evidence, bound=0)
    assert endpoint.items() == dict.fromkeys(storable, 1)
    assert (ended.report.listed, ended.report.left_out) == (len(storable), {"rejected": 1})
    kept = backfill.rows("SELECT item_key FROM retrofill.v_item WHERE job = %s", event)
    assert sorted(key.encode() for (key,) in kept) == sorted(key.encode() for key in storable)

    again = backfill.run("run 2", watched=False)
    assert (again.report.known, again.report.new, again.report.calls) == (len(storable), 0, 0)
