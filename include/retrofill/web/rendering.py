"""What the page of a run says in HTML: templates filled with what the state holds."""

import math
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined

from retrofill.aws.arn import Arn
from retrofill.model.amounts import counted, in_bytes, in_range, in_time
from retrofill.model.approval import Answer, Approval
from retrofill.model.cost import dollars
from retrofill.model.plan import verdict
from retrofill.model.report import Report
from retrofill.pipeline.controls import LIMITS
from retrofill.sources import reasons_of
from retrofill.state.pages import ERROR_CHARS, RunPage, SetLine

COUNTS = {
    "listed": "Items that were found and pass the filters: new and known together.",
    "new": "Listed items that the job had not seen before, in this version.",
    "late": "New items that are older than the run's interval: no earlier run has seen them.",
    "known": "Listed items that were processed, quarantined or in process before. They are not"
    " called again.",
    "resumed": "Items that an earlier run left behind and this one took over.",
    "redriven": "Items that this run brought back from quarantine.",
    "succeeded": "Items that the function processed: they are in the results cache.",
    "quarantined": "Items that this run gave up on, to wait for a person.",
    "with_others": "Listed items that another run of the job had in process when this one last"
    " looked.",
    "withdrawn": "Items that the run had enqueued and that are new again: nobody approved its"
    " plan, or its function seems to feed its own source.",
    "items_left": "New, resumed and redriven items that are neither processed nor quarantined yet.",
    "calls": "HTTP requests to the function, each written down before it was sent.",
    "refused": "Calls that were refused, so that the function did not run: they do not use up"
    " max_calls.",
    "retries": "Calls with items that an earlier call carried.",
    "duplicates": "Items that were called again after a call that ended without an answer: their"
    " work may have been done twice.",
    "lost_tasks": "Tasks that ended without a word, such as by a signal or with their machine."
    " Another try went on with what they had.",
}
"""The counts of a report that the page shows, each with its meaning, in the page's order.

How calls ended is shown beside the items they carried.
"""

OUTCOMES = {
    "succeeded": "The function returned. Its answer says which items it processed.",
    "failed": "The function, or its answer, says that it failed.",
    "throttled": "Refused for load: the function did not run. The items are called again.",
    "starting": "Refused while the function starts up: it did not run.",
    "unknown": "No answer came: the function may have run.",
    "misconfigured": "Refused, and would be refused again: the function did not run.",
    "too_large": "The request is larger than the function takes: it did not run.",
    "lost": "Its task died before it settled the call: the function may have run.",
    None: "Sent, and not settled yet.",
}
"""How calls end, each with its meaning."""

CAUSES = {
    "timed_out": "The function ran into its own timeout.",
    "out_of_memory": "The function was killed for its use of memory.",
    "crashed": "The function's process ended before it answered.",
    "handled": "The function told of its error itself.",
    "unhandled": "The function raised an error that it did not handle.",
    "malformed_answer": "The function returned, and its answer says nothing to rely on.",
    "answer_lost": "The function came to its end, and its answer did not get through.",
}
"""Why calls fail, each with its meaning."""

_CALLED_AGAIN = ("failed", "unknown", "lost")

LOOK_S = 3
"""Seconds between two looks at a run that may change."""

RARE_LOOK_S = 10
"""Seconds between two looks at what may come to be a run."""

_LOOK_SHARE = 5
"""The next look waits this many times as long as this one took: looking costs the run little."""

_LONGEST_LOOK_S = 30

_PACE_AFTER_S = 5

_UNIT_SEPARATOR = "\x1f"


class Progress(NamedTuple):
    """How far a run is with the items it knows of."""

    total: int
    succeeded: int
    quarantined: int

    @property
    def percent(self) -> str:
        """The share that is settled, never rounded up to a whole that it is not."""
        if not self.total:
            return "0 %"
        tenths = math.floor(1000 * (self.succeeded + self.quarantined) / self.total)
        return f"{tenths // 10}.{tenths % 10} %" if tenths % 10 else f"{tenths // 10} %"


def render_run(
    page: RunPage,
    *,
    dag_run_id: str,
    lives: bool,
    dag_paused: bool,
    may_change: bool,
    problem: str,
    approval_link: str,
    read_s: float,
    nonce: str,
) -> str:
    """Return the page of a run.

    :param lives: whether Airflow has a DAG run of it queued or running
    :param dag_paused: whether Airflow begins no task of it, since its DAG is switched off
    :param may_change: whether the one who looks may change the run
    :param problem: what was wrong with what was asked for last; empty: nothing
    :param approval_link: where Airflow has a plan approved
    :param read_s: seconds that reading took, by which the next look is put off
    :param nonce: by which the page's own style and script are known
    """
    report = page.report
    total = report.new + report.resumed + report.redriven - report.withdrawn
    full = page.controls.limits.most_in_flight
    look_s = min(max(LOOK_S, math.ceil(read_s * _LOOK_SHARE)), _LONGEST_LOOK_S)
    return _ENVIRONMENT.get_template("run.html").render(
        page=page,
        report=report,
        controls=page.controls,
        now=page.controls.read_at,
        standing=_standing(page, lives=lives, dag_paused=dag_paused),
        is_held=any(line.held for line in page.sets),
        progress=Progress(total, report.succeeded, report.quarantined),
        partitions_in_all=page.partitions[0].of if page.partitions else 0,
        left_s=_left_s(page, lives=lives and not dag_paused),
        in_flight=sum(ended.calls for ended in page.calls.ended if ended.outcome is None),
        most_in_flight=full,
        ramp=page.controls.ramp and page.controls.ramp.line(full),
        dag_run_id=dag_run_id,
        may_change=may_change,
        problem=problem,
        plan=page.controls.plan,
        approval=Approval.from_json(report.approval),
        approval_link=approval_link,
        look_s=look_s if page.controls.live else 0,
        nonce=nonce,
        counts=COUNTS,
        reasons=reasons_of(page.controls.source_kind),
        outcomes=OUTCOMES,
        causes=CAUSES,
        limits=(LIMITS["max_concurrency"], LIMITS["max_calls_per_second"]),
    )


