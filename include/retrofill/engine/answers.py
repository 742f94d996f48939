"""Answer contracts: how to read which items of a call failed from the function's response.

An ambiguous response makes its *call* fail. It never counts as success.

``batchItemFailures``, as Lambda reads it for SQS and streams
(https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html):

==========================================================  =======================================
response                                                    read as
==========================================================  =======================================
empty, ``null``, ``{}``, ``[]``, ``""``                     every item succeeded
``batchItemFailures`` missing, ``null`` or ``[]``           every item succeeded
a list of ``{"itemIdentifier": <id of the call>}``          these items failed, the others succeeded
the same id listed twice                                    as if listed once
an id that is missing, empty, not a text, not of the call   malformed
any other type; not JSON; duplicate names; NaN; not UTF-8   malformed
==========================================================  =======================================

``checkpoint`` is the same list in the response of a function behind a stream: all records from the
first listed one on are sent again, but only that one has failed
(https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html).

``s3-batch``, the response of S3 Batch Operations
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/batch-ops-invoke-lambda.html): the ids of
invocation and tasks are echoed. A task without a result counts as ``treatMissingKeysAs``. Without
that, or if two results of one task differ, the response is malformed.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from retrofill.engine.outcomes import storable
from retrofill.model.delivery import Contract

_MAX_QUOTED_CHARS = 60
_SCHEMAS = ("1.0", "2.0")
_RESULT_CODES = ("Succeeded", "TemporaryFailure", "PermanentFailure")
_LISTED = "listed in batchItemFailures"
_NO_RESULT = "no result for this task"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the response of a call reports about its items."""

    failed: Mapping[int, str] = field(default_factory=dict)
    """The message for each item that failed, by its position in the call."""

    permanent: frozenset[int] = frozenset()
    """Positions of items that would fail again."""

    unread: frozenset[int] = frozenset()
    """Positions of items that the function did not process: neither succeeded nor failed."""

    malformed: str = ""
    """Why the response cannot be read, so that the call failed; empty if it can."""


ALL_SUCCEEDED = Answer()


def read_answer(contract: Contract, body: bytes, identifiers: Sequence[str]) -> Answer:
    """Read the response of a function that returned without an error.

    :param identifiers: the name of each item in the event, in the call's order; if several items
        share a name, a result for it applies to all of them
    """
    if contract is Contract.RETURN:
        return ALL_SUCCEEDED
    try:
        parsed = _parsed(body)
        if contract is Contract.S3_BATCH:
            return _s3_batch(parsed, identifiers)
        answer = _batch_item_failures(parsed, identifiers)
        return _up_to_the_first(answer, identifiers) if contract is Contract.CHECKPOINT else answer
    except _MalformedError as error:
        return Answer(malformed=f"the answer does not conform to {contract}: {error}")


class _MalformedError(Exception):
    """The response cannot be read; the message says why."""


def _parsed(body: bytes) -> object:
    if not body:
        return None
    try:
        parsed: object = json.loads(
            body.decode("utf-8"), object_pairs_hook=_object, parse_constant=_refuse_constant
        )
    except (ValueError, RecursionError) as error:
        raise _MalformedError(f"it is not JSON ({str(error) or 'nested too deep'})") from error
    return parsed


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _MalformedError(f"the name {_shown(twice)} occurs twice in an object")
    return found


def _refuse_constant(constant: str) -> object:
    raise _MalformedError(f"{constant} is not JSON")


def _batch_item_failures(answer: object, identifiers: Sequence[str]) -> Answer:
    if answer is None or answer in ("", []):
        return ALL_SUCCEEDED
    if not isinstance(answer, dict):
        raise _MalformedError(f"it is {_shown(answer)}, not an object")
    failures = answer.get("batchItemFailures")
    if failures is None:
        return ALL_SUCCEEDED
    named = _named(failures, "batchItemFailures", "itemIdentifier")
    positions = _positions(identifiers) if failures else {}
    return Answer(
        failed={
            position: _LISTED
            for identifier, _ in named
            for position in _lookup(positions, identifier, "itemIdentifier")
        }
    )


