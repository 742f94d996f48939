"""The notification of a run: what it says, and to whom it goes."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import quote

from airflow.configuration import conf

from retrofill.config import RunConfig
from retrofill.model.errors import ConfigError, NotNotified
from retrofill.model.report import Report

log = logging.getLogger(__name__)


def check_targets(config: RunConfig) -> None:
    """Check that the targets of the notification exist, before the run does anything.

    :raises ConfigError: a target does not exist, or cannot be used
    """
    if problems := _problems(config):
        raise ConfigError(*problems.values())


def notify(
    config: RunConfig,
    report: Report,
    dag_id: str,
    dag_run_id: str,
    *,
    worst: Sequence[object] = (),
) -> None:
    """Send a run's report to every target in its configuration.

    :param worst: the most frequent errors of its items, one line each
    :raises NotNotified: a target did not accept it; a retry may succeed
    """
    title = f"Retrofill: {report.job} is {report.status}"
    lines = [report.as_text(config.source_kind.reasons), *(f"failed: {one}" for one in worst)]
    if report.to_do:
        lines.append(f"to do: {report.to_do}")
    _post(config, title, "\n".join(lines), {**report.as_json(), **_addresses(dag_id, dag_run_id)})


def notify_briefly(config: RunConfig, what: str, why: str, dag_id: str, dag_run_id: str) -> None:
    """Send a short message about a DAG run to every usable target, without a report.

    :param config: the valid part of the params
    :param what: the end of the title, such as ``did not start``
    :param why: the reason; empty: unknown
    :raises NotNotified: a target did not accept it; a retry may succeed
    """
    usable = config.notification.model_copy(update=dict.fromkeys(_problems(config)))
    config = replace(config, notification=usable)
    job = config.job.job or dag_id
    title = f"Retrofill: {job} {what}"
    text = f"{title}.\n{why or 'See the logs of its tasks.'}"
    fields = {"job": job, "status": what, "error": why}
    _post(config, title, text, {**fields, **_addresses(dag_id, dag_run_id)})


def _addresses(dag_id: str, dag_run_id: str) -> dict[str, str]:
    """Return the addresses of a DAG run in Airflow's UI, and of the page with its charts."""
    run = f"dags/{quote(dag_id, safe='')}/runs/{quote(dag_run_id, safe='')}"
    base = conf.get("api", "base_url", fallback="").rstrip("/")
    return {"link": f"{base}/{run}", "page": f"{base}/retrofill/{run}"}


def _post(config: RunConfig, title: str, text: str, fields: dict[str, Any]) -> None:
    text = f"{text}\nrun {fields['link']}\ncharts {fields['page']}"
    log.info("%s", text)
    topic, conn_id = _targets(config)
    sends: list[Callable[[], None]] = []
    if topic or conn_id:
        from retrofill.targets import publish, send  # noqa: PLC0415  see there

        if topic:
            aws_conn_id = config.job.aws_conn_id
            sends.append(partial(publish, aws_conn_id, topic, title, text, fields))
        if conn_id:
            sends.append(partial(send, conn_id, title, text, fields))
    errors = []
    for one in sends:
        try:
            one()
        except Exception as error:  # noqa: BLE001  a library's, raised after the other targets
            errors.append(error)
    if errors:
        raise NotNotified("; ".join(map(str, errors))) from errors[0]


def _problems(config: RunConfig) -> dict[str, str]:
    topic, conn_id = _targets(config)
    if not (topic or conn_id):
        return {}
    from retrofill.targets import problem_of_connection, problem_of_topic  # noqa: PLC0415

    found = {
        "notify_conn_id": problem_of_connection(conn_id) if conn_id else None,
        "notify_sns_topic_arn": problem_of_topic(config.job.aws_conn_id, topic) if topic else None,
    }
    return {name: problem for name, problem in found.items() if problem}


def _targets(config: RunConfig) -> tuple[str | None, str | None]:
    """Return the topic and the connection to notify."""
    return config.notification.notify_sns_topic_arn, config.notification.notify_conn_id
