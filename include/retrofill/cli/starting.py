"""Commands that start runs, and answer what they ask, by Airflow's REST API."""

import time
from collections.abc import Callable
from typing import Annotated, Any

import typer

from retrofill.airflow_rest import Airflow, DagRun
from retrofill.cli import values
from retrofill.cli.airflow import sign_in
from retrofill.cli.exits import Exit
from retrofill.cli.looking import RunNumber, end, report_text
from retrofill.cli.output import Json, print_json, print_text, say
from retrofill.cli.state import open_state
from retrofill.cli.watching import LOOK_S, watch
from retrofill.model.approval import Answer, Approval
from retrofill.model.errors import ConfigError
from retrofill.model.runs import REFUSED, Run, SetRef
from retrofill.state import pages, runs
from retrofill.state.connection import Connection

Dag = Annotated[str, typer.Argument(metavar="DAG", help="The id of a DAG, such as retrofill_rows.")]
Values = Annotated[
    list[str] | None,
    typer.Argument(metavar="NAME=VALUE", help="Params of the run, as the trigger form has them."),
]
DagRunId = Annotated[
    str | None, typer.Option("--dag-run-id", help="The id of the DAG run. Left out: Airflow's.")
]
Unpause = Annotated[bool, typer.Option("--unpause", help="Switch the DAG on, if it is not.")]

_APPROVE = "approve"
_TAKEN_WITHIN_S = 300.0


def run(
    dag: Dag,
    params: Values = None,
    *,
    follow: Annotated[
        bool, typer.Option("--watch", help="Show its progress until its DAG runs have ended.")
    ] = False,
    dag_run_id: DagRunId = None,
    unpause: Unpause = False,
    as_json: Json = False,
) -> None:
    """Start a run, and wait until it is opened.

    With --watch, it waits for the end. Exit code 1: the run was refused, or is not complete at its
    end.
    """
    with sign_in() as airflow, open_state() as conn:
        begun = start(airflow, dag, params or [], {}, dag_run_id=dag_run_id, unpause=unpause)
        follow_run(airflow, conn, begun, follow=follow, as_json=as_json)


def plan(
    dag: Dag,
    params: Values = None,
    *,
    dag_run_id: DagRunId = None,
    unpause: Unpause = False,
    as_json: Json = False,
) -> None:
    """Start a run that calls nothing before its plan is approved, and print that plan.

    Then approve or reject it. Exit code 1: there is no plan.
    """
    with sign_in() as airflow, open_state() as conn:
        asked = {_APPROVE: True}
        begun = start(airflow, dag, params or [], asked, dag_run_id=dag_run_id, unpause=unpause)
        run_id = await_opened(airflow, conn, begun)
        planned = _await_plan(airflow, conn, begun, run_id)
        page = pages.get_page(conn, run_id)
        found = page.controls.plan
        if as_json:
            print_json(
                {
                    **_names(begun, planned),
                    "plan": found and found.as_json(),
                    "approval": page.report.approval,
                }
            )
        elif found is not None:
            # It imports all kinds of sources, to know their words.
            from retrofill.sources import reasons_of  # noqa: PLC0415

            print_text(found.markdown(reasons_of(page.controls.source_kind)))
    if planned.approval is not None and planned.approval.status is Answer.WAITING:
        say(
            f"run {run_id} waits until {planned.approval.until_said};"
            f" retrofill approve {run_id} has it call what is planned"
        )
        return
    if not as_json:
        say(f"run {run_id} asks nobody: {page.report.missing or 'nothing is left to be called'}")
    end(page.report)


def approve(run: RunNumber) -> None:
    """Approve the plan of a run, which then calls what was planned.

    Exit code 1: it was answered otherwise, or what would be called has changed since.
    """
    _answer(run, "Approve", Answer.APPROVED)


def reject(run: RunNumber) -> None:
    """Reject the plan of a run: it calls nothing, and its items are new again."""
    _answer(run, "Reject", Answer.REJECTED)


def start(
    airflow: Airflow,
    dag_id: str,
    pairs: list[str],
    asked: dict[str, Any],
    *,
    dag_run_id: str | None,
    unpause: bool,
) -> DagRun:
    """Start a DAG run with the params that were typed.

    :param asked: more params, which win
    :raises ConfigError: they are not allowed; nothing was started
    """
    conf = {**values.read(pairs, airflow.dag(dag_id).fields), **asked}
    if unpause:
        airflow.unpause(dag_id)
    else:
        airflow.require_on(dag_id)
    return airflow.trigger(dag_id, conf, dag_run_id)


