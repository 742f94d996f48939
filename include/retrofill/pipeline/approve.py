"""Approval: request approval of a run's plan, and act on the answer."""

import logging
import time
from dataclasses import replace

from retrofill.config import RunConfig
from retrofill.model.amounts import counted
from retrofill.model.approval import Approval, ApprovalStatus
from retrofill.model.errors import ConfigError, RunIncomplete, SourceError
from retrofill.model.plan import RunPlan
from retrofill.model.runs import Run, SetRef
from retrofill.sources import Source
from retrofill.state import approvals, plans, runs
from retrofill.state.connection import Connection

log = logging.getLogger(__name__)

MOST_PAGES = 1_000
"""The most pages to list: a million objects, in about a minute."""

MOST_S = 60.0


def needs_approval(config: RunConfig, ref: SetRef) -> bool:
    """Return whether a set of a run needs approval."""
    return config.approval.approve and ref.set_no == 1


def plan_to_approve(conn: Connection, run: Run) -> RunPlan | None:
    """Return the plan to approve; None: nothing is left to call.

    :raises RunIncomplete: the run was stopped; or the plan was turned down, and is now withdrawn
    :raises ConfigError: there is no plan
    """
    if run.approval is not None and run.approval.is_negative:
        conclude_approval(conn, run.run_id)
        raise RunIncomplete(_what_now(run.approval))
    if run.status == "complete":
        log.info("the run is complete, so no approval is needed")
        return None
    if run.stop_reason:
        raise RunIncomplete(f"run {run.run_id} was stopped: {run.stop_reason}")
    if run.plan is None:
        raise ConfigError("approve: this run has no plan; clear plan_batches with all downstream")
    report = runs.get_report(conn, run.run_id)
    if not (report.items_left or report.partitions_left or report.with_others):
        log.info("nothing is left to call, so no approval is needed")
        return None
    return RunPlan.from_json(run.plan)


def was_approved(run: Run, mark: str) -> bool:
    """Return whether a run's plan was approved in response to the request with this mark."""
    approval = run.approval
    return approval is not None and (approval.status, approval.mark) == (
        ApprovalStatus.APPROVED,
        mark,
    )


def request_approval(
    conn: Connection, run: Run, config: RunConfig, plan: RunPlan, mark: str
) -> str:
    """Record that a plan waits for approval; return the text to show, in Markdown.

    From then on, nobody can change the run's limits: they are approved as shown.

    :param mark: identifies this request
    :raises RunIncomplete: the run was closed in the meantime
    """
    hours = config.approval.approve_within_hours
    approval = approvals.ask(conn, run.run_id, mark, hours=hours)
    if approval is None:
        raise RunIncomplete(f"run {run.run_id} is closed, so its plan cannot be approved")
    plan = replace(plan, limits=plans.read_limits(conn, run.run_id).as_json())
    plans.store_plan(conn, run.run_id, plan)
    text = plan.markdown(config.source_kind.reasons)
    report = runs.get_report(conn, run.run_id)
    if report.calls:
        settled_in = f"{counted(report.settled, 'item')} in {counted(report.calls, 'call')}"
        text = f"- called so far: {settled_in}\n{text}"
    return f"- answer until: {approval.until_text}; without an answer it is rejected\n{text}"


def record_answer(conn: Connection, run: Run, answer: ApprovalStatus, by: str) -> bool:
    """Record an answer, and withdraw the items of a rejected plan.

    :returns: whether the plan is approved
    :raises RunIncomplete: there was no request, or the plan was turned down before
    """
    approval = approvals.answer(conn, run.run_id, answer, by)
    if approval is None:
        raise RunIncomplete(f"run {run.run_id} does not wait for an answer")
    if not approval.is_negative:
        log.info("the plan was %s", approval.text)
        return True
    conclude_approval(conn, run.run_id)
    log.warning("%s", _what_now(approval))
    if answer is ApprovalStatus.APPROVED:
        raise RunIncomplete(_what_now(approval))
    return False


def void_approval(conn: Connection, run: Run, why: str) -> None:
    """Void an approval, because the run would call something else than was approved."""
    approvals.avoid(conn, run.run_id, why)
    conclude_approval(conn, run.run_id)


def conclude_approval(conn: Connection, run_id: int) -> None:
    """Before a run is closed: turn down its plan if nobody approved it, and withdraw the items."""
    run = runs.get_run(conn, run_id)
    approval = run.approval
    if approval is not None and approval.status is ApprovalStatus.WAITING:
        approval = approvals.answer(conn, run_id, ApprovalStatus.ENDED)
    if approval is not None and approval.is_negative and not approval.withdrawn:
        count = approvals.withdraw(conn, run)
        log.info("withdrew %s items that were not approved: they are new again", f"{count:,}")


def note_changes(conn: Connection, run: Run, config: RunConfig, source: Source | None) -> None:
    """Count, for about a minute, the items modified after a run was opened, and record the count.

    :param source: opened for these items; None: this kind of source cannot list changes
    """
    if source is None:
        log.info("%s: it cannot list changes since the plan", config.source.label())
        return
    items, is_all = 0, True
    give_up_at = time.monotonic() + MOST_S
    try:
        (whole,) = source.partitions(1)
        for number, page in enumerate(source.pages(whole)):
            if number >= MOST_PAGES or time.monotonic() > give_up_at:
                is_all = False
                break
            items += len(page.items)
    except SourceError as error:
        log.warning("changes since the plan could not be counted: %s", error)
        return
    approvals.note_changes(conn, run.run_id, items, more=not is_all)
    log.info("%s%s changed since the plan, not called", "" if is_all else "at least ", f"{items:,}")


def require_approved(config: RunConfig, run: Run) -> None:
    """Check that the plan of a run is approved, if the run needs approval.

    :raises ConfigError: it is not approved
    """
    if not config.approval.approve:
        return
    if run.approval is None or run.approval.status is not ApprovalStatus.APPROVED:
        why = run.approval.why if run.approval else "nobody was asked to approve the plan"
        raise ConfigError(f"approve: {why}; clear the task approve to ask, or start another run")


def _what_now(approval: Approval) -> str:
    return (
        f"{approval.why}. Items that were not called are new again: start another run of the job to"
        " make another plan"
    )
