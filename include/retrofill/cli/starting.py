"""Commands that start runs and approve or reject their plans, through Airflow's REST API."""

import time
from typing import Annotated, Any

import typer

from retrofill.airflow_rest import Airflow, DagRun
from retrofill.cli import values
from retrofill.cli.airflow import sign_in
from retrofill.cli.exits import Exit
from retrofill.cli.looking import RunNumber, end, print_report
from retrofill.cli.output import Json, print_json, print_text, say
from retrofill.cli.state import open_state
from retrofill.cli.watching import POLL_S, watch
from retrofill.model.approval import ApprovalStatus
from retrofill.model.errors import ConfigError
from retrofill.model.runs import REFUSED, Run, SetRef
from retrofill.state import pages, runs
from retrofill.state.connection import Connection

Dag = Annotated[str, typer.Argument(metavar="DAG", help="The id of a DAG, such as retrofill_rows.")]
Values = Annotated[
    list[str] | None,
    typer.Argument(metavar="NAME=VALUE", help="Params of the run, as in the trigger form."),
]
DagRunId = Annotated[
    str | None,
    typer.Option("--dag-run-id", help="The id of the DAG run. Left out: Airflow chooses one."),
]
Unpause = Annotated[bool, typer.Option("--unpause", help="Unpause the DAG first.")]

_APPROVE = "approve"
_TAKEN_WITHIN_S = 300.0


def run(
    dag: Dag,
    params: Values = None,
    *,
    follow: Annotated[
        bool, typer.Option("--watch", help="Show the progress until all its DAG runs have ended.")
    ] = False,
    dag_run_id: DagRunId = None,
    unpause: Unpause = False,
    as_json: Json = False,
) -> None:
    """Start a run, and wait until it is open.

    With --watch, it waits until the run ends. Exit code 1: the run was refused, or ended without
    being complete.
    """
    with sign_in() as airflow, open_state() as conn:
        begun = _start(airflow, dag, params, dag_run_id=dag_run_id, unpause=unpause)
        follow_run(airflow, conn, begun, follow=follow, as_json=as_json)


def plan(
    dag: Dag,
    params: Values = None,
    *,
    dag_run_id: DagRunId = None,
    unpause: Unpause = False,
    as_json: Json = False,
) -> None:
    """Start a run that calls nothing before its plan is approved, and print the plan.

    Approve or reject it afterwards. Exit code 1: there is no plan.
    """
    with sign_in() as airflow, open_state() as conn:
        begun = _start(airflow, dag, params, dag_run_id=dag_run_id, unpause=unpause, approve=True)
        run_id = await_opened(airflow, conn, begun)
        planned = _await_plan(airflow, conn, begun, run_id)
        page = pages.get_page(conn, run_id)
        found = page.controls.plan
        if as_json:
            said = {"plan": found and found.as_json(), "approval": page.report.approval}
            print_json(_names(begun, planned) | said)
        elif found is not None:
            # It imports all kinds of sources, for their texts.
            from retrofill.sources import reasons_of  # noqa: PLC0415

            print_text(found.markdown(reasons_of(page.controls.source_kind)))
    if planned.approval is not None and planned.approval.status is ApprovalStatus.WAITING:
        say(
            f"run {run_id} waits for approval until {planned.approval.until_text};"
            f" to call what is planned: retrofill approve {run_id}"
        )
        return
    if not as_json:
        say(f"run {run_id} needs no approval: {page.report.missing or 'no items are left to call'}")
    end(page.report)


def approve(run: RunNumber) -> None:
    """Approve the plan of a run, so that it calls what was planned.

    Exit code 1: the plan was rejected or expired, or what would be called has changed since.
    """
    _answer(run, "Approve", ApprovalStatus.APPROVED)


def reject(run: RunNumber) -> None:
    """Reject the plan of a run: it calls nothing, and its items are new again."""
    _answer(run, "Reject", ApprovalStatus.REJECTED)


def _start(
    airflow: Airflow,
    dag_id: str,
    pairs: list[str] | None,
    *,
    dag_run_id: str | None,
    unpause: bool,
    **params: Any,
) -> DagRun:
    """Start a DAG run with the typed params, and with others that override them.

    :raises ConfigError: they are not allowed; nothing was started
    """
    conf = values.read(pairs or [], airflow.dag(dag_id).fields) | params
    if unpause:
        airflow.unpause(dag_id)
    else:
        airflow.require_on(dag_id)
    return airflow.trigger(dag_id, conf, dag_run_id)


