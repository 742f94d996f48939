"""Show the first call of a run without making it: nothing is written, and nothing is called."""

import logging

from retrofill.engine.first_calls import Fits
from retrofill.engine.packing import pack
from retrofill.events import CompiledShape
from retrofill.model.amounts import counted
from retrofill.model.items import Item
from retrofill.sources import Source
from retrofill.state import screening
from retrofill.state.connection import Connection

log = logging.getLogger(__name__)


def preview(
    conn: Connection,
    source: Source,
    shape: CompiledShape,
    *,
    items_per_call: int,
    max_bytes: int,
    fits: Fits | None,
    job_id: int | None,
) -> bytes | None:
    """Log and return the payload of the first call of a run; None: there is no call.

    :param max_bytes: the most bytes in the payload of a call
    :param fits: returns why no call can carry an item, which is left out; None: all fit
    :param job_id: the job whose known items are left out; None: nothing is known yet
    :raises SourceError: the source could not be read
    """
    most = min(items_per_call, shape.max_items)
    items = _first_new(conn, source, fits, job_id, most)
    if not items:
        log.info("preview: nothing is new, so there is no call to make")
        return None
    sizes = list(map(len, shape.records(items)))
    place, *_ = pack(sizes, overhead=shape.overhead, max_items=most, max_bytes=max_bytes).calls
    body = shape.body(items[place.start : place.stop])
    log.info(
        "preview: the first call carries %s in %s bytes, and is not made:\n%s",
        counted(len(place), "item"),
        f"{len(body):,}",
        body.decode(),
    )
    return body


def _first_new(
    conn: Connection, source: Source, fits: Fits | None, job_id: int | None, most: int
) -> list[Item]:
    """Return the first items, in the order of the listing, that the job does not know."""
    found: dict[bytes, Item] = {}
    (whole,) = source.partitions(1)
    for page in source.pages(whole):
        known = screening.known(conn, job_id, page.items) if job_id is not None else set()
        for item in page.items:
            if item.identifier not in known and not (fits and fits(item)):
                found.setdefault(item.identifier, item)
        if len(found) >= most:
            break
    return list(found.values())[:most]
