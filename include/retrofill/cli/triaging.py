"""Commands for what failed: look for an item, look at quarantine, and call again."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from retrofill.cli.airflow import sign_in
from retrofill.cli.exits import Exit
from retrofill.cli.output import Json, moment, print_json, print_table, print_text, say
from retrofill.cli.starting import DagRunId, follow_run
from retrofill.cli.state import find_job, open_state
from retrofill.model.amounts import counted, in_range
from retrofill.model.cost import dollars
from retrofill.model.records import all_as_json
from retrofill.model.records import as_json as told
from retrofill.model.selection import Place, Selection
from retrofill.pipeline.select import select
from retrofill.state.items import ItemCall, ItemHistory, find_items, get_history
from retrofill.state.triage import groups

if TYPE_CHECKING:
    from retrofill.pipeline.ask_redrive import Asked

JobName = Annotated[str, typer.Argument(metavar="JOB", help="The name of a job.")]
_Error = Annotated[str | None, typer.Option(help="Only items with such an error: a shell pattern.")]
_Key = Annotated[str | None, typer.Option(help="Only such keys: a shell pattern.")]
_Version = Annotated[
    str | None, typer.Option(help="Only items whose last call this version executed.")
]
_After = Annotated[str | None, typer.Option(help="Only what was settled at this time or later.")]
_Before = Annotated[str | None, typer.Option(help="Only what was settled before this time.")]


class InDoubt(StrEnum):
    """Which items are meant, by whether anybody knows that their work is not done."""

    ANY = "any"
    ONLY = "only"
    WITHOUT = "without"


_Unsure = Annotated[InDoubt, typer.Option(help="Items in doubt: any, only these, or without them.")]

_MOST_FOUND = 50
_ERROR_CHARS = 80


def item(
    job: JobName,
    key: Annotated[str, typer.Argument(help="Its key.")],
    *,
    prefix: Annotated[
        bool, typer.Option("--prefix", help="List items whose keys begin so, without history.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Tell whether an item was processed: when, by which version, with which request id.

    Exit code 1: the job does not know it.
    """
    with open_state() as conn:
        job_id = find_job(conn, job)
        found = find_items(conn, job_id, key, exact=not prefix, most=_MOST_FOUND)
        histories = [
            get_history(conn, job_id, one.key, one.identifier) for one in found.items if not prefix
        ]
    if as_json:
        print_json(told(found) if prefix else all_as_json(histories))
    elif prefix:
        columns = ("key", "place", "run", "attempts", "since", "error")
        rows = ((i.key, i.place, i.run_id, i.attempts, i.at, i.error_type) for i in found.items)
        print_table(columns, rows)
    else:
        for history in histories:
            _print_history(history)
    if found.more:
        say(f"There are more than {_MOST_FOUND}: give more of the key.")
    if not found.items:
        where = "" if found.all_in_process else ", as far as what is in process was looked through"
        say(f"job {job} knows no item {key}{where}")
        raise typer.Exit(Exit.INCOMPLETE)


def quarantine(
    job: JobName,
    *,
    error: _Error = None,
    key: _Key = None,
    version: _Version = None,
    after: _After = None,
    before: _Before = None,
    unsure: _Unsure = InDoubt.ANY,
    as_json: Json = False,
) -> None:
    """Show what of a job waits for a person, by error, with examples."""
    selection = select(
        Place.QUARANTINE, error=error, key=key, version=version, after=after, before=before,
        unsure=unsure.value,
    )  # fmt: skip
    with open_state() as conn:
        found = groups(conn, find_job(conn, job), selection)
    if found is None:
        say("That takes too long: select less.")
        raise typer.Exit(Exit.UNREACHABLE)
    if as_json:
        print_json(all_as_json(found))
        return
    columns = ("error", "items", "in doubt", "first", "last", "for example")
    print_table(
        columns,
        (
            (
                group.error_type,
                f"{group.items:,}{' or more' if group.is_cut else ''}",
                group.unsure,
                group.first_at,
                group.last_at,
                "; ".join(f"{one.key}: {one.error[:_ERROR_CHARS]}" for one in group.examples[:1]),
            )
            for group in found
        ),
    )


def redrive(
    job: JobName,
    *,
    successes: Annotated[
        bool, typer.Option("--successes", help="Of what has succeeded, not of quarantine.")
    ] = False,
    error: _Error = None,
    key: _Key = None,
    version: _Version = None,
    after: _After = None,
    before: _Before = None,
    unsure: _Unsure = InDoubt.ANY,
    note: Annotated[
        str, typer.Option(help="Why: it is kept with the run. Needed to start it.")
    ] = "",
    count: Annotated[
        bool, typer.Option("--count", help="Only count it and forecast its cost.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    follow: Annotated[
        bool, typer.Option("--watch", help="Show its progress until its DAG runs have ended.")
    ] = False,
    dag_run_id: DagRunId = None,
    as_json: Json = False,
) -> None:
    """Call items again, after counting them and forecasting the cost.

    Exit code 1: nothing is selected, or with --watch the run is not complete.
    """
    selection = select(
        Place.SUCCESSES if successes else Place.QUARANTINE,
        error=error, key=key, version=version, after=after, before=before, unsure=unsure.value,
    )  # fmt: skip
    # It imports all kinds of sources and functions, for their params.
    from retrofill.pipeline.ask_redrive import ask, require_note  # noqa: PLC0415

    with open_state() as conn:
        asked = ask(conn, job, selection, note.strip())
        if count:
            if as_json:
                print_json({**told(asked), "selection": selection.as_json()})
            else:
                print_text(_said(asked, selection))
            return
        require_note(note.strip())
        say(_said(asked, selection))
        if asked.items == 0:
            raise typer.Exit(Exit.INCOMPLETE)
        if not yes:
            typer.confirm("Call them again?", abort=True, err=True)
        with sign_in() as airflow:
            airflow.require_on(asked.dag_id)
            begun = airflow.trigger(asked.dag_id, asked.params, dag_run_id)
            follow_run(airflow, conn, begun, follow=follow, as_json=as_json)


def _said(asked: "Asked", selection: Selection) -> str:
    items = "too many items to count" if asked.items is None else counted(asked.items, "item")
    return f"{items} of {selection.text}; cost {in_range(asked.cost, dollars)}"


def _print_history(history: ItemHistory) -> None:
    placed = history.placed
    print_text(f"{history.key} ({history.identifier})")
    if placed is None:
        print_text("  neither processed nor in quarantine")
    else:
        place = placed.place.replace("_", " ")
        print_text(f"  {place}, run {placed.run_id}, {counted(placed.attempts, 'attempt')}")
    for life in history.redriven:
        at, back = moment(life.quarantined_at), moment(life.redriven_at)
        print_text(f"  {at} gave up on: {life.error_type}; {back} redriven by run {life.run_id}")
    rows = [_call_cells(call) for call in history.calls]
    if rows:
        print_table(("sent", "run", "call", "outcome", "version", "request id", "error"), rows)


def _call_cells(call: ItemCall) -> tuple[object, ...]:
    number = f"{call.batch_id}/{call.call_no}"
    outcome = call.outcome or "under way"
    return (
        call.sent_at, call.run_id, number, outcome, call.version, call.request_id, call.error_type
    )  # fmt: skip