def _up_to_the_first(answer: Answer, identifiers: Sequence[str]) -> Answer:
    """Read a list of failures as Lambda does for streams: as the position to continue from."""
    if not answer.failed:
        return answer
    first = min(answer.failed)
    return Answer(
        failed={first: answer.failed[first]},
        unread=frozenset(range(first + 1, len(identifiers))),
    )


def _s3_batch(answer: object, identifiers: Sequence[str]) -> Answer:
    if not isinstance(answer, dict):
        raise _MalformedError(f"it is {_shown(answer)}, not an object")
    _one_of(_SCHEMAS, answer, "invocationSchemaVersion")
    _one_of(identifiers, answer, "invocationId")
    missing = answer.get("treatMissingKeysAs")
    if missing is not None:
        _one_of(_RESULT_CODES, answer, "treatMissingKeysAs")
    positions = _positions(identifiers)
    results: dict[int, tuple[str, str]] = {}
    for task_id, result in _named(answer.get("results"), "results", "taskId"):
        found = _one_of(_RESULT_CODES, result, "resultCode"), _message(result)
        for position in _lookup(positions, task_id, "taskId"):
            if results.setdefault(position, found)[0] != found[0]:
                raise _MalformedError(f"two results of the task {_shown(task_id)} differ")
    for position, identifier in enumerate(identifiers):
        if position not in results:
            if missing is None:
                raise _MalformedError(
                    f"there is no result for the task {_shown(identifier)},"
                    " and treatMissingKeysAs is missing"
                )
            results[position] = missing, _NO_RESULT
    return Answer(
        failed={at: text or code for at, (code, text) in results.items() if code != "Succeeded"},
        permanent=frozenset(at for at, (code, _) in results.items() if code == "PermanentFailure"),
    )


def _named(entries: object, field: str, name: str) -> Iterable[tuple[str, dict[str, object]]]:
    """Return the entries of a list, each with its text under ``name``."""
    if not isinstance(entries, list):
        raise _MalformedError(f"{field} is {_shown(entries)}, not a list")
    for entry in entries:
        if not isinstance(entry, dict):
            raise _MalformedError(f"{field} contains {_shown(entry)}, not an object")
        identifier = entry.get(name)
        if not isinstance(identifier, str) or not identifier:
            shown = _shown(identifier) if name in entry else "missing"
            raise _MalformedError(f"the {name} of an entry of {field} is {shown}")
        yield identifier, entry


def _positions(identifiers: Sequence[str]) -> dict[str, list[int]]:
    positions: dict[str, list[int]] = {}
    for position, identifier in enumerate(identifiers):
        positions.setdefault(identifier, []).append(position)
    return positions


def _lookup(positions: Mapping[str, list[int]], identifier: str, field: str) -> list[int]:
    try:
        return positions[identifier]
    except KeyError:
        raise _MalformedError(f"{field} {_shown(identifier)} is not of this call") from None


def _one_of(allowed: Sequence[str], entry: Mapping[str, object], field: str) -> str:
    value = entry.get(field)
    if not isinstance(value, str) or value not in allowed:
        shown = ", ".join(allowed[:3])
        raise _MalformedError(f"{field} is {_shown(value)}; allowed: {shown}")
    return value


def _message(result: Mapping[str, object]) -> str:
    text = result.get("resultString")
    if text is None:
        return ""
    if not isinstance(text, str):
        raise _MalformedError(f"resultString is {_shown(text)}, not a text")
    return storable(text)


def _shown(value: object) -> str:
    """Return how a message shows a value: as JSON, cut short, or by its type."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    text = json.dumps(value)
    return text if len(text) <= _MAX_QUOTED_CHARS else f"{text[:_MAX_QUOTED_CHARS]}…"
