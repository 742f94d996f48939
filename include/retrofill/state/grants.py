"""What a role needs to run, to read and to forget, and the GRANTs for it."""

from collections.abc import Mapping

_READ_WRITE = "SELECT, INSERT, UPDATE"

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
"""What it takes besides to forget results by age, and to redrive what has succeeded."""

JOBS: Mapping[str, str] = {
    "retrofill.results": "DELETE",
    "retrofill.batch": "DELETE",
    "retrofill.run": "DELETE",
    "retrofill.job": "DELETE",
}
"""What it takes besides to forget a job."""

READER: Mapping[str, str] = {
    name: privileges for name, privileges in RUNTIME.items() if name.startswith("retrofill.v_")
}
"""What it takes to read the public views."""


def quoted_name(name: str) -> str:
    """Return a name as SQL takes it, whatever it holds."""
    return '"{}"'.format(name.replace('"', '""'))


def script(runtime: str, reader: str = "", *, forget: bool = False) -> list[str]:
    """Return all GRANTs of a state, for the owner to run.

    :param runtime: the role that runs
    :param reader: the role that reads the public views; empty: there is none
    :param forget: whether the role that runs may forget results and jobs, too
    """
    lines = statements(runtime, RUNTIME)
    if reader:
        lines += statements(reader, READER)
    if forget:
        lines += statements(runtime, JOBS)
    return list(dict.fromkeys(lines))


def statements(role: str, needed: Mapping[str, str]) -> list[str]:
    """Return the GRANTs that give a role what it needs, for the owner to run."""
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
