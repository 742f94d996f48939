"""Migrate the state from a DAG, and show the GRANTs."""

import logging
from typing import TypedDict

from retrofill.params.migration import MigrationParams
from retrofill.state import grants
from retrofill.state.address import Dsn
from retrofill.state.migrate import grant, look, migrate

log = logging.getLogger(__name__)


class Migrated(TypedDict):
    """The result of a migration."""

    version: int  # of the schema before it; 0: there was no schema
    pending: list[str]  # the migrations that the schema lacked
    applied: list[str]  # not those that another session applied first
    grants: str  # for the owner to run for the other roles
    granted: bool  # whether this task has run them


def migrate_state(dsn: Dsn, config: MigrationParams, runtime_role: str) -> Migrated:
    """Migrate the state, unless it is a dry run, and log the GRANTs.

    Can be repeated, also concurrently: see :func:`retrofill.state.migrate.migrate`.

    :param runtime_role: the role of tasks and pages
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
