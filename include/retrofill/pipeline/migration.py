"""Migrating the state where there is no shell: what it would do, what it did, and the GRANTs."""

import logging
from typing import TypedDict

from retrofill.params.migration import MigrationParams
from retrofill.state import grants
from retrofill.state.address import Dsn
from retrofill.state.migrate import grant, look, migrate

log = logging.getLogger(__name__)


class Migrated(TypedDict):
    """What a migration found and did."""

    version: int
    """The number of the last migration that the schema had before; 0: there was no schema."""

    pending: list[str]
    """The migrations that it lacked."""

    applied: list[str]
    """Those that were applied; another session may have been faster."""

    grants: str
    """What the owner runs for the other roles."""

    granted: bool
    """Whether that was done."""


def migrate_state(dsn: Dsn, config: MigrationParams, runtime_role: str) -> Migrated:
    """Migrate the state through a connection, unless it is a dry run; tell the GRANTs.

    Safe to run at once from several places, and again: see :func:`retrofill.state.migrate.migrate`.

    :param runtime_role: the role that runs
    :raises SchemaMismatch: the schema is newer than this code
    :raises StateError: Postgres cannot be reached, or refuses
    """
    conn_id = config.conn_id
    found = look(dsn, conn_id=conn_id)
    log.info(
        "database %s, as role %s: the schema is at version %d; to apply: %s",
        found.database, found.role, found.version, ", ".join(found.migrations) or "nothing",
    )  # fmt: skip
    applied = []
    if found.migrations and not config.dry_run:
        applied = migrate(dsn, conn_id=conn_id)
        log.info("applied: %s", ", ".join(applied) or "nothing: another session was faster")
    lines = grants.script(runtime_role, config.reader_role or "", forget=config.forget)
    granted = config.grant and not config.dry_run
    if granted:
        grant(dsn, lines, conn_id=conn_id)
    heading = "granted" if granted else "for the owner of the schema to run"
    log.info("%s:\n%s", heading, "\n".join(lines))
    if config.dry_run:
        log.info("this was a dry run: nothing was changed")
    return Migrated(
        version=found.version,
        pending=found.migrations,
        applied=applied,
        grants="\n".join(lines),
        granted=granted,
    )
