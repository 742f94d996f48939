"""A client of Airflow's REST API, for the command line and for notes of DAG runs.

Formats: https://airflow.apache.org/docs/apache-airflow/stable/stable-rest-api-ref.html
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple, Self
from urllib.parse import quote

import httpx

from retrofill.model.errors import AirflowRefused, AirflowUnreachable, ConfigError
from retrofill.model.quoting import quoted

_TIMEOUT_S = 60


class DagRun(NamedTuple):
    """A DAG run in Airflow."""

    dag_id: str
    dag_run_id: str
    state: str

    @property
    def has_ended(self) -> bool:
        """Whether Airflow runs no more tasks of it."""
        return self.state in {"success", "failed"}


class Dag(NamedTuple):
    """A DAG in Airflow."""

    fields: Mapping[str, Mapping[str, Any]]
    """The JSON schema of each param."""

    is_paused: bool


class Airflow:
    """A client of Airflow's REST API.

    :param url: the address at which you open Airflow
    :param named_by: the variable, connection or setting that has the URL, for errors
    :param token: an access token of Airflow, instead of :meth:`sign_in`
    :param timeout_s: seconds to wait for a response
    :raises ConfigError: the URL is not an HTTP address
    """

    def __init__(
        self, url: str, *, named_by: str, token: str = "", timeout_s: float = _TIMEOUT_S
    ) -> None:
        self.url = url.rstrip("/")
        self._named_by = named_by
        headers = _bearer(token) if token else {}
        try:
            self._http = httpx.Client(base_url=self.url, timeout=timeout_s, headers=headers)
            is_http = self._http.base_url.scheme in {"http", "https"}
        except httpx.InvalidURL:
            is_http = False
        if not is_http:
            raise ConfigError(
                f"{named_by}: {quoted(self.url)} is not allowed; give the address at which you open"
                " Airflow, such as http://127.0.0.1:8080"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def sign_in(self, username: str, password: str) -> None:
        """Get an access token, and use it for all further requests.

        :raises AirflowUnreachable: Airflow does not answer
        :raises AirflowRefused: it does not accept user name and password
        """
        credentials = {"username": username, "password": password}
        response = self._request("POST", "/auth/token", json=credentials)
        if "access_token" not in response:
            raise AirflowUnreachable(f"the server at {self.url} is not Airflow")
        self._http.headers.update(_bearer(response["access_token"]))

    def dag(self, dag_id: str) -> Dag:
        """Return a DAG.

        :raises ConfigError: there is no DAG with this id
        """
        response = self._request("GET", f"{_dag(dag_id)}/details")
        fields = {name: param.get("schema") or {} for name, param in response["params"].items()}
        return Dag(fields, response["is_paused"])

    def require_on(self, dag_id: str) -> None:
        """Check that a DAG is not paused.

        :raises ConfigError: it is paused, or there is no such DAG
        """
        if self.dag(dag_id).is_paused:
            raise ConfigError(
                f"dag: {dag_id!r} is paused, so Airflow starts none of its tasks; unpause it in"
                " Airflow, or with the option --unpause of retrofill run or plan"
            )

    def unpause(self, dag_id: str) -> None:
        """Unpause a DAG."""
        self._request("PATCH", _dag(dag_id), json={"is_paused": False})

    def trigger(self, dag_id: str, conf: Mapping[str, Any], dag_run_id: str | None) -> DagRun:
        """Start a DAG run.

        :raises ConfigError: the values are not allowed, or the DAG run exists already
        """
        body: dict[str, Any] = {"logical_date": None, "conf": dict(conf)}
        if dag_run_id is not None:
            body["dag_run_id"] = dag_run_id
        return _dag_run(self._request("POST", f"{_dag(dag_id)}/dagRuns", json=body))

    def dag_run(self, dag_id: str, dag_run_id: str) -> DagRun:
        """Return the current state of a DAG run."""
        return _dag_run(self._request("GET", _path(dag_id, dag_run_id)))

    def note_of(self, dag_id: str, dag_run_id: str) -> str:
        """Return the note of a DAG run; empty: it has none."""
        return str(self._request("GET", _path(dag_id, dag_run_id))["note"] or "")

    def note(self, dag_id: str, dag_run_id: str, text: str) -> None:
        """Write the note of a DAG run."""
        self._request("PATCH", _path(dag_id, dag_run_id), json={"note": text})

    def state_of(self, dag_id: str, dag_run_id: str, task_id: str) -> str | None:
        """Return the state of a task of a DAG run; None: it has none yet."""
        path = f"{_path(dag_id, dag_run_id)}/taskInstances/{task_id}"
        state: str | None = self._request("GET", path)["state"]
        return state

    def value_of(self, dag_id: str, dag_run_id: str, task_id: str, key: str) -> Any:
        """Return an XCom of a task of a DAG run; None: there is none."""
        path = f"{_path(dag_id, dag_run_id)}/taskInstances/{task_id}/xcomEntries/{key}"
        response = self._send("GET", path)
        if response.status_code == httpx.codes.NOT_FOUND:
            return None
        return _content(response)["value"]

    def answer(self, dag_id: str, dag_run_id: str, task_id: str, option: str) -> None:
        """Answer a task of a DAG run that waits for a user's choice."""
        path = f"{_path(dag_id, dag_run_id)}/taskInstances/{task_id}/-1/hitlDetails"
        self._request("PATCH", path, json={"chosen_options": [option], "params_input": {}})

    def address(self, dag_id: str, dag_run_id: str) -> str:
        """Return the address of a DAG run in Airflow's UI."""
        return f"{self.url}/dags/{quote(dag_id, safe='')}/runs/{quote(dag_run_id, safe='')}"

    def _request(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        return _content(self._send(method, path, **body))

    def _send(self, method: str, path: str, **body: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **body)
        except httpx.RequestError as error:
            raise AirflowUnreachable(
                f"Airflow cannot be reached at {self.url}, the address in {self._named_by}: {error}"
            ) from error


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _dag(dag_id: str) -> str:
    return f"/api/v2/dags/{quote(dag_id, safe='')}"


def _path(dag_id: str, dag_run_id: str) -> str:
    return f"{_dag(dag_id)}/dagRuns/{quote(dag_run_id, safe='')}"


def _dag_run(content: Mapping[str, Any]) -> DagRun:
    return DagRun(content["dag_id"], content["dag_run_id"], content["state"])


def _content(response: httpx.Response) -> dict[str, Any]:
    """Return the content of a response.

    :raises AirflowRefused: the user may not do this
    :raises AirflowUnreachable: Airflow cannot do this now, or the response is not Airflow's
    :raises ConfigError: the request cannot be carried out
    """
    if response.is_success:
        with suppress(ValueError):
            content = response.json()
            if isinstance(content, dict):
                return content
        raise AirflowUnreachable(f"the server at {response.url} is not Airflow")
    message = (
        f"Airflow answers {response.status_code} to {response.request.method} {response.url}:"
        f" {_detail(response)}"
    )
    if response.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
        raise AirflowRefused(message)
    raise ConfigError(message) if response.is_client_error else AirflowUnreachable(message)


def _detail(response: httpx.Response) -> str:
    try:
        return str(response.json()["detail"])
    except (ValueError, LookupError, TypeError):
        return response.text[:300]
