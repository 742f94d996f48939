"""Airflow's REST API, as far as the command line and notes of DAG runs need it.

Formats: https://airflow.apache.org/docs/apache-airflow/stable/stable-rest-api-ref.html
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote

import httpx

from retrofill.model.errors import AirflowRefused, AirflowUnreachable, ConfigError
from retrofill.model.quoting import quoted

_ENDED = ("success", "failed")
_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class DagRun:
    """A DAG run, as Airflow tells of it."""

    dag_id: str
    dag_run_id: str
    state: str

    @property
    def has_ended(self) -> bool:
        """Whether none of its tasks runs any more."""
        return self.state in _ENDED


@dataclass(frozen=True, slots=True)
class Dag:
    """A DAG, as Airflow tells of it."""

    fields: Mapping[str, Mapping[str, Any]]
    """The JSON schema of each of its params."""

    is_paused: bool
    """Whether it is switched off, so that no task of it begins."""


class Airflow:
    """A client of Airflow's REST API.

    :param url: where people open Airflow
    :param named_by: what says so: a variable, a connection or a setting
    :param token: a token of Airflow's, of whoever does not sign in
    :param timeout_s: seconds to wait for an answer
    :raises ConfigError: the URL is none
    """

    def __init__(
        self, url: str, *, named_by: str, token: str = "", timeout_s: float = _TIMEOUT_S
    ) -> None:
        self.url = url.rstrip("/")
        self._named_by = named_by
        try:
            self._http = httpx.Client(base_url=self.url, timeout=timeout_s)
        except httpx.InvalidURL as error:
            raise self._wrong() from error
        if self._http.base_url.scheme not in {"http", "https"}:
            raise self._wrong()
        if token:
            self._bear(token)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def sign_in(self, username: str, password: str) -> None:
        """Ask for a token, and bear it from now on.

        :raises AirflowUnreachable: Airflow does not answer
        :raises AirflowRefused: it does not know who asks
        """
        who = {"username": username, "password": password}
        told = self._asked("POST", "/auth/token", json=who)
        if "access_token" not in told:
            raise AirflowUnreachable(f"at {self.url} something else than Airflow answers")
        self._bear(told["access_token"])

    def dag(self, dag_id: str) -> Dag:
        """Return a DAG.

        :raises ConfigError: there is none of that id
        """
        told = self._asked("GET", f"{_dag(dag_id)}/details")
        fields = {name: param.get("schema") or {} for name, param in told["params"].items()}
        return Dag(fields, told["is_paused"])

    def require_on(self, dag_id: str) -> None:
        """Check that a DAG is switched on.

        :raises ConfigError: it is paused, or there is none
        """
        if self.dag(dag_id).is_paused:
            raise ConfigError(
                f"dag: {dag_id!r} is paused, so that Airflow begins no task of it; switch it on in"
                " Airflow, or by retrofill run or plan with --unpause"
            )

    def unpause(self, dag_id: str) -> None:
        """Switch a DAG on."""
        self._asked("PATCH", _dag(dag_id), json={"is_paused": False})

    def trigger(self, dag_id: str, conf: Mapping[str, Any], dag_run_id: str | None) -> DagRun:
        """Start a DAG run.

        :raises ConfigError: the values are not allowed, or there is a DAG run of that id
        """
        asked: dict[str, Any] = {"logical_date": None, "conf": dict(conf)}
        if dag_run_id is not None:
            asked["dag_run_id"] = dag_run_id
        return _dag_run(self._asked("POST", f"{_dag(dag_id)}/dagRuns", json=asked))

    def dag_run(self, dag_id: str, dag_run_id: str) -> DagRun:
        """Return a DAG run as it is now."""
        return _dag_run(self._asked("GET", _path(dag_id, dag_run_id)))

    def note_of(self, dag_id: str, dag_run_id: str) -> str:
        """Return the note of a DAG run; empty if it has none."""
        return str(self._asked("GET", _path(dag_id, dag_run_id))["note"] or "")

    def note(self, dag_id: str, dag_run_id: str, text: str) -> None:
        """Write the note of a DAG run."""
        self._asked("PATCH", _path(dag_id, dag_run_id), json={"note": text})

    def state_of(self, dag_id: str, dag_run_id: str, task_id: str) -> str | None:
        """Return the state of a task of a DAG run; None: it has none yet."""
        path = f"{_path(dag_id, dag_run_id)}/taskInstances/{task_id}"
        found = self._asked("GET", path)["state"]
        return found and str(found)

    def value_of(self, dag_id: str, dag_run_id: str, task_id: str, key: str) -> Any:
        """Return what a task of a DAG run has left under a name; None: nothing."""
        path = f"{_path(dag_id, dag_run_id)}/taskInstances/{task_id}/xcomEntries/{key}"
        answer = self._sent("GET", path)
        return None if answer.status_code == httpx.codes.NOT_FOUND else _said(answer)["value"]

    def answer(self, dag_id: str, dag_run_id: str, task_id: str, option: str) -> None:
        """Answer what a task of a DAG run asks a person."""
        path = f"{_path(dag_id, dag_run_id)}/taskInstances/{task_id}/-1/hitlDetails"
        self._asked("PATCH", path, json={"chosen_options": [option], "params_input": {}})

    def address(self, dag_id: str, dag_run_id: str) -> str:
        """Return where people find a DAG run."""
        return f"{self.url}/dags/{quote(dag_id, safe='')}/runs/{quote(dag_run_id, safe='')}"

    def _bear(self, token: str) -> None:
        self._http.headers["Authorization"] = f"Bearer {token}"

    def _wrong(self) -> ConfigError:
        return ConfigError(
            f"{self._named_by}: {quoted(self.url)}; allowed is the address at which people open"
            " Airflow, such as http://127.0.0.1:8080"
        )

    def _asked(self, method: str, path: str, **content: Any) -> dict[str, Any]:
        return _said(self._sent(method, path, **content))

    def _sent(self, method: str, path: str, **content: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **content)
        except httpx.RequestError as error:
            raise AirflowUnreachable(
                f"Airflow cannot be reached at {self.url}, as {self._named_by} names it: {error}"
            ) from error


def _dag(dag_id: str) -> str:
    return f"/api/v2/dags/{quote(dag_id, safe='')}"


def _path(dag_id: str, dag_run_id: str) -> str:
    return f"{_dag(dag_id)}/dagRuns/{quote(dag_run_id, safe='')}"


def _dag_run(told: Mapping[str, Any]) -> DagRun:
    return DagRun(told["dag_id"], told["dag_run_id"], told["state"])


def _said(answer: httpx.Response) -> dict[str, Any]:
    """Return what Airflow has answered.

    :raises AirflowRefused: that whoever asks may not
    :raises AirflowUnreachable: that it cannot, or what Airflow would not
    :raises ConfigError: that what is asked for cannot be done
    """
    if answer.is_success:
        with suppress(ValueError):
            found = answer.json()
            if isinstance(found, dict):
                return found
        raise AirflowUnreachable(f"at {answer.url} something else than Airflow answers")
    why = f"Airflow answers {answer.status_code} to {answer.request.method} {answer.url}"
    said = f"{why}: {_detail(answer)}"
    if answer.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
        raise AirflowRefused(said)
    if answer.is_client_error:
        raise ConfigError(said)
    raise AirflowUnreachable(said)


def _detail(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, LookupError, TypeError):
        return answer.text[:300]
