"""What a task is given when it asks: its share of what the run may do, for another lease."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from retrofill.engine.causes import CallCount
from retrofill.engine.ramp import Tally
from retrofill.engine.shares import Share, Standing, Totals, allot
from retrofill.engine.slowest import Slow
from retrofill.model.calls import Allotment, Refused
from retrofill.model.errors import LeaseLost
from retrofill.state.connection import Cursor, one, rows
from retrofill.state.limits import stop_within
from retrofill.state.locks import lock_standing
from retrofill.state.sharing import lock_claims
from retrofill.state.statements import load

_SQL = load("allotting.sql")


class Holder(NamedTuple):
    """Who asks: which batch of which run it holds, by which lease."""

    run_id: int
    batch_id: int
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a task tells of itself when it asks; see :meth:`.lease.BatchLease.allot`."""

    wanted: int
    in_flight: int
    width: int | None
    answered: bool
    refused: Refused | None
    ended: Tally
    least_cost: float
    slowest: Sequence[Slow]


class Given(NamedTuple):
    """What was given, and how the run was found."""

    allotment: Allotment
    found: Standing
    finds_uncounted: bool
    """Whether another holder has gone silent whose calls nobody has counted yet."""


def give(cur: Cursor, holder: Holder, ask: Ask, *, lease_s: float) -> Given:
    """Renew a lease, and give its holder a share of what the run may do.

    :param lease_s: for how many seconds
    :raises LeaseLost: the batch has another holder
    """
    key = {"run_id": holder.run_id, "batch_id": holder.batch_id}
    found = lock_standing(cur, holder.run_id)
    standing = found.climbed(ask.ended)
    # In this order: a call that another makes in between counts twice, and is never missed.
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
        wanted=ask.wanted,
        in_flight=ask.in_flight,
        width=ask.width,
        refused=ask.refused,
        ended=causes,
        least_cost=ask.least_cost,
        claims=lock_claims(cur, holder.run_id, standing.limits),
    )
    _write(cur, holder, ask, allotment, lease_s)
    if (allotment.run_width, standing.ramp) != (found.width, found.ramp):
        ramp = standing.ramp and json.dumps(standing.ramp.as_json())
        cur.execute(_SQL["set_pace"], {**key, "width": allotment.run_width, "ramp": ramp})
    if allotment.stop_reason and not standing.stop_reason:
        stop_within(cur, holder.run_id, allotment.stop_reason)
    return Given(allotment, found, any(share.uncounted for share in shares))


def columns(slowest: Sequence[Slow]) -> dict[str, list[int]]:
    """Return the slowest calls of a batch as its columns."""
    return {
        "slowest": [slow.number for slow in slowest],
        "slowest_ms": [slow.ms for slow in slowest],
    }


def _write(cur: Cursor, holder: Holder, ask: Ask, allotment: Allotment, lease_s: float) -> None:
    cur.execute(
        _SQL["allot"],
        {
            "batch_id": holder.batch_id,
            "epoch": holder.epoch,
            "lease_s": lease_s,
            "wanted": ask.wanted,
            "allotted": max(allotment.concurrency, ask.in_flight),
            "calls": allotment.calls,
            "cost": allotment.cost,
            "width": ask.width if allotment.width is None else allotment.width,
            "in_flight": ask.in_flight,
            "calls_per_second": allotment.calls_per_second or 0.0,
            "answered": ask.answered,
            "refused_s": ask.refused and ask.refused.for_s,
            "refusal": ask.refused and ask.refused.reason,
            **columns(ask.slowest),
        },
    )
    if cur.rowcount != 1:
        message = f"batch {holder.batch_id} has been taken over by another task"
        raise LeaseLost(message)
