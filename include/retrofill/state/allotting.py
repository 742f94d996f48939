"""Allotting: renew a task's lease, and give it a share of what its run and function may do."""

import json
from collections.abc import Sequence

from retrofill.engine.causes import CallCount
from retrofill.engine.ramp import Ramp, Tally
from retrofill.engine.shares import Share, Standing, Totals, allot
from retrofill.engine.sharing import Claim, part_of
from retrofill.engine.slowest import Slow
from retrofill.model.calls import Allotment, Refused
from retrofill.model.errors import LeaseLost
from retrofill.model.limits import Limits
from retrofill.state.connection import Cursor, one, rows
from retrofill.state.limits import stop_within
from retrofill.state.locks import lock_standing
from retrofill.state.statements import load

_SQL = load("allotting.sql")


def renew(
    cur: Cursor,
    run_id: int,
    batch_id: int,
    epoch: int,
    *,
    lease_s: float,
    wanted: int,
    in_flight: int,
    width: int | None,
    answered: bool,
    refused: Refused | None,
    ended: Tally,
    least_cost: float,
    slowest: Sequence[Slow],
) -> tuple[Allotment, Standing, bool]:
    """Renew a lease, and give its holder a share; see :meth:`.lease.BatchLease.allot`.

    :param lease_s: for how many seconds
    :returns: the share, the run's standing before, and whether another holder is silent whose
        calls nobody has counted yet
    :raises LeaseLost: the batch has another holder
    """
    key = {"run_id": run_id, "batch_id": batch_id}
    found = lock_standing(cur, run_id)
    standing = found.climbed(ended)
    # In this order, a call that another task makes in between counts twice and is never missed.
    cur.execute(_SQL["list_shares"], key)
    shares = rows(cur, Share)
    cur.execute(_SQL["get_totals"], key)
    totals = one(cur, Totals)
    causes: list[CallCount] = []
    if standing.limits.max_percent_by_cause:
        cur.execute(_SQL["list_causes"], key)
        causes = rows(cur, CallCount)
    allotment = allot(
        standing,
        shares,
        totals,
        wanted=wanted,
        in_flight=in_flight,
        width=width,
        refused=refused,
        ended=causes,
        least_cost=least_cost,
        claims=lock_claims(cur, run_id, standing.limits),
    )
    cur.execute(
        _SQL["allot"],
        {
            "batch_id": batch_id,
            "epoch": epoch,
            "lease_s": lease_s,
            "wanted": wanted,
            "allotted": max(allotment.concurrency, in_flight),
            "calls": allotment.calls,
            "cost": allotment.cost,
            "width": width if allotment.width is None else allotment.width,
            "in_flight": in_flight,
            "calls_per_second": allotment.calls_per_second or 0.0,
            "answered": answered,
            "refused_s": refused and refused.for_s,
            "refusal": refused and refused.reason,
            **columns(slowest),
        },
    )
    if cur.rowcount != 1:
        raise LeaseLost(f"batch {batch_id} was taken over by another task")
    if (allotment.run_width, standing.ramp) != (found.width, found.ramp):
        ramp = standing.ramp and json.dumps(standing.ramp.as_json())
        cur.execute(_SQL["set_pace"], {**key, "width": allotment.run_width, "ramp": ramp})
    if allotment.stop_reason and not standing.stop_reason:
        stop_within(cur, run_id, allotment.stop_reason)
    return allotment, found, any(share.uncounted for share in shares)


def columns(slowest: Sequence[Slow]) -> dict[str, list[int]]:
    """Return the slowest calls of a batch as its columns."""
    return {
        "slowest": [slow.number for slow in slowest],
        "slowest_ms": [slow.ms for slow in slowest],
    }


def lock_claims(cur: Cursor, run_id: int, limits: Limits) -> list[Claim] | None:
    """Lock the cap of a run's function; return the claims of other runs, None without a cap.

    The caller has locked its own run, and locks no other run after this.
    """
    if limits.function_concurrency is None:
        return None
    cur.execute(_SQL["lock_function"], {"run_id": run_id})
    return [claim for claim in _claims(cur, run_id) if claim.run_id != run_id]


def describe_part(cur: Cursor, run_id: int) -> str | None:
    """Describe a run's part of the cap of its function; return None if it shares none."""
    claims = _claims(cur, run_id)
    own = next((claim for claim in claims if claim.run_id == run_id), None)
    if own is None or not own.shares:
        return None
    return part_of(own, [claim for claim in claims if claim is not own]).words


def _claims(cur: Cursor, run_id: int) -> list[Claim]:
    cur.execute(_SQL["list_claims"], {"run_id": run_id})
    return rows(cur, Claim, limits=Limits.from_json, ramp=Ramp.from_json_if_any)
