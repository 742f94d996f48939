"""All DAGs, for the globals of a DAG file."""

from collections.abc import Callable
from functools import partial

from airflow.configuration import conf
from airflow.sdk import DAG, get_parsing_context

from retrofill.config import params_for
from retrofill.jobs import JOBS_FOLDER, JobFile, folder_of, load_jobs
from retrofill.model.errors import ConfigError
from retrofill.sources import SOURCES
from retrofill.workflow import STATE_DAGS, job_dag, retrofill_dag


def retrofill_dags(*sources: str) -> dict[str, DAG]:
    """Return all DAGs by id: one per kind of source, one per job file, and those for the state.

    In the process of a task, only the DAG of that task. In a DAG file::

        globals().update(retrofill_dags("rows"))

    :param sources: the kinds of sources that get a DAG; none given: all
    :raises ConfigError: there is no such kind
    """
    for name in sources:
        params_for(name)
    makers: dict[str, Callable[[], DAG]] = {
        dag_id: partial(kind.make, dag_id) for dag_id, kind in STATE_DAGS.items()
    }
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
    """Return all job files. If their folder cannot be read, one job file that says so.

    An error instead would remove all other DAGs, and end the runs that are active.
    """
    try:
        folder = folder_of(conf.get("retrofill", "jobs_folder", fallback=""))
    except ConfigError as error:
        return [JobFile(JOBS_FOLDER, (str(error),))]
    return load_jobs(folder)
