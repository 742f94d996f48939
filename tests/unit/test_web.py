"""The page of a run, without Airflow or Postgres: what it shows, and what it escapes."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from retrofill.engine.ramp import Ramp
from retrofill.model.function import Pinned
from retrofill.model.limits import Limits
from retrofill.model.plan import FirstPayload
from retrofill.model.pulse import Slice
from retrofill.model.report import Report
from retrofill.model.report_files import WrittenReport
from retrofill.pipeline.controls import LIMITS as CHANGEABLE
from retrofill.state.events import Event
from retrofill.state.pages import (
    ERROR_CHARS,
    BatchLine,
    CallLine,
    Calls,
    Controls,
    OutcomeLine,
    PartitionLine,
    QuarantinedLine,
    RunPage,
    SetLine,
)
from retrofill.web.charts import charts
from retrofill.web.origin import is_own
from retrofill.web.rendering import (
    Shell,
    duration,
    facts,
    moment,
    percent,
    render,
    roughly,
    visible,
)
from retrofill.web.run_rendering import refresh_interval_s, values_of_run
from retrofill.web.words import CAUSES, COUNTS, OUTCOMES

from tests.unit.test_stored_plan import PLAN

SHELL = Shell("/retrofill", "once")
NOW = datetime(2026, 3, 4, 12, 0, 0, tzinfo=UTC)


def report(**fields: Any) -> Report:
    usual: dict[str, Any] = dict.fromkeys(COUNTS, 0)
    usual |= {
        "job": "thumbnails",
        "run_id": 7,
        "status": "open",
        "source": "s3://bucket/prefix",
        "function_name": "arn:aws:lambda:us-east-1:123456789012:function:resize",
        "function_version": "3",
        "sets": 1,
        "partitions": 4,
        "partitions_left": 0,
        "opened_at": NOW - timedelta(minutes=10),
        "closed_at": None,
        "notified_at": None,
        "stop_reason": None,
        "left_out": {},
    }
    return Report(**{**usual, **fields})


ASIDE: dict[str, Any] = {
    "job_id": 4,
    "function": Pinned(
        kind="aws_lambda",
        name="arn:aws:lambda:us-east-1:123456789012:function:resize",
        version="3",
        timeout_s=3,
    ),
    "age_s": 600.0,
}
LIMITS = Limits(max_concurrency=50, max_items_per_set=100)


def page(*, paused: bool = False, live: bool = True, **parts: Any) -> RunPage:
    usual: dict[str, Any] = {
        "report": report(),
        "controls": Controls(replace(LIMITS, paused=paused), "s3", NOW, live, **ASIDE),
        "calls": Calls([], [], []),
        "quarantined": [],
        "partitions": [],
        "sets": [],
        "batches": [],
        "events": [],
        "slices": [],
    }
    return RunPage(**{**usual, **parts})


def partition(**fields: Any) -> PartitionLine:
    line = PartitionLine(0, "photos/", 5, 5, 0, done=False, of=1)
    return line._replace(**fields)


def set_line(**fields: Any) -> SetLine:
    planned = NOW - timedelta(minutes=2)
    line = SetLine(1, "d", "r", 100, 100, 0, 2, 1, 100, 20, 5, 1, planned, planned, None)
    return line._replace(**fields)


def html_of(
    shown: RunPage,
    *,
    active: bool = True,
    dag_paused: bool = False,
    may_change: bool = True,
    problem: str = "",
    read_s: float = 0.0,
) -> str:
    return render(
        "run.html",
        SHELL,
        refresh_s=refresh_interval_s(shown, read_s),
        dag_run_id="r",
        may_change=may_change,
        problem=problem,
        approval_link="/dags/d/runs/r/tasks/approve/required_actions",
        **values_of_run(shown, active=active, dag_paused=dag_paused),
    )


def test_the_headline_names_job_source_function_and_version() -> None:
    html = html_of(page())
    for part in ("thumbnails", "s3://bucket/prefix", ">resize<", "version 3", ">open<"):
        assert part in html


def test_a_run_whose_dag_is_paused_waits() -> None:
    html = html_of(page(), dag_paused=True)
    assert ">waiting</span>" in html
    assert "the DAG is paused in Airflow" in html
    assert ">waiting</span>" not in html_of(page(report=report(status="complete")), dag_paused=True)


def test_a_run_awaiting_approval_links_to_it_and_changes_no_limits() -> None:
    waits = {"status": "waiting", "until": "2026-03-05T12:00:00+00:00"}
    html = html_of(page(report=report(approval=waits)))
    assert ">awaiting approval</span>" in html
    assert "Without an answer by 2026-03-05 12:00 UTC, it is rejected" in html
    assert '<a href="/dags/d/runs/r/tasks/approve/required_actions" target="_top">' in html
    # The script opens such links outside Airflow's sandbox around the page.
    assert "a[target='_top']" in html
    assert 'name="action"' not in html
    assert ">abandoned</span>" in html_of(page(report=report(approval=waits)), active=False)


def test_the_plan_is_shown_next_to_the_results() -> None:
    plan = replace(PLAN, payload=FirstPayload.of(b"<b>", 1))
    controls = Controls(LIMITS, "s3", NOW, live=True, **ASIDE, plan=plan)
    approved = {
        "status": "approved", "by": "<Ada>", "at": "2026-03-04T11:00:00+00:00", "changed": 12,
        "changed_more": False,
    }  # fmt: skip
    html = html_of(page(controls=controls, report=report(approval=approved, calls=3, succeeded=6)))
    assert "approved by &lt;Ada&gt; at 2026-03-04 11:00 UTC" in html
    assert "12 changed since the plan, not called" in html
    assert '<tr><td>calls</td><td class="n">4</td><td class="n">3</td>' in html
    assert '<tr><td>items</td><td class="n">8</td><td class="n">6</td>' in html
    assert '<code class="payload">&lt;b&gt;</code>' in html
    assert "Plan<small>" not in html_of(page())


def test_the_forecast_is_shown_next_to_the_cost() -> None:
    forecast = {
        "dollars": [1, 2, 3], "seconds": [60, 90, 120], "words": [],
        "terms": [["requests", [1, 2, 3], ""], ["compute", None, ""]],
    }  # fmt: skip
    shown = page(
        controls=Controls(
            LIMITS, "s3", NOW, live=True, **ASIDE, plan=replace(PLAN, forecast=forecast)
        ),
        report=report(cost=2.5, approval={"status": "waiting", "until": NOW.isoformat()}),
    )
    html = html_of(shown)
    assert (
        '<tr><td>cost</td><td class="n range">$2.00 ($1.00 to $3.00)</td><td class="n">$2.50</td>'
        '<td class="n">unknown</td><td class="soft">unknown for compute</td></tr>'
    ) in html
    assert '<td class="n range">1 min 30 s (1 min 0 s to 2 min 0 s)</td>' in html
    assert "<details open>" in html
    more = replace(PLAN, forecast=forecast, counts=replace(PLAN.counts, partitions_left=1))
    html = html_of(page(controls=Controls(LIMITS, "s3", NOW, live=True, **ASIDE, plan=more)))
    assert "estimated for all sets; unknown for compute" in html
    assert "<details open>" not in html
    unsaid = Controls(LIMITS, "s3", NOW, live=True, **ASIDE, plan=PLAN)
    assert "<td>cost</td>" not in html_of(page(controls=unsaid))


def test_withdrawn_items_are_shown_without_advice_to_run_again() -> None:
    turned_down = report(
        status="incomplete", closed_at=NOW, new=5, withdrawn=5, stop_reason="rejected by Ada"
    )
    html = html_of(page(report=turned_down))
    assert "<strong>Nothing called</strong>" in html
    assert "5 items withdrawn" in html
    assert "withdrawn items are new to the" in html
    assert "start another run" not in html
    after_a_canary = replace(turned_down, new=6, succeeded=1)
    assert "1 of 1 items settled, 5 withdrawn" in html_of(page(report=after_a_canary))


def test_cost_is_shown_next_to_its_limit() -> None:
    assert "Cost: unknown." in html_of(page())
    spent = report(
        cost=1.25, cost_from_above=0.5, cost_by_term={"calls": 0.25, "time": 1.0, "items": None}
    )
    limited = Controls(replace(LIMITS, max_cost=30.0), "s3", NOW, live=True, **ASIDE)
    assert (
        "Cost: $1.25 ($0.25 for calls, $1.00 for their time, unknown for items), of which $0.50"
        " counted from above; the limit is $30.00."
    ) in html_of(page(report=spent, controls=limited))
    at_most = replace(spent, cost_from_above=1.25)
    assert "unknown for items), all of it counted from above." in html_of(page(report=at_most))


def test_a_ramp_shows_its_progress_and_what_holds_it_back() -> None:
    ramp = Ramp(level=12, rose_from=2, since_s=0, looked_s=30, why="p95 rose from 80 to 310 ms")
    controls = page().controls._replace(ramp=ramp)
    html = html_of(page(controls=controls, sets=[set_line()]))
    assert (
        "The ramp: at most 12 of 50 calls in flight; held back because p95 rose from 80 to 310 ms."
        in html
    )
    over = controls._replace(ramp=replace(ramp, over=True))
    assert "The ramp" not in html_of(page(controls=over, sets=[set_line()]))


def test_every_count_of_the_report_is_shown_and_explained() -> None:
    numbers = {name: 1_000 + number for number, name in enumerate(COUNTS)}
    html = html_of(page(report=report(**numbers)))
    for name, number in numbers.items():
        assert f"<dt>{name.replace('_', ' ')}</dt><dd>{number:,}</dd>" in html
    assert html.count('title="Items that the function processed') == 1


def test_skipped_items_are_shown_by_reason_in_the_sources_words() -> None:
    html = html_of(page(report=report(left_out={"archived": 1_234, "too_cold": 5})))
    assert 'which no function can read."><dt>archived</dt><dd>1,234</dd>' in html
    assert 'Not called: too_cold."><dt>too cold</dt><dd>5</dd>' in html


def test_the_content_of_an_item_is_shown_by_field() -> None:
    assert facts("7\x1f1567539447\x1fe\x1f") == "7 · 1567539447 · e"
    assert facts('{"a": "\u202e"}') == r'{"a": "\u202e"}'
    assert facts("x" * ERROR_CHARS) == "x" * ERROR_CHARS + "…"


@pytest.mark.parametrize(
    ("settled", "total", "said"),
    [
        (0, 0, "0 %"),
        (0, 5, "0 %"),
        (999_999, 1_000_000, "99.9 %"),
        (5, 5, "100 %"),
        (1, 8, "12.5 %"),
    ],
)
def test_a_percentage_is_never_rounded_up(settled: int, total: int, said: str) -> None:
    assert percent(settled, total) == said


def test_quarantined_and_resumed_items_count_in_the_progress() -> None:
    html = html_of(page(report=report(new=6, resumed=4, succeeded=3, quarantined=2)))
    assert "<strong>50 %</strong>" in html
    assert "5 of 10 items settled" in html


def test_while_the_source_is_listed_the_total_is_not_final() -> None:
    listed = page(report=report(partitions_left=1), partitions=[partition(of=4)])
    assert "3 of 4 partitions are listed to their end, so more items may come." in html_of(listed)
    whole = page(partitions=[partition(done=True)])
    assert "The source is listed to its end." in html_of(whole)
    assert "has not been listed yet" in html_of(page())
    closed = report(status="incomplete", closed_at=NOW, partitions=0)
    assert "The source was never listed." in html_of(page(report=closed))


def test_a_run_with_nothing_new_says_so() -> None:
    done = report(status="complete", closed_at=NOW, listed=9, known=9)
    html = html_of(page(report=done, partitions=[partition(done=True)]))
    assert "Nothing new" in html
    assert "<strong>0 %" not in html


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({}, "the source has no matching items"),
        ({"left_out": {"filtered": 7}}, "every item was skipped"),
        ({"redrive": "quarantine"}, "no quarantined item matches the selection"),
    ],
)
def test_a_run_that_listed_nothing_shows_no_known_items(counts: dict[str, Any], said: str) -> None:
    html = html_of(page(report=report(status="complete", closed_at=NOW, **counts)))
    assert said in html
    assert "Nothing new" not in html


ENDED = {"status": "incomplete", "closed_at": NOW, "items_left": 1_234, "partitions_left": 2}


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        (page(paused=True), "Paused: no call is sent until someone resumes the run."),
        (
            page(paused=True, report=report(stop_reason="stopped by a user")),
            "Nothing more is listed or called: stopped by a user.",
        ),
        (
            page(report=report(**ENDED)),
            "Incomplete: 2 partitions not listed to the end, 1,234 items left.",
        ),
        (
            page(report=report(status="incomplete", closed_at=NOW, partitions=0)),
            "Incomplete: its source was never divided into partitions; see list_partitions.",
        ),
        (
            page(
                report=report(with_others=3, others=[{"run_id": 6, "status": "open", "items": 3}])
            ),
            "3 of the listed items are in process with run 6, which is open.",
        ),
        (
            page(controls=Controls(LIMITS, "s3", NOW, True, *ASIDE.values(), NOW, "E: <why>")),  # noqa: FBT003
            ": E: &lt;why&gt;. The items wait.",
        ),
    ],
)
def test_the_reason_why_a_run_is_incomplete_is_shown(shown: RunPage, said: str) -> None:
    assert said in html_of(shown)


def test_the_time_left_follows_the_pace_of_the_set() -> None:
    assert "about 6 min left in this set" in html_of(page(sets=[set_line()]))
    # The items left may be the failing ones, however fast the rest went.
    for items, is_shown in ((74, True), (75, False)):
        calls = Calls([OutcomeLine("failed", 40, items), OutcomeLine("lost", 1, None)], [], [])
        html = html_of(page(sets=[set_line()], calls=calls))
        assert ("left in this set" in html) is is_shown


@pytest.mark.parametrize(
    "shown",
    [
        page(paused=True, sets=[set_line()]),
        page(report=report(stop_reason="x"), sets=[set_line()]),
        page(sets=[set_line(succeeded=0, quarantined=0)]),
        page(sets=[set_line(planned_at=NOW - timedelta(seconds=1))]),
        page(sets=[set_line(planned_at=None)]),
        page(sets=[set_line(succeeded=95)]),
        page(sets=[set_line(held=0)]),
    ],
)
def test_no_time_left_is_shown_if_it_is_unknown(shown: RunPage) -> None:
    assert "left in this set" not in html_of(shown)


def test_calls_are_shown_by_outcome_and_in_flight_next_to_the_cap() -> None:
    calls = Calls(
        [
            OutcomeLine("succeeded", 90, 900),
            OutcomeLine("too_large", 1, 10),
            OutcomeLine(None, 7, 70),
        ],
        [],
        [],
    )
    html = html_of(page(calls=calls, report=report(calls=98), sets=[set_line()]))
    assert "7 of at most 50 calls are in flight." in html
    assert ">too large<" in html
    assert OUTCOMES["too_large"] in html


def test_a_run_without_tasks_does_not_look_active() -> None:
    calls = Calls([OutcomeLine(None, 19, None)], [], [])
    shown = page(calls=calls, report=report(calls=19), sets=[set_line(held=0)])
    waiting = html_of(shown)
    assert "No task is calling now. 19 calls were sent and are not settled yet." in waiting
    assert ">open</span>" in waiting
    ended = html_of(shown, active=False)
    assert ">abandoned</span>" in ended
    assert "Airflow ended the DAG run, and no task is active any more." in ended
    for html in (waiting, ended):
        assert "calls are in flight" not in html
        assert "left in this set" not in html


def test_failed_calls_are_shown_by_cause() -> None:
    calls = Calls([OutcomeLine("failed", 3, 30, "timed_out")], [], [])
    html = html_of(page(calls=calls, report=report(calls=3)))
    assert ">timed out<" in html
    assert CAUSES["timed_out"] in html


def test_the_reserve_for_live_traffic_is_shown_next_to_the_cap() -> None:
    controls = Controls(replace(LIMITS, concurrency_ceiling=30), "s3", NOW, live=True, **ASIDE)
    html = html_of(page(controls=controls, sets=[set_line()]))
    assert "0 of at most 30 calls are in flight: reserve_percent keeps the rest" in html


def call(**fields: Any) -> CallLine:
    line = CallLine(
        3, 14, 10, 2, "failed", NOW, NOW, 1.25, "request-1", "ValueError", "no good", set_no=1,
        task_id="invoke", map_index=5, keys=["a/<1>", "b"],
    )  # fmt: skip
    return line._replace(**fields)


def test_a_failed_call_shows_how_to_find_its_log() -> None:
    html = html_of(page(calls=Calls([OutcomeLine("failed", 1, 10)], [call()], [])))
    for part in ("3 / 14", "request-1", "<b>ValueError</b>: no good", "1.2 s"):
        assert part in html
    assert "console.aws.amazon.com" not in html_of(page(calls=Calls([], [call(request_id="")], [])))


def test_a_failed_call_links_to_its_logs_and_items() -> None:
    shown = page(calls=Calls([OutcomeLine("failed", 1, 10)], [call()], []), sets=[set_line()])
    html = html_of(shown)
    assert 'href="/dags/d/runs/r/tasks/invoke/mapped/5" target="_top"' in html
    assert (
        'href="https://us-east-1.console.aws.amazon.com/cloudwatch/home?region=us-east-1#' in html
    )
    assert '<a href="/retrofill/jobs/4/items?key=a%2F%3C1%3E"><code>a/&lt;1&gt;</code></a>' in html
    assert "and 8 more" in html
    assert "items?key" not in html_of(page(calls=Calls([], [call(keys=None)], [])))


def batch(**fields: Any) -> BatchLine:
    line = BatchLine(
        3, 1, canary=False, task_id="invoke", map_index=5, items=100, succeeded=40, quarantined=2,
        calls=50, calls_succeeded=48, done=False, held=True, in_flight=7, lost_tasks=1, of=99,
    )  # fmt: skip
    return line._replace(**fields)


def test_a_batch_links_to_the_log_of_its_task() -> None:
    canary = batch(batch_id=1, canary=True, task_id="canary", map_index=-1, done=True, held=False)
    unbegun = batch(batch_id=9, task_id="", calls=0, held=False)
    html = html_of(page(batches=[batch(), unbegun, canary], sets=[set_line()]))
    assert '<a href="/dags/d/runs/r/tasks/invoke/mapped/5" target="_top">invoke [5]</a>' in html
    assert '<a href="/dags/d/runs/r/tasks/canary" target="_top">canary</a>' in html
    assert "not started" in html
    assert "99 in total; 3 shown" in html
    assert "1 task lost" in html


def test_changes_to_the_run_are_shown_with_their_user() -> None:
    html = html_of(
        page(
            events=[
                Event(NOW, "", "stopped", "max_calls: 5 of 5 <calls>", ""),
                Event(NOW, "<Ada>", "max_calls", "5", ""),
                Event(NOW, "Bob", "max_cost", "", "2.5"),
                Event(NOW, "Bob", "paused", "", ""),
            ]
        )
    )
    assert "<td>Retrofill</td>\n<td>stopped the run: max_calls: 5 of 5 &lt;calls&gt;" in html
    assert "<td>&lt;Ada&gt;</td>\n<td>set <code>max_calls</code> to 5, from no limit" in html
    assert "set <code>max_cost</code> to no limit, from 2.5" in html
    assert "<td>paused the run</td>" in html


SLICES = [
    Slice(20 + 5 * n, 5, 50, 500, 0, {"timed_out": 5} if n == 3 else {}, 100.0, 25, [0] * 20 + [50])
    for n in range(12)
]


def test_charts_have_the_same_data_as_text_and_table() -> None:
    html = html_of(page(slices=SLICES, controls=page().controls._replace(age_s=81.0)))
    assert html.count('<svg viewBox="-2 -6 604 182" role="img"') == 5
    assert "items from 100 to 100 a second, 100 at last" in html
    assert "in flight from 20 to 20 at once, 20 at last; at most from 25 to 25" in html
    assert "timed out from 0 to 1 a second, 0 at last" in html
    assert '<tr><td>35 s</td><td class="n">1</td></tr>' in html
    assert "Over time" not in html_of(page())
    assert ' style="' not in html, "the page's own policy forbids style attributes"


def test_report_files_are_shown_if_there_are_any() -> None:
    assert "Report files" not in html_of(page())
    asked = report(report_to="s3://reports/x")
    assert "No files were written to <code>s3://reports/x</code> yet" in html_of(page(report=asked))
    written = WrittenReport(
        manifest="s3://reports/x/manifest.json",
        sha256="0a1b",
        counts={"failed": 1, "succeeded": 1200},
        parts=2,
        bytes=3_000_000,
        snapshot_at=NOW,
    )
    html = html_of(page(report=replace(asked, report_files=written.as_json())))
    for said in ("s3://reports/x/manifest.json", "0a1b", "1 failed, 1,200 succeeded", "2 parts, 3"):
        assert said in html


def test_a_single_column_is_drawn_across_the_chart() -> None:
    items, *_ = charts(SLICES[:1], 81.0)
    assert items.lines[0].path == "M0.0 0.0H600.0"
    nothing_ended = SLICES[1]._replace(latency=[])
    latency = charts([SLICES[0], nothing_ended, *SLICES[2:5]], 81.0)[3]
    steps = re.sub(r" [\d.]+", "", latency.lines[0].path)
    assert steps == "M0.0H120.0 M300.0 L420.0 L540.0"


def test_forecast_totals_are_shown_next_to_current_ones() -> None:
    shown = page(
        report=report(new=100, succeeded=20, quarantined=5, calls=30, cost=1.0),
        partitions=[partition(done=True)],
        slices=SLICES,
        controls=page().controls._replace(age_s=80.0),
    )
    html = html_of(shown)
    for name, so_far, end in (
        ("items", "25", "100"), ("calls", "30", "120"), ("cost", "$1.00", "$4.00"),
        ("time", "1 min", "4 min"),
    ):  # fmt: skip
        assert f'<td>{name}</td><td class="n">{so_far}</td><td class="n">{end}</td>' in html
    more = replace(shown, report=replace(shown.report, partitions_left=1))
    assert '<td>cost</td><td class="n">$1.00</td><td class="n">unknown</td>' in html_of(more)
    over = replace(shown, report=replace(shown.report, status="incomplete", closed_at=NOW))
    assert '<td>cost</td><td class="n">$1.00</td><td class="soft">' in html_of(over)


def test_every_changeable_limit_is_among_the_controls() -> None:
    limits = replace(LIMITS, max_cost=2.5, max_calls=900)
    html = html_of(page(controls=page().controls._replace(limits=limits)))
    for name in CHANGEABLE:
        assert f'name="action" value="{name}"' in html
    assert 'step="any" value="2.5" placeholder="no limit"' in html
    assert 'step="1" value="900" placeholder="no limit"' in html


def test_a_cut_error_shows_that_it_was_cut() -> None:
    cut = call(error="x" * ERROR_CHARS)
    assert "x…<" in html_of(page(calls=Calls([OutcomeLine("failed", 1, 10)], [cut], [])))


HOSTILE = "<img src=x onerror=alert(1)>\"'&\n\u202e\x1b"


def test_nothing_from_outside_becomes_html_or_hides() -> None:
    quarantined = QuarantinedLine(HOSTILE, HOSTILE, 3, 3, HOSTILE, HOSTILE, HOSTILE, NOW, of=1)
    html = html_of(
        page(
            report=report(
                job=HOSTILE,
                source=HOSTILE,
                function_name=HOSTILE,
                function_version=HOSTILE,
                stop_reason=HOSTILE,
                left_out={HOSTILE: 1},
            ),
            calls=Calls(
                [OutcomeLine("failed", 1, 10)],
                [call(request_id=HOSTILE, error_type=HOSTILE, error=HOSTILE, keys=[HOSTILE])],
                [call(request_id=HOSTILE)],
            ),
            quarantined=[quarantined],
            partitions=[partition(label=HOSTILE)],
            sets=[set_line(dag_run_id=HOSTILE)],
            events=[Event(NOW, HOSTILE, HOSTILE, HOSTILE, HOSTILE)],
            slices=[Slice(0, 5, 1, 1, 0, {HOSTILE: 1}, 1.0, 1, [1])],
        ),
        problem=HOSTILE,
    )
    assert "<img" not in html
    assert html.count("&lt;img") >= 14
    assert r"\n\u202e\x1b" in html
    for part in html.split("onerror")[1:]:
        assert part.startswith(
            ("=alert(1)&gt;&#34;&#39;&amp;", "%3Dalert%281%29%3E", "*3dalert*281*29")
        )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a b+c%20ü写", "a b+c%20ü写"),
        ("a\nb", r"a\nb"),
        ("a\\nb", r"a\\nb"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("a\u00a0b", r"a\xa0b"),
    ],
)
def test_different_keys_look_different(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_without_edit_permission_limits_are_shown_without_a_form() -> None:
    html = html_of(page(), may_change=False)
    assert "<form" not in html
    assert "<b>50</b>" in html
    assert "permission" in html


@pytest.mark.parametrize(
    "fields", [{"status": "complete", "closed_at": NOW}, {"stop_reason": "stopped by a user"}]
)
def test_a_fixed_limit_has_no_form(fields: dict[str, Any]) -> None:
    assert "<form" not in html_of(page(report=report(**fields)))


def test_the_page_reloads_while_a_run_may_change_and_rarely_if_costly() -> None:
    assert 'data-refresh-s="3"' in html_of(page())
    assert 'data-refresh-s="21"' in html_of(page(), read_s=4.2)
    assert 'data-refresh-s="30"' in html_of(page(), read_s=60)
    assert 'data-refresh-s="0"' in html_of(page(live=False))


def test_a_message_is_escaped() -> None:
    html = render("message.html", SHELL, title="<b>", text="<i>")
    assert "&lt;b&gt;" in html
    assert "<i>" not in html


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0123, "12 ms"),
        (1.29, "1.2 s"),
        (59.99, "59 s"),
        (60, "1 min"),
        (3_599, "59 min 59 s"),
        (3_600, "1 h"),
        (3_605, "1 h"),
        (90_061, "1 d 1 h"),
        (-1, "0 ms"),
    ],
)
def test_durations_are_readable(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_estimates_are_marked_as_estimates() -> None:
    assert roughly(12) == "less than a minute"
    assert roughly(61) == "about 2 min"


def test_an_old_time_has_its_date() -> None:
    assert moment(NOW - timedelta(hours=1), NOW) == "11:00:00 UTC"
    assert moment(NOW - timedelta(days=1), NOW) == "2026-03-03 12:00 UTC"


BASE = "https://airflow.example.com/team"


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "same-origin"},
        {"origin": "http://10.0.0.1:8080", "host": "10.0.0.1:8080"},
        {"origin": "https://airflow.example.com", "host": "api:8080"},
        {"authorization": "Bearer token"},
    ],
)
def test_the_page_itself_may_send_forms(headers: dict[str, str]) -> None:
    assert is_own(headers, BASE)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"host": "10.0.0.1:8080"},
        {"sec-fetch-site": "same-site", "origin": "https://airflow.example.com"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "none"},
        {"origin": "null", "host": "10.0.0.1:8080"},
        {"origin": "http://10.0.0.1:9090", "host": "10.0.0.1:8080"},
        {"origin": "https://airflow.example.com.evil.test", "host": "airflow.example.com"},
        {"authorization": "Basic eDp5", "host": "10.0.0.1:8080"},
    ],
)
def test_other_pages_may_not(headers: dict[str, str]) -> None:
    assert not is_own(headers, BASE)
    assert not is_own(headers, "")
