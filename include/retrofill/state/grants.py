"""Privileges that a role needs to run, to read and to forget, and the GRANTs for them."""

from collections.abc import Mapping

_READ_WRITE = "SELECT, INSERT, UPDATE"

_VIEWS = ("run", "item", "call", "quarantine", "outcome", "redriven", "event", "pulse")

READER: Mapping[str, str] = {f"retrofill.v_{view}": "SELECT" for view in _VIEWS}
"""What reading the public views needs."""

RUNTIME: Mapping[str, str] = {
    "retrofill.migration": "SELECT",
    "retrofill.job": _READ_WRITE,
    "retrofill.run": _READ_WRITE,
    "retrofill.run_set": _READ_WRITE,
    "retrofill.waiting": f"{_READ_WRITE}, DELETE",
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
    "retrofill.redrive": "SELECT, INSERT",
    **READER,
}
"""What every task and page needs. It does not allow to forget processed items."""

RESULTS: Mapping[str, str] = {"retrofill.results": "DELETE"}
"""What forgetting results by age and redriving succeeded items need in addition."""

JOBS: Mapping[str, str] = {
    "retrofill.results": "DELETE",
    "retrofill.batch": "DELETE",
    "retrofill.run": "DELETE",
    "retrofill.job": "DELETE",
}
"""What forgetting a job needs in addition."""


def quoted_name(name: str) -> str:
    """Return a name as a quoted SQL identifier."""
    return '"{}"'.format(name.replace('"', '""'))


def script(runtime: str, reader: str = "", *, forget: bool = False) -> list[str]:
    """Return all GRANTs of a state, for the owner to run.

    :param runtime: the role of tasks and pages
    :param reader: the role that reads the public views; empty: none
    :param forget: whether ``runtime`` may also forget results and jobs
    """
    lines = statements(runtime, RUNTIME)
    if reader:
        lines += statements(reader, READER)
    if forget:
        lines += statements(runtime, JOBS)
    return list(dict.fromkeys(lines))


def statements(role: str, needed: Mapping[str, str]) -> list[str]:
    """Return the GRANTs of privileges by table or view, for the owner to run."""
    quoted = quoted_name(role)
    by_privileges: dict[str, list[str]] = {}
    for name, privileges in needed.items():
        by_privileges.setdefault(privileges, []).append(name)
    return [
        f"GRANT USAGE ON SCHEMA retrofill TO {quoted};",
        *(
            f"GRANT {privileges} ON {', '.join(names)} TO {quoted};"
            for privileges, names in by_privileges.items()
        ),
    ]