def follow_run(
    airflow: Airflow, conn: Connection, begun: DagRun, *, follow: bool, as_json: bool
) -> None:
    """Wait until a run is open or, with ``follow``, has ended; print it, and exit.

    :raises typer.Exit: the run was followed to its end, or was not opened
    """
    run_id = await_opened(airflow, conn, begun)
    if not follow:
        opened = runs.get_run(conn, run_id)
        if as_json:
            print_json(_names(begun, opened))
        else:
            print_text(f"run {run_id} of job {opened.job}")
            say(airflow.address(begun.dag_id, begun.dag_run_id))
            say(f"retrofill status {run_id} --watch shows its progress")
        return
    watch(
        conn, run_id, as_json=as_json, is_active=lambda: not _last(airflow, conn, run_id).has_ended
    )
    # The DAG run of the last set ends after the run was reported: success means done.
    while not (last := _last(airflow, conn, run_id)).has_ended:
        time.sleep(POLL_S)
    page = pages.get_page(conn, run_id)
    if not as_json:
        print_report(page)
    if last.state != "success":
        say(f"the state of DAG run {last.dag_run_id} in Airflow is {last.state}")
        raise typer.Exit(Exit.INCOMPLETE)
    end(page.report)


def await_opened(airflow: Airflow, conn: Connection, begun: DagRun) -> int:
    """Return the number of the run that a DAG run opens.

    :raises typer.Exit: it ended without opening a run
    """
    while True:
        now = airflow.dag_run(begun.dag_id, begun.dag_run_id)
        ref = runs.find_set(conn, begun.dag_id, begun.dag_run_id)
        if ref is not None:
            return ref.run_id
        if now.has_ended:
            place = (begun.dag_id, begun.dag_run_id, "open_run", REFUSED)
            why = airflow.value_of(*place) or "see the log of open_run"
            say(f"{begun.dag_run_id} opened no run ({now.state}): {why}")
            say(airflow.address(begun.dag_id, begun.dag_run_id))
            raise typer.Exit(Exit.DONE if now.state == "success" else Exit.INCOMPLETE)
        time.sleep(POLL_S)


def _await_plan(airflow: Airflow, conn: Connection, begun: DagRun, run_id: int) -> Run:
    """Return a run once its plan waits for approval, or never will."""
    while True:
        now = airflow.dag_run(begun.dag_id, begun.dag_run_id)
        run = runs.get_run(conn, run_id)
        waits = run.approval is not None and run.approval.status is ApprovalStatus.WAITING
        if waits or run.status != "open" or now.has_ended:
            return run
        time.sleep(POLL_S)


def _answer(run_id: int, option: str, wanted: ApprovalStatus) -> None:
    """ApprovalStatus the plan of a run, until the run has taken the answer.

    Airflow may ignore an answer that comes right after the question, while the process that asked
    is still ending, and asks again.
    """
    with sign_in() as airflow, open_state() as conn:
        approval = runs.get_run(conn, run_id).approval
        if approval is None or approval.status is not ApprovalStatus.WAITING:
            said = f"its plan {approval.text}" if approval else "it needs no approval"
            raise ConfigError(f"run: {run_id}; {said}; give a run whose plan waits for approval")
        first = runs.later_sets(conn, SetRef(run_id, 0))[0]
        limit = time.monotonic() + _TAKEN_WITHIN_S
        while approval.status is ApprovalStatus.WAITING:
            if airflow.state_of(*first, _APPROVE) == "awaiting_input":
                airflow.answer(*first, _APPROVE, option)
            elif time.monotonic() > limit:
                say(f"run {run_id}: Airflow has not taken the answer; check that a scheduler runs")
                raise typer.Exit(Exit.INCOMPLETE)
            time.sleep(POLL_S)
            approval = runs.get_run(conn, run_id).approval or approval
    say(f"run {run_id}: its plan was {approval.text}")
    if approval.status is not wanted:
        raise typer.Exit(Exit.INCOMPLETE)


def _last(airflow: Airflow, conn: Connection, run_id: int) -> DagRun:
    """Return the DAG run of the last set of a run."""
    return airflow.dag_run(*runs.later_sets(conn, SetRef(run_id, 0))[-1])


def _names(begun: DagRun, run: Run) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "job": run.job,
        "dag_id": begun.dag_id,
        "dag_run_id": begun.dag_run_id,
    }
