"""The cap that the runs of one function share: what each has in flight of it, and wants."""

from retrofill.engine.ramp import Ramp
from retrofill.engine.sharing import Claim, part_of
from retrofill.model.limits import Limits
from retrofill.state.connection import Cursor, rows
from retrofill.state.statements import load

_SQL = load("sharing.sql")


def lock_claims(cur: Cursor, run_id: int, limits: Limits) -> list[Claim] | None:
    """Lock the cap of a run's function, and return what its other runs have of it.

    A run without such a cap asks for nothing, and gets None.

    Whoever asks holds the lock on its own run, and takes no other run's behind this one.
    """
    if limits.function_concurrency is None:
        return None
    cur.execute(_SQL["lock_function"], {"run_id": run_id})
    return [claim for claim in _claims(cur, run_id) if claim.run_id != run_id]


def say_part(cur: Cursor, run_id: int) -> str | None:
    """Return a run's part of the cap of its function, for people; None: it shares none."""
    claims = _claims(cur, run_id)
    own = next((claim for claim in claims if claim.run_id == run_id), None)
    if own is None or not own.shares:
        return None
    return part_of(own, [claim for claim in claims if claim is not own]).words


def _claims(cur: Cursor, run_id: int) -> list[Claim]:
    cur.execute(_SQL["list_claims"], {"run_id": run_id})
    return rows(cur, Claim, limits=Limits.from_json, ramp=Ramp.from_json_if_any)
