"""All DAGs at once, for a DAG file to put into its globals."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial

from airflow.configuration import conf
from airflow.sdk import DAG, get_parsing_context

from retrofill.config import params_for
from retrofill.jobs import JOBS_FOLDER, JobFile, folder_of, load_jobs
from retrofill.model.errors import ConfigError
from retrofill.sources import SOURCES
from retrofill.workflow import forget_dag, job_dag, maintenance_dag, migrate_dag, retrofill_dag

_KEEPING: Mapping[str, Callable[[], DAG]] = {
    "retrofill_maintenance": partial(
        maintenance_dag,
        "retrofill_maintenance",
        schedule="@daily",
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        doc_md="""Close runs that were abandoned, and delete calls, and if asked for results, that
        are older than they have to be kept. **An object whose result is deleted is new again**: the
        next run that lists it calls the function with it once more.""",
    ),
    "retrofill_forget": partial(
        forget_dag,
        "retrofill_forget",
        doc_md="""Forget a job: its runs, calls, results and quarantine are deleted for good, and
        all its objects are new again. Refused while a run of it is open; broken off, trigger it
        again.""",
    ),
    "retrofill_migrate": partial(
        migrate_dag,
        "retrofill_migrate",
        doc_md="""Migrate the schema of Retrofill's state to the version of this code: once at the
        start, and with each upgrade. The log has the GRANT statements that other roles need. You
        can trigger it again at any time; migrations that are applied are skipped.""",
    ),
}
"""The DAGs that keep the state, by id."""


def retrofill_dags(*sources: str) -> dict[str, DAG]:
    """Return all DAGs by id: of each kind of source, of each job file, and those for maintenance.

    A task needs only its own DAG, so the others are not created there. In a DAG file::

        globals().update(retrofill_dags("rows"))

    :param sources: the kinds of sources that have a DAG to trigger; none given: all
    :raises ConfigError: there is no such kind
    """
    for name in sources:
        params_for(name)
    makers: dict[str, Callable[[], DAG]] = dict(_KEEPING)
    for kind in SOURCES.values():
        if kind.name in sources if sources else kind.about:
            name = f"retrofill_{kind.name}"
            makers[name] = partial(
                retrofill_dag, name, source=kind.name, schedule=None, doc_md=kind.about
            )
    wanted = get_parsing_context().dag_id or None
    if wanted not in makers:
        makers |= {job.name: partial(job_dag, job) for job in _jobs()}
    return {name: make() for name, make in makers.items() if wanted in {None, name}}


def _jobs() -> list[JobFile]:
    """Return all job files; without their folder one that says why there are none.

    An error instead would take all other DAGs with it, and the runs that are at work.
    """
    try:
        folder = folder_of(conf.get("retrofill", "jobs_folder", fallback=""))
    except ConfigError as error:
        return [JobFile(JOBS_FOLDER, (str(error),))]
    return load_jobs(folder)
