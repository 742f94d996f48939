"""Commands for failed items: find an item, show the quarantine, redrive."""

from enum import StrEnum
from typing import Annotated

import typer

from retrofill.cli.airflow import sign_in
from retrofill.cli.exits import Exit
from retrofill.cli.output import (
    Json,
    moment,
    print_json,
    print_records,
    print_table,
    print_text,
    say,
)
from retrofill.cli.starting import DagRunId, follow_run
from retrofill.cli.state import find_job, open_state
from retrofill.model.amounts import counted, in_range
from retrofill.model.cost import dollars
from retrofill.model.records import all_as_json
from retrofill.model.records import as_json as json_of
from retrofill.model.selection import Place
from retrofill.pipeline.select import select
from retrofill.state.items import ItemCall, ItemHistory, find_items, get_history
from retrofill.state.triage import Group, groups

JobName = Annotated[str, typer.Argument(metavar="JOB", help="The name of the job.")]
_Error = Annotated[str | None, typer.Option(help="Only items with such an error: a shell pattern.")]
_Key = Annotated[str | None, typer.Option(help="Only items with such a key: a shell pattern.")]
_Version = Annotated[
    str | None, typer.Option(help="Only items whose last call ran this version of the function.")
]
_After = Annotated[str | None, typer.Option(help="Only items settled at this time or later.")]
_Before = Annotated[str | None, typer.Option(help="Only items settled before this time.")]


class InDoubt(StrEnum):
    """Which items to select, by whether their work may be done."""

    ANY = "any"
    ONLY = "only"
    WITHOUT = "without"


_Unsure = Annotated[
    InDoubt, typer.Option(help="Items in doubt: any for all items, only, or without.")
]

_MOST_FOUND = 50
_ERROR_CHARS = 80


def item(
    job: JobName,
    key: Annotated[str, typer.Argument(help="The key of the item.")],
    *,
    prefix: Annotated[
        bool,
        typer.Option("--prefix", help="List items whose keys start with KEY, without history."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Show whether an item was processed: when, by which version, with which request id.

    Exit code 1: the job does not know the item.
    """
    with open_state() as conn:
        job_id = find_job(conn, job)
        found = find_items(conn, job_id, key, exact=not prefix, most=_MOST_FOUND)
        histories = [
            get_history(conn, job_id, one.key, one.identifier) for one in found.items if not prefix
        ]
    if as_json:
        print_json(json_of(found) if prefix else all_as_json(histories))
    elif prefix:
        columns = ("key", "place", "run", "attempts", "since", "error")
        rows = ((i.key, i.place, i.run_id, i.attempts, i.at, i.error_type) for i in found.items)
        print_table(columns, rows)
    else:
        for history in histories:
            _print_history(history)
    if found.more:
        say(f"there are more than {_MOST_FOUND}; enter more of the key")
    if not found.items:
        where = "" if found.all_in_process else " among the items that were searched"
        say(f"job {job} has no item {key}{where}")
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
    """Show the items of a job in quarantine, by error, with examples."""
    selection = select(
        Place.QUARANTINE, error=error, key=key, version=version, after=after, before=before,
        unsure=unsure.value,
    )  # fmt: skip
    with open_state() as conn:
        found = groups(conn, find_job(conn, job), selection)
    if found is None:
        say("reading takes too long; select fewer items")
        raise typer.Exit(Exit.UNREACHABLE)
    print_records(
        found,
        {
            "error": lambda group: group.error_type,
            "items": lambda group: f"{group.items:,}{' or more' if group.is_cut else ''}",
            "in doubt": lambda group: group.unsure,
            "first": lambda group: group.first_at,
            "last": lambda group: group.last_at,
            "for example": _example,
        },
        as_json=as_json,
    )


def _example(group: Group) -> str:
    return "; ".join(f"{one.key}: {one.error[:_ERROR_CHARS]}" for one in group.examples[:1])


def redrive(
    job: JobName,
    *,
    successes: Annotated[
        bool, typer.Option("--successes", help="Redrive processed items, not quarantined ones.")
    ] = False,
    error: _Error = None,
    key: _Key = None,
    version: _Version = None,
    after: _After = None,
    before: _Before = None,
    unsure: _Unsure = InDoubt.ANY,
    note: Annotated[
        str, typer.Option(help="The reason, which is kept with the run. Required to start it.")
    ] = "",
    count: Annotated[
        bool, typer.Option("--count", help="Only count the items and estimate their cost.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    follow: Annotated[
        bool, typer.Option("--watch", help="Show the progress until all its DAG runs have ended.")
    ] = False,
    dag_run_id: DagRunId = None,
    as_json: Json = False,
) -> None:
    """Call items again, after counting them and estimating their cost.

    Exit code 1: no item is selected, or with --watch the run is not complete.
    """
    selection = select(
        Place.SUCCESSES if successes else Place.QUARANTINE,
        error=error, key=key, version=version, after=after, before=before, unsure=unsure.value,
    )  # fmt: skip
    # It imports all kinds of sources and functions, for their params.
    from retrofill.pipeline.ask_redrive import ask, require_note  # noqa: PLC0415

    with open_state() as conn:
        asked = ask(conn, job, selection, note.strip())
        items = "too many items to count" if asked.items is None else counted(asked.items, "item")
        said = f"{items} of {selection.text}; cost {in_range(asked.cost, dollars)}"
        if count:
            if as_json:
                print_json({**json_of(asked), "selection": selection.as_json()})
            else:
                print_text(said)
            return
        require_note(note.strip())
        say(said)
        if asked.items == 0:
            raise typer.Exit(Exit.INCOMPLETE)
        if not yes:
            typer.confirm("Call these items again?", abort=True, err=True)
        with sign_in() as airflow:
            airflow.require_on(asked.dag_id)
            begun = airflow.trigger(asked.dag_id, asked.params, dag_run_id)
            follow_run(airflow, conn, begun, follow=follow, as_json=as_json)


def _print_history(history: ItemHistory) -> None:
    placed = history.placed
    print_text(f"{history.key} ({history.identifier})")
    if placed is None:
        print_text("  neither processed nor in quarantine")
    else:
        place = placed.place.replace("_", " ")
        print_text(f"  {place}, run {placed.run_id}, {counted(placed.attempts, 'attempt')}")
    for before in history.redriven:
        at, back = moment(before.quarantined_at or before.settled_at), moment(before.redriven_at)
        what = f"quarantined: {before.error_type}" if before.quarantined_at else "processed"
        print_text(f"  {at} {what}; {back} redriven by run {before.run_id}")
    if history.calls:
        columns = ("sent", "run", "call", "outcome", "version", "request id", "error")
        print_table(columns, map(_call_cells, history.calls))


def _call_cells(call: ItemCall) -> tuple[object, ...]:
    number = f"{call.batch_id}/{call.call_no}"
    outcome = call.outcome or "in flight"
    return (
        call.sent_at, call.run_id, number, outcome, call.version, call.request_id, call.error_type
    )  # fmt: skip
