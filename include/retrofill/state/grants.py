"""What a role needs to run, and to forget; docs/operations.md has the GRANTs."""

from collections.abc import Mapping

_READ_WRITE = "SELECT, INSERT, UPDATE"

RUNTIME: Mapping[str, str] = {
    "retrofill.migration": "SELECT",
    "retrofill.job": _READ_WRITE,
    "retrofill.run": _READ_WRITE,
    "retrofill.run_set": _READ_WRITE,
    "retrofill.partition": _READ_WRITE,
    "retrofill.batch": _READ_WRITE,
    "retrofill.invocation": f"{_READ_WRITE}, DELETE",
    "retrofill.call_count": _READ_WRITE,
    "retrofill.in_process": f"{_READ_WRITE}, DELETE",
    "retrofill.extent": "SELECT, UPDATE, DELETE",
    "retrofill.later": "SELECT, INSERT",
    "retrofill.elsewhere": "SELECT, INSERT",
    "retrofill.awaited": "SELECT, INSERT, DELETE",
    "retrofill.results": "SELECT, INSERT",
    "retrofill.quarantine": "SELECT, INSERT, DELETE",
    "retrofill.redriven": "SELECT, INSERT, DELETE",
    "retrofill.event": "SELECT, INSERT",
    "retrofill.pulse": _READ_WRITE,
    "retrofill.v_run": "SELECT",
    "retrofill.v_item": "SELECT",
    "retrofill.v_call": "SELECT",
    "retrofill.v_quarantine": "SELECT",
    "retrofill.v_outcome": "SELECT",
    "retrofill.v_redriven": "SELECT",
    "retrofill.v_event": "SELECT",
    "retrofill.v_pulse": "SELECT",
}
"""What every task and the page of a run need; of what was processed they can forget nothing."""

RESULTS: Mapping[str, str] = {"retrofill.results": "DELETE"}
"""What the upkeep needs besides to forget results by age."""

JOBS: Mapping[str, str] = {
    "retrofill.results": "DELETE",
    "retrofill.batch": "DELETE",
    "retrofill.run": "DELETE",
    "retrofill.job": "DELETE",
}
"""What it takes besides to forget a job."""
