"""The results of a job's items, counted from the public views and from the endpoint."""

from collections.abc import Collection
from contextlib import closing
from dataclasses import dataclass

import psycopg2

from stack.endpoint import ScriptedEndpoint
from tests.invariants import Seen, check

_COUNTS = """
SELECT
    (
        SELECT coalesce(sum(greatest(attempts - 1, 0)), 0)::integer FROM retrofill.v_item
        WHERE job = %(job)s
    ) AS again,
    (SELECT coalesce(sum(duplicates), 0)::integer FROM retrofill.v_run WHERE job = %(job)s),
    count(*),
    coalesce(sum(item_count) FILTER (WHERE outcome IN ('failed', 'unknown', 'lost')), 0)::integer
FROM retrofill.v_call WHERE job = %(job)s
"""
_PLACES = "SELECT item_key, place FROM retrofill.v_item WHERE job = %(job)s"
_IN_TWO = """
SELECT item_key FROM retrofill.v_item WHERE job = %(job)s
GROUP BY item_key, identifier HAVING count(*) > 1
"""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The facts of a job without active tasks."""

    items: int
    lost: list[str]
    """Listed keys that are in no place, or in the results without a call."""
    in_two: list[str]
    """Keys of items that are in two places."""
    ours: int
    """Calls of an item after its first that may have run the function, as the state counts."""
    theirs: int
    """Executions with an item after its first, as the endpoint counts."""
    in_doubt: int
    """Those of our calls that may have repeated work: the runs' duplicates."""
    explained: int
    """Items in calls that failed or had no response, each of which explains one more call."""
    calls: int
    requests: int
    violations: list[str]
    """Violations of the invariants I1 to I8."""


def seen(endpoint: ScriptedEndpoint) -> Seen:
    """Return what a function's endpoint has seen since its reset."""
    return Seen(endpoint.stats().invocations, sum(endpoint.items(of="received").values()))


def gather(
    dsn: str,
    job: str,
    endpoint: ScriptedEndpoint,
    listed: Collection[str],
    *,
    poison: Collection[str] = (),
    named_as_failed: int = 0,
    complete: bool = True,
    exact: bool = True,
    fixed_source: bool = True,
) -> Evidence:
    """Count, and check the invariants.

    :param listed: the keys of the source, without those that cannot be stored
    :param poison: those that must be in quarantine
    :param named_as_failed: items that responses of successful calls named as failed
    :param exact: whether each recorded call was sent: not if a process was killed
    :param fixed_source: whether every pass over the source found the same items
    """
    executed = endpoint.items()
    requests = endpoint.stats().invocations
    with closing(psycopg2.connect(dsn)) as conn, conn.cursor() as cur:
        cur.execute(_COUNTS, {"job": job})
        ours, in_doubt, calls, explained = cur.fetchone()
        cur.execute(_PLACES, {"job": job})
        places = dict(cur.fetchall())
        cur.execute(_IN_TWO, {"job": job})
        in_two = [row[0] for row in cur]
    results = {key for key, place in places.items() if place == "results"}
    violations = check(
        dsn,
        job,
        listed=listed if fixed_source else None,
        executed=executed,
        poison=poison,
        named_as_failed=named_as_failed,
        complete=complete,
    )
    if requests > calls or (exact and requests != calls):
        violations.append(f"I3: the endpoint saw {requests} requests, {calls} calls are recorded")
    return Evidence(
        items=len(listed),
        lost=sorted((set(listed) - set(places)) | (results - set(executed))),
        in_two=in_two,
        ours=ours,
        theirs=sum(executed.values()) - len(executed),
        in_doubt=in_doubt,
        explained=explained + named_as_failed,
        calls=calls,
        requests=requests,
        violations=violations,
    )