def render_message(title: str, text: str, *, look_s: int, nonce: str) -> str:
    """Return a page that says one thing.

    :param look_s: seconds to the next look; 0: never
    """
    template = _ENVIRONMENT.get_template("message.html")
    return template.render(title=title, text=text, look_s=look_s, nonce=nonce)


def visible(text: str, *, but: str = "") -> str:
    """Return a text in which nothing hides: what does not print is written as an escape.

    :param but: characters that stay as they are
    """
    return "".join(
        character
        if (character.isprintable() and character != "\\") or character in but
        else character.encode("unicode_escape").decode()
        for character in text
    )


def facts(content: str) -> str:
    """Return an item's content for people: its beginning, and its parts with a dot between two."""
    parts = " · ".join(part for part in content.split(_UNIT_SEPARATOR) if part)
    return f"{visible(parts)}{'…' * (len(content) >= ERROR_CHARS)}"


def error_text(text: str | None) -> str:
    """Return an error as the state gives it, with a mark where it was cut."""
    text = text or ""
    return visible(text, but="\n") + "…" * (len(text) >= ERROR_CHARS)


def duration(seconds: float) -> str:
    """Return a time span with two units at most."""
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 10:  # noqa: PLR2004  of which a tenth matters
        return f"{math.floor(seconds * 10) / 10:g} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    units = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    largest = next(at for at, (amount, _) in enumerate(units) if amount)
    return " ".join(f"{amount} {unit}" for amount, unit in units[largest : largest + 2] if amount)


def roughly(seconds: float) -> str:
    """Return a time span that is a guess."""
    if seconds < 60:  # noqa: PLR2004  a minute
        return "less than a minute"
    return f"about {duration(60 * math.ceil(seconds / 60))}"


def moment(when: datetime, now: datetime) -> str:
    """Return a time, with its date if it was long ago."""
    recent = now - when < timedelta(hours=12)
    return f"{when:%H:%M:%S}" if recent else f"{when:%Y-%m-%d %H:%M}"


def function_name(name: str) -> str:
    """Return the short name of a function: that within an ARN, or all of it.

    Format: ``arn:partition:lambda:region:account:function:name``,
    https://docs.aws.amazon.com/service-authorization/latest/reference/list_awslambda.html.
    """
    found = Arn.find(name)
    return name if found is None else found.name


def _standing(page: RunPage, *, lives: bool, dag_paused: bool = False) -> str:
    """Return in one word how a run is."""
    if page.report.state != "open":
        return page.report.state
    if not lives and not any(line.held for line in page.sets):
        return "abandoned"
    if _waits(page.report):
        return "unapproved"
    if dag_paused:
        return "waiting"
    if page.report.stop_reason:
        return "stopping"
    return "paused" if page.controls.limits.paused else "open"


def _waits(report: Report) -> bool:
    approval = Approval.from_json(report.approval)
    return approval is not None and approval.state is Answer.WAITING


def _left_s(page: RunPage, *, lives: bool) -> float | None:
    """Return how long the set at work may still take at its pace; None: nobody can tell."""
    if _standing(page, lives=lives) != "open" or not page.sets or not page.sets[-1].held:
        return None
    line = page.sets[-1]
    again = sum(ended.items or 0 for ended in page.calls.ended if ended.outcome in _CALLED_AGAIN)
    # What is left may be items that fail alone: they keep to no pace.
    if again >= line.items - line.succeeded - line.quarantined:
        return None
    return _set_left_s(line, page.controls.read_at)


def _set_left_s(line: SetLine, now: datetime) -> float | None:
    done = line.succeeded + line.quarantined
    if line.planned_at is None or not 0 < done < line.items:
        return None
    passed_s = (now - line.planned_at).total_seconds()
    return passed_s * (line.items - done) / done if passed_s > _PACE_AFTER_S else None


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("retrofill.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "visible": visible,
        "error_text": error_text,
        "facts": facts,
        "duration": duration,
        "roughly": roughly,
        "moment": moment,
        "function_name": function_name,
        "in_bytes": in_bytes,
        "verdict": verdict,
        "count": lambda number: f"{number:,}",
        "counted": counted,
        "dollars": dollars,
        "in_dollars": partial(in_range, said=dollars),
        "in_times": partial(in_range, said=in_time),
    }
    return environment


_ENVIRONMENT = _environment()