def follow_run(
    airflow: Airflow, conn: Connection, begun: DagRun, *, follow: bool, as_json: bool
) -> None:
    """Wait until a run is opened or, if it is to be followed, has ended; tell of it, and exit.

    :raises typer.Exit: at the end of a run that was followed
    """
    run_id = await_opened(airflow, conn, begun)
    if not follow:
        opened = runs.get_run(conn, run_id)
        if as_json:
            print_json(_names(begun, opened))
        else:
            print_text(f"run {run_id} of job {opened.job}")
            say(f"{airflow.address(begun.dag_id, begun.dag_run_id)}")
            say(f"retrofill status {run_id} --watch shows its progress")
        return
    report = watch(
        conn, run_id, as_json=as_json, lives=lambda: not _last(airflow, conn, run_id).has_ended
    )
    # Its DAG run ends when its report was taken: green means done.
    last = _wait(lambda: _ended(_last(airflow, conn, run_id)))
    if not as_json:
        print_text(report_text(report, pages.get_page(conn, run_id).controls.source_kind))
    if last.state != "success":
        say(f"Airflow says of {last.dag_run_id}: {last.state}")
        raise typer.Exit(Exit.INCOMPLETE)
    end(report)


def await_opened(airflow: Airflow, conn: Connection, begun: DagRun) -> int:
    """Return the number of the run that a DAG run has opened.

    :raises typer.Exit: it opens none
    """
    while True:
        now = airflow.dag_run(begun.dag_id, begun.dag_run_id)
        ref = runs.find_set(conn, begun.dag_id, begun.dag_run_id)
        if ref is not None:
            return ref.run_id
        if now.has_ended:
            place = (begun.dag_id, begun.dag_run_id, "open_run", REFUSED)
            why = airflow.value_of(*place) or "see the log of open_run"
            say(f"{begun.dag_run_id} has opened no run ({now.state}): {why}")
            say(airflow.address(begun.dag_id, begun.dag_run_id))
            raise typer.Exit(Exit.DONE if now.state == "success" else Exit.INCOMPLETE)
        time.sleep(LOOK_S)


def _await_plan(airflow: Airflow, conn: Connection, begun: DagRun, run_id: int) -> Run:
    """Return a run when its plan waits for a person, or never will."""
    while True:
        now = airflow.dag_run(begun.dag_id, begun.dag_run_id)
        run = runs.get_run(conn, run_id)
        waits = run.approval is not None and run.approval.status is Answer.WAITING
        if waits or run.status != "open" or now.has_ended:
            return run
        time.sleep(LOOK_S)


def _answer(run_id: int, option: str, wanted: Answer) -> None:
    """Answer what a run asks, until it has taken the answer.

    An answer right after the question may find Airflow still at work with the end of the process
    that asked, and then it asks again.
    """
    with sign_in() as airflow, open_state() as conn:
        approval = _approval(conn, run_id)
        first = runs.later_sets(conn, SetRef(run_id, 0))[0]
        limit = time.monotonic() + _TAKEN_WITHIN_S
        while approval.status is Answer.WAITING:
            if airflow.state_of(*first, _APPROVE) == "awaiting_input":
                airflow.answer(*first, _APPROVE, option)
            elif time.monotonic() > limit:
                say(f"run {run_id}: Airflow has not taken the answer yet; its scheduler must run")
                raise typer.Exit(Exit.INCOMPLETE)
            time.sleep(LOOK_S)
            approval = _approval(conn, run_id, was_asked=True)
    say(f"run {run_id}: its plan was {approval.said}")
    if approval.status is not wanted:
        raise typer.Exit(Exit.INCOMPLETE)


def _approval(conn: Connection, run_id: int, *, was_asked: bool = False) -> Approval:
    """Return what became of the plan of a run.

    :param was_asked: whether it has been found to wait before
    :raises ConfigError: it does not wait
    """
    approval = runs.get_run(conn, run_id).approval
    if approval is None or not (was_asked or approval.status is Answer.WAITING):
        said = f"its plan {approval.said}" if approval else "it asks nobody about a plan"
        raise ConfigError(f"run: {run_id}; {said}; allowed is one whose plan waits for a person")
    return approval


def _last(airflow: Airflow, conn: Connection, run_id: int) -> DagRun:
    """Return the DAG run of the last set of a run."""
    return airflow.dag_run(*runs.later_sets(conn, SetRef(run_id, 0))[-1])


def _ended(dag_run: DagRun) -> DagRun | None:
    return dag_run if dag_run.has_ended else None


def _wait(look: Callable[[], DagRun | None]) -> DagRun:
    while (found := look()) is None:
        time.sleep(LOOK_S)
    return found


def _names(begun: DagRun, run: Run) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "job": run.job,
        "dag_id": begun.dag_id,
        "dag_run_id": begun.dag_run_id,
    }
