"""F14: malformed responses of every kind, in whole runs, never count as success."""

import json
import unicodedata
from typing import Any

import pytest
from retrofill.model.delivery import Contract

from stack.endpoint import Reply, Rule, ScriptedEndpoint
from tests.faults.fault_table import FaultTable
from tests.faults.pipeline_run import Backfill

OBJECTS = 8
PER_CALL = 4
BAD = "data/000000001.json"


def failures(*identifiers: Any) -> str:
    return json.dumps({"batchItemFailures": [{"itemIdentifier": one} for one in identifiers]})


MALFORMED = {
    "an id that is not of the call": failures("data/000000099.json"),
    "an id of another Unicode form": failures(unicodedata.normalize("NFD", "data/é")),
    "an empty id": failures(""),
    "a null id": failures(None),
    "a number for an id": failures(1),
    "no id": '{"batchItemFailures": [{}]}',
    "an id under another name": '{"batchItemFailures": [{"itemIdentifer": "a"}]}',
    "a text for an entry": '{"batchItemFailures": ["data/000000001.json"]}',
    "an object for the list": '{"batchItemFailures": {"itemIdentifier": "a"}}',
    "a text for the list": '{"batchItemFailures": "data/000000001.json"}',
    "true for the list": '{"batchItemFailures": true}',
    "a list for the answer": '[{"itemIdentifier": "data/000000001.json"}]',
    "a number": "1",
    "a text": '"all is well"',
    "a duplicate name": '{"batchItemFailures": [], "batchItemFailures": []}',
    "NaN": '{"batchItemFailures": NaN}',
    "truncated JSON": '{"batchItemFailures": [{"itemIdent',
    "HTML": "<html><body>502 Bad Gateway</body></html>",
    "lists within lists": "[" * 100_000,
}
ALL_WELL = {
    "null": "null",
    "nothing": "",
    "an object without the list": '{"statusCode": 200}',
    "null for the list": '{"batchItemFailures": null}',
    "an empty list": '{"batchItemFailures": []}',
}


def made(shared_dsn: str, endpoint: ScriptedEndpoint, job: str, **params: Any) -> Backfill:
    params = {"items_per_call": PER_CALL, "max_concurrency": 1, **params}
    backfill = Backfill(dsn=shared_dsn, endpoint=endpoint, job=job, params=params)
    if "event" not in params:
        backfill.contract = Contract.BATCH_ITEM_FAILURES
    backfill.serve(OBJECTS)
    return backfill


@pytest.mark.parametrize("name", MALFORMED)
def test_f14_a_malformed_answer_is_a_failed_call_and_is_halved(
    shared_dsn: str, endpoint: ScriptedEndpoint, fault_table: FaultTable, name: str
) -> None:
    backfill = made(shared_dsn, endpoint, name)
    backfill.break_with(Rule(keys=frozenset({BAD}), reply=Reply(body=MALFORMED[name])))
    backfill.run(watched=False)
    evidence = backfill.evidence(poison={BAD})
    what = "malformed batchItemFailures, each kind"
    # Four items, the half, then twice the item alone: 3 + 1 + 3 calls of an item again.
    fault_table.hold("F14", what, evidence, bound=7)
    assert backfill.outcomes() == {"failed": 4, "succeeded": 3}
    error_types = "SELECT DISTINCT error_type FROM retrofill.v_quarantine WHERE job = %s"
    assert backfill.rows(error_types, name) == [("Answer.Malformed",)]


@pytest.mark.parametrize("name", ALL_WELL)
def test_f14_a_response_that_names_no_item_is_success(
    shared_dsn: str, endpoint: ScriptedEndpoint, fault_table: FaultTable, name: str
) -> None:
    backfill = made(shared_dsn, endpoint, f"all well: {name}")
    backfill.serve(OBJECTS, answer=ALL_WELL[name])
    backfill.run(watched=False)
    fault_table.hold("F14", "responses that name no failure", backfill.evidence(), bound=0)
    assert backfill.outcomes() == {"succeeded": 2}


@pytest.mark.parametrize(
    "change",
    [
        {"invocationId": "another"},
        {"invocationSchemaVersion": "9.9"},
        {"treatMissingKeysAs": "Whatever"},
        {"results": None},
        {"results": {}},
        {"results": [{"taskId": "of another call", "resultCode": "Succeeded"}]},
        {"results": [{"taskId": "", "resultCode": "Succeeded"}]},
        {"results": [{"resultCode": "Succeeded"}]},
        {"results": [], "treatMissingKeysAs": None},
    ],
    ids=str,
)
@pytest.mark.parametrize("schema", ["1.0", "2.0"])
def test_f14_a_malformed_answer_to_s3_batch_operations_is_a_failed_call(
    shared_dsn: str,
    endpoint: ScriptedEndpoint,
    fault_table: FaultTable,
    schema: str,
    change: dict[str, Any],
) -> None:
    # A script does not know the ids of the call, and without them no response of this kind is
    # right.
    answer = {
        "invocationSchemaVersion": schema,
        "invocationId": "unknown",
        "treatMissingKeysAs": "Succeeded",
        "results": [],
        **change,
    }
    job = f"{schema} {change}"
    backfill = made(shared_dsn, endpoint, job, event=f"s3-batch-{schema}", items_per_call=1)
    backfill.serve(4, Rule(reply=Reply(fails_items=True), keys=frozenset({"none"})))
    good = Rule(keys=frozenset(backfill.keys) - {BAD}, reply=Reply(fails_items=True))
    bad = Rule(keys=frozenset({BAD}), reply=Reply(body=json.dumps(answer)))
    backfill.break_with(bad, good)
    backfill.run(watched=False)
    # Items that the function itself gives up are quarantined at their first call.
    evidence = backfill.evidence(poison=set(backfill.keys), named_as_failed=3)
    what = "malformed results of S3 Batch Operations"
    fault_table.hold("F14", what, evidence, bound=1)
    assert backfill.outcomes() == {"failed": 2, "succeeded": 3}


def test_f14_an_error_of_ten_megabytes_is_not_kept_whole(
    shared_dsn: str, endpoint: ScriptedEndpoint, fault_table: FaultTable
) -> None:
    backfill = made(shared_dsn, endpoint, "ten megabytes", event="s3", items_per_call=1)
    huge = Reply(function_error="ValueError", message="x" * 10_000_000)
    unsafe = '{"errorType": "\\u0000", "errorMessage": "\\u0000\\ud83d' + "y" * 5_000_000 + '"}'
    large = Reply(body=unsafe, headers={"X-Amz-Function-Error": "Unhandled"})
    backfill.serve(2, Rule(keys=frozenset({BAD}), reply=huge), Rule(reply=large))
    backfill.run(watched=False)
    evidence = backfill.evidence(poison=set(backfill.keys))
    fault_table.hold("F14", "errors of 5 and 10 MB", evidence, bound=4)
    (kept,) = backfill.rows(
        "SELECT max(length(error)) FROM retrofill.v_quarantine WHERE job = %s", backfill.job
    )
    assert 0 < kept[0] <= 1_000
