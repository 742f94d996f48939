"""The demo as a story: what happens, why, and what must be true at its end."""

import json
import math
import time
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from psycopg2.extensions import connection
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from demo.aws import Aws
from demo.checks import Check, counts_are, exactly_one_output
from demo.objects import live_objects, objects_from_before
from demo.runs import RunCounts, runs_of
from demo.watch import follow
from stack.airflow_api import AirflowApi

_DAG_ID = "retrofill_s3"
_DAG_WITHIN_S = 120
_FROM_BEFORE = 1000
_LIVE = 5
_LIVE_WITHIN_S = 60
_COUNTED = (
    "listed", "left_out", "known", "new", "succeeded", "quarantined", "calls", "retries",
    "duplicates",
)  # fmt: skip
_SHOWN_OF_NOTIFICATION = ("job", "status", *_COUNTED, "duration_s", "link")


class TriggerSilentError(Exception):
    """The live trigger does not call the function."""


class Stopwatch:
    """Records the durations of consecutive parts."""

    def __init__(self) -> None:
        self._noted = time.monotonic()
        self.parts: defaultdict[str, float] = defaultdict(float)
        """Seconds by part."""

    def note(self, part: str) -> None:
        """Add the time since the last note to a part."""
        now = time.monotonic()
        self.parts[part] += now - self._noted
        self._noted = now


class Story:
    """Plays the demo on a running stack.

    :param conn: a connection to the database of the state
    """

    def __init__(
        self,
        console: Console,
        stopwatch: Stopwatch,
        *,
        aws: Aws,
        airflow: AirflowApi,
        conn: connection,
    ) -> None:
        self._console = console
        self._stopwatch = stopwatch
        self._aws = aws
        self._airflow = airflow
        self._conn = conn
        self._before = list(objects_from_before(_FROM_BEFORE))
        self._live = list(live_objects(_LIVE))

    def play(self) -> list[Check]:
        """Play the demo to its end; return the checks.

        :raises TriggerSilentError: before there is anything for Retrofill to do
        :raises DagMissingError: Airflow cannot run the DAG
        :raises RunFailedError: a run failed
        """
        self._fill_bucket()
        params = {
            "job": self._aws.bucket,
            "bucket": self._aws.bucket,
            "whole_bucket": True,
            "modified_before": self._attach_trigger().isoformat(),
            "function": self._aws.function,
            "max_concurrency": 8,
            "notify_sns_topic_arn": self._aws.open_mailbox(),
        }
        self._airflow.unpause(_DAG_ID, within_s=_DAG_WITHIN_S)
        self._stopwatch.note("stack")

        self._print(
            "Retrofill calls the same function for the old objects",
            "One object per call, with the event that the trigger would have sent, for all objects"
            f" modified before that time. POST /api/v2/dags/{_DAG_ID}/dagRuns, conf:",
        )
        self._print_json(params)
        first = self._run(params, 1)
        received = self._aws.received()
        for message in received:
            self._console.print("The notification at its end, via SNS and SQS:")
            self._print_json({name: message.get(name) for name in _SHOWN_OF_NOTIFICATION})
        outputs = self._aws.outputs()
        self._stopwatch.note("first run")

        self._print("Run it again", "Retrofill knows the processed objects and calls nothing.")
        second = self._run(params, 2)
        touched = len(set(outputs) ^ set(self._aws.outputs()))
        self._stopwatch.note("second run")

        self._console.print(_table([first, second]))
        number = len(self._before)
        keys = [stored.key for stored in (*self._before, *self._live)]
        folders = [output.key.partition("/")[0] for output in outputs]
        notified = [_counted(message) for message in received]
        live = {"filtered": len(self._live)}
        return [
            counts_are("all old objects were listed", first, status="complete", listed=number),
            counts_are(
                "the function processed all of them", first, succeeded=number, quarantined=0
            ),
            counts_are("the live objects were left to the trigger", first, left_out=live),
            exactly_one_output("every object, old or live, has one output", keys, folders),
            Check(
                "one notification came, with these counts", [_counted(first._asdict())], notified
            ),
            counts_are(
                "the second run knew all objects", second, status="complete", known=number, new=0
            ),
            counts_are("the second run called nothing", second, calls=0),
            Check("the second run changed no output", 0, touched),
        ]

    def _fill_bucket(self) -> None:
        self._aws.create_buckets()
        self._aws.put(self._before)
        sizes = [len(stored.body) for stored in self._before]
        longest = max(len(stored.key.encode()) for stored in self._before)
        self._print(
            "A bucket with a past",
            f"{len(self._before):,} objects in {self._aws.bucket}, of {min(sizes)} to"
            f" {max(sizes):,} bytes. Their keys have spaces, +, %, é, 報, 🚀 and line breaks, and"
            f" up to {longest:,} bytes.",
        )
        self._stopwatch.note("bucket")

    def _attach_trigger(self) -> datetime:
        """Attach the function to new objects; return the time from which it processes them."""
        self._aws.deploy_function()
        self._aws.attach_trigger()
        # S3 shows an object's time in whole seconds, so no live object may share the second of an
        # old one.
        since = math.ceil(time.time())
        time.sleep(max(0, since - time.time()))
        self._aws.put(self._live)
        limit = time.monotonic() + _LIVE_WITHIN_S
        while (processed := len(self._aws.outputs())) < len(self._live):
            if time.monotonic() > limit:
                raise TriggerSilentError(
                    f"after {_LIVE_WITHIN_S} s, {processed} of {len(self._live)} live objects have"
                    " an output: the emulator's trigger does not call the function"
                )
            time.sleep(0.1)
        moment = datetime.fromtimestamp(since, UTC)
        self._print(
            "A function for new objects",
            f"demo/functions/word_count.py has been the bucket's live trigger since"
            f" {moment:%H:%M:%S} UTC. It wrote a summary of each of the {processed} new objects."
            f" The {len(self._before):,} older ones have none, and no event will come for them.",
        )
        self._stopwatch.note("function and trigger")
        return moment

    def _run(self, params: dict[str, Any], number: int) -> RunCounts:
        """Trigger the DAG, and wait until the job's run of this number has ended."""
        job = params["job"]
        dag_run_id = f"{job}-{number}"
        self._airflow.trigger(_DAG_ID, dag_run_id, params)

        def read() -> RunCounts | None:
            return dict(enumerate(runs_of(self._conn, job), 1)).get(number)

        return follow(self._console, self._airflow, _DAG_ID, dag_run_id, read)

    def _print(self, heading: str, text: str) -> None:
        self._console.print(f"\n[bold]{escape(heading)}[/]")
        self._console.print(escape(text))

    def _print_json(self, value: object) -> None:
        self._console.print(Padding(escape(json.dumps(value)), (0, 0, 0, 2)), style="dim")


def _counted(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: fields.get(name) for name in _COUNTED}


def _table(runs: list[RunCounts]) -> Table:
    table = Table(box=None, padding=(0, 2))
    table.add_column("")
    for name in ("first run", "second run"):
        table.add_column(name, justify="right")
    for name in ("status", *_COUNTED):
        values = [getattr(run, name) for run in runs]
        table.add_row(
            name, *(f"{value:,}" if isinstance(value, int) else str(value) for value in values)
        )
    table.add_row("seconds", *("" if run.seconds is None else f"{run.seconds:.1f}" for run in runs))
    return table
