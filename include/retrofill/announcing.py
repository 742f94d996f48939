"""What Airflow itself shows of a run: an asset event when it is complete, and notes of DAG runs.

The asset of a job is ``retrofill://jobs/<its name>``. The job is only known when the DAG runs, so
each DAG has an asset alias, named by its id, for the assets of its jobs.
"""

import logging
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from airflow.configuration import conf
from airflow.sdk import Asset, AssetAlias

from retrofill.airflow_rest import Airflow
from retrofill.compat import Context, events_since
from retrofill.connections import AirflowConnections
from retrofill.model.cost import dollars
from retrofill.model.errors import ConfigError, StateError
from retrofill.model.report import Report
from retrofill.model.runs import Run
from retrofill.state import runs
from retrofill.state.connection import Connection

log = logging.getLogger(__name__)

AIRFLOW_CONN_ID = "retrofill_airflow"
"""The connection for notes: Airflow's REST API, as a user who may write them."""

MOST_CHARACTERS = 1_000
"""The most characters that Airflow allows in a note."""

_MARK = "Retrofill: "
_TIMEOUT_S = 10


def asset_of(job: str) -> Asset:
    """Return the asset of a job."""
    return Asset(f"retrofill://jobs/{quote(job, safe='')}")


def announce(context: Context, run: Run, report: Report) -> None:
    """Have Airflow send the asset event of a complete run when this task succeeds, once per run."""
    dag_run = context["dag_run"]
    alias = AssetAlias(dag_run.dag_id)
    sent = events_since(context, alias, run.opened_at)
    if any((event.extra or {}).get("run_id") == report.run_id for event in sent):
        log.info("the asset event of run %d was sent by an earlier try", report.run_id)
        return
    names = ("job", "run_id", "listed", "known", "new", "succeeded", "quarantined", "calls", "cost")
    extra: dict[str, Any] = {name: getattr(report, name) for name in names}
    extra["dag_run_id"] = dag_run.run_id
    context["outlet_events"][alias].add(asset_of(report.job), extra)


def headline(run: Run, source: str) -> str:
    """Return one line with number, job, source and function of a run."""
    version = f" version {run.function.version}" if run.function.version else ""
    return f"run {run.run_id} of {run.job}: {source} → {run.function.name}{version}"


def note_of_set(run: Run, source: str, set_no: int) -> str:
    """Return the note for the DAG run of a further set."""
    return f"{_MARK}{headline(run, source)}\nset {set_no}"


def note_end(context: Context, conn: Connection, run: Run) -> None:
    """Write status and counts of a run into the note of its DAG run."""
    with suppress(StateError):
        report = runs.get_report(conn, run.run_id)
        # The counts come first: Airflow's list of DAG runs shows the beginning of a note.
        note(context, ", ".join(_counts(report)), headline(run, report.source))


def _counts(report: Report) -> Iterator[str]:
    yield f"{report.status}: {report.succeeded:,} succeeded"
    if report.quarantined:
        yield f"{report.quarantined:,} quarantined"
    if report.items_left:
        yield f"{report.items_left:,} left"
    yield f"{report.known:,} known"
    yield f"{report.calls:,} calls"
    if report.cost is not None:
        yield dollars(report.cost)
    if report.stop_reason:
        yield f"stopped: {report.stop_reason}"


def note(context: Context, *lines: str) -> None:
    """Write the note of a DAG run, after any text that users have written there.

    Tasks cannot write to Airflow's database, and their API has no notes. So this needs a connection
    to Airflow's REST API. Without one, or on any error, it only logs: a note must not fail a task.
    """
    dag_run = context["dag_run"]
    try:
        _write(dag_run.dag_id, dag_run.run_id, _MARK + "\n".join(lines))
    except Exception as error:  # noqa: BLE001  the message is enough
        log.warning("the note of the DAG run could not be written: %s", error)


def _write(dag_id: str, dag_run_id: str, text: str) -> None:
    try:
        fields = AirflowConnections().get(AIRFLOW_CONN_ID)
    except ConfigError:
        log.info("no note is written: there is no connection %s", AIRFLOW_CONN_ID)
        return
    host = fields.host if "://" in fields.host else f"{fields.schema or 'http'}://{fields.host}"
    port = f":{fields.port}" if fields.port else ""
    airflow = Airflow(
        f"{host}{port}" if fields.host else conf.get("api", "base_url"),
        named_by=f"the connection {AIRFLOW_CONN_ID}" if fields.host else "[api] base_url",
        token="" if fields.login else fields.password,
        timeout_s=_TIMEOUT_S,
    )
    with airflow:
        if fields.login:
            airflow.sign_in(fields.login, fields.password)
        by_users = airflow.note_of(dag_id, dag_run_id).partition(_MARK)[0].rstrip()
        note = "\n\n".join(filter(None, (by_users, text)))[:MOST_CHARACTERS]
        airflow.note(dag_id, dag_run_id, note)
