"""Show the first call of a run without making it: nothing is written, and nothing is called."""

import logging

from retrofill.engine.first_calls import fit
from retrofill.engine.packing import pack
from retrofill.model.amounts import counted
from retrofill.model.items import Item
from retrofill.pipeline.plan import Plan
from retrofill.state import runs, screening
from retrofill.state.connection import Connection

log = logging.getLogger(__name__)


def preview(conn: Connection, plan: Plan) -> None:
    """Log the payload of the first call of a planned run.

    :raises ConfigError: the job's name belongs to a job with another source, function or event
    :raises SourceError: the source could not be read
    """
    known = runs.find_job(conn, plan.job.name)
    if known is not None:
        runs.require_same(known.job, plan.job)
    shape, max_bytes = plan.shape, plan.config.function_kind.max_request_bytes
    most = min(plan.delivery.items_per_call, shape.max_items)
    items = _first_new(conn, plan, None if known is None else known.job_id, most)
    if not items:
        log.info("preview: nothing is new, so there is no call to make")
        return
    sizes = list(map(len, shape.records(items)))
    place, *_ = pack(sizes, overhead=shape.overhead, max_items=most, max_bytes=max_bytes).calls
    body = shape.body(items[place.start : place.stop])
    log.info(
        "preview: the first call carries %s in %s bytes, and is not made:\n%s",
        counted(len(place), "item"),
        f"{len(body):,}",
        body.decode(),
    )


def _first_new(conn: Connection, plan: Plan, job_id: int | None, most: int) -> list[Item]:
    """Return the first listed items that the job does not know and a call can carry."""
    fits = fit(plan.shape, plan.config.function_kind.max_request_bytes)
    found: dict[bytes, Item] = {}
    (whole,) = plan.source.partitions(1)
    for page in plan.source.pages(whole):
        known = screening.known(conn, job_id, page.items) if job_id is not None else set()
        for item in page.items:
            if item.identifier not in known and not (fits and fits(item)):
                found.setdefault(item.identifier, item)
        if len(found) >= most:
            break
    return list(found.values())[:most]
