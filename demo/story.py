"""The demo as a story: what happens, why, and what must be true at its end."""

import json
import math
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from demo.aws import Aws
from demo.checks import Check, counts_are, exactly_one_output
from demo.objects import live_objects, objects_from_before
from demo.runs import RunCounts, RunView
from demo.stopwatch import Stopwatch
from demo.watch import Watcher
from stack.airflow_api import AirflowApi

_DAG_ID = "retrofill_s3"
_DAG_WITHIN_S = 120
_FROM_BEFORE = 1000
_LIVE = 5
_LIVE_WITHIN_S = 60
_COUNTED = (
    "listed",
    "left_out",
    "known",
    "new",
    "succeeded",
    "quarantined",
    "calls",
    "retries",
    "duplicates",
)
_SHOWN_OF_NOTIFICATION = ("job", "status", *_COUNTED, "duration_s", "link")


class TriggerSilentError(Exception):
    """The live trigger does not call the function."""


class Story:
    """Plays the demo on a stack that is up.

    :param console: where to print
    :param stopwatch: records the time of each part
    """

    def __init__(
        self,
        console: Console,
        stopwatch: Stopwatch,
        *,
        aws: Aws,
        airflow: AirflowApi,
        view: RunView,
    ) -> None:
        self._console = console
        self._stopwatch = stopwatch
        self._aws = aws
        self._airflow = airflow
        self._view = view
        self._before = list(objects_from_before(_FROM_BEFORE))
        self._live = list(live_objects(_LIVE))

    def play(self) -> list[Check]:
        """Play the demo to its end; return the checks.

        :raises TriggerSilentError: before there is anything for Retrofill to do
        :raises DagMissingError: Airflow cannot run the DAG
        :raises RunFailedError: a run failed
        """
        self._fill_bucket()
        trigger_since = self._attach_trigger()
        params = self._params(trigger_since)
        self._airflow.unpause(_DAG_ID, within_s=_DAG_WITHIN_S)
        self._stopwatch.note("stack")

        self._tell(
            "Retrofill calls the same function for the old objects",
            "one object per call, with the event that the trigger would have sent, for everything"
            f" modified before. POST /api/v2/dags/{_DAG_ID}/dagRuns, conf:",
        )
        self._say_small(json.dumps(params))
        first = self._follow(params, 1)
        received = self._aws.received()
        for message in received:
            self._say("At its end, through SNS and SQS:")
            self._say_small(
                json.dumps({name: message.get(name) for name in _SHOWN_OF_NOTIFICATION})
            )
        outputs = self._aws.outputs()
        self._stopwatch.note("first run")

        self._tell("The same again", "Processed objects are remembered: nothing is called.")
        second = self._follow(params, 2)
        outputs_again = self._aws.outputs()
        self._stopwatch.note("second run")

        self._console.print(_table([first, second]))
        number = len(self._before)
        keys = [stored.key for stored in (*self._before, *self._live)]
        folders = [output.folder for output in outputs]
        touched = len(set(outputs) ^ set(outputs_again))
        notified = [_counted(message) for message in received]
        live = {"filtered": len(self._live)}
        return [
            counts_are("what was there before was listed", first, status="complete", listed=number),
            counts_are("the function processed all of it", first, succeeded=number, quarantined=0),
            counts_are("what came live was left to the trigger", first, left_out=live),
            exactly_one_output("every object, from before or live, has one output", keys, folders),
            Check(
                "one notification came, with these counts", [_counted(first._asdict())], notified
            ),
            counts_are(
                "the second run knew it all", second, status="complete", known=number, new=0
            ),
            counts_are("the second run called nothing", second, calls=0),
            Check("the second run changed no output", 0, touched),
        ]

    def _fill_bucket(self) -> None:
        self._aws.create_buckets()
        self._aws.put(self._before)
        sizes = [len(stored.body) for stored in self._before]
        longest = max(len(stored.key.encode()) for stored in self._before)
        self._tell(
            "A bucket with a past",
            f"{len(self._before):,} objects in {self._aws.bucket}, of {min(sizes)} to"
            f" {max(sizes):,} bytes; with spaces, +, %, é, 報, 🚀 and line breaks in their keys,"
            f" which have up to {longest:,} bytes.",
        )
        self._stopwatch.note("bucket")

    def _attach_trigger(self) -> datetime:
        """Attach the function to new objects; return the time from which it serves them."""
        self._aws.deploy_function()
        self._aws.attach_trigger()
        # S3 shows an object's time in whole seconds, so the border lies between two of them.
        since = math.ceil(time.time())
        time.sleep(max(0, since - time.time()))
        self._aws.put(self._live)
        limit = time.monotonic() + _LIVE_WITHIN_S
        while (served := len(self._aws.outputs())) < len(self._live):
            if time.monotonic() > limit:
                message = f"{served} of {len(self._live)} objects put live have an output"
                raise TriggerSilentError(f"after {_LIVE_WITHIN_S} s {message}")
            time.sleep(0.1)
        moment = datetime.fromtimestamp(since, UTC)
        self._tell(
            "A function for new objects",
            f"demo/functions/word_count.py is the bucket's live trigger from {moment:%H:%M:%S} UTC"
            f" on. It has written a summary of each of the {served} objects put since. The"
            f" {len(self._before):,} older ones have none, and no event will ever come for them.",
        )
        self._stopwatch.note("function and trigger")
        return moment

    def _params(self, trigger_since: datetime) -> dict[str, Any]:
        """Return what to backfill, and how, as in the trigger form."""
        return {
            "job": self._aws.bucket,
            "bucket": self._aws.bucket,
            "whole_bucket": True,
            "modified_before": trigger_since.isoformat(),
            "function": self._aws.function,
            "max_concurrency": 8,
            "notify_sns_topic_arn": self._aws.open_mailbox(),
        }

    def _follow(self, params: dict[str, Any], number: int) -> RunCounts:
        watcher = Watcher(self._console, self._airflow, self._view, _DAG_ID, params["job"])
        dag_run_id = f"{params['job']}-{number}"
        self._airflow.trigger(_DAG_ID, dag_run_id, params)
        return watcher.follow(dag_run_id, number)

    def _tell(self, heading: str, text: str) -> None:
        self._console.print(f"\n[bold]{escape(heading)}[/]")
        self._say(text)

    def _say(self, text: str) -> None:
        self._console.print(escape(text))

    def _say_small(self, text: str) -> None:
        self._console.print(Padding(escape(text), (0, 0, 0, 2)), style="dim")


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
