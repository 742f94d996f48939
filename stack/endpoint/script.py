"""The script: what the endpoint serves and how it fails, as dataclasses and as JSON.

Everything here is a frozen dataclass whose fields are also its JSON members. It is validated when
it is created: an unknown member, a wrong type or a contradiction raises
:class:`pydantic.ValidationError`, which names the field, the value and what is allowed.
"""

from datetime import UTC, datetime
from difflib import get_close_matches
from enum import StrEnum
from typing import Annotated, Self

from pydantic import ConfigDict, Field, JsonValue, TypeAdapter, model_validator
from pydantic.dataclasses import dataclass

from stack.endpoint.aws_errors import S3_ERRORS, lambda_errors

REGION = "us-east-1"
ACCOUNT = "000000000000"
MAX_GENERATED = 10_000_000
_STRICT = ConfigDict(extra="forbid")
_FIRST_FAILING_STATUS = 300
Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]


def _require_unique(field: str, names: list[str]) -> None:
    if len(set(names)) != len(names):
        raise ValueError(f"{field}: {max(names, key=names.count)!r} is there more than once")


class Operation(StrEnum):
    """What a rule watches."""

    INVOKE = "invoke"
    """Invoke, except dry runs."""
    LIST_OBJECTS = "list_objects"
    """ListObjectsV2: one page."""


class Wire(StrEnum):
    """How a response is sent."""

    WHOLE = "whole"
    """Correctly."""
    HANG = "hang"
    """Never: the connection stays open and silent."""
    FIN = "fin"
    """Never: the connection is closed properly."""
    RST = "rst"
    """Never: the connection is reset."""
    CUT = "cut"
    """The headers and half of the body, then the connection is closed."""
    STALL = "stall"
    """The headers and half of the body, then silence."""
    DRIP = "drip"
    """The headers, then the body byte by byte."""


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class Span:
    """A range of ordinal numbers, counted from 1."""

    first: Count = 1
    last: Count | None = None
    """The last number of the range; None for no end."""

    def __contains__(self, number: int) -> bool:
        return number >= self.first and (self.last is None or number <= self.last)


Ordinals = Span | frozenset[Count]


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class Reply:
    """What the endpoint does with a call that a rule takes.

    Give at most one of ``error``, ``function_error``, ``body`` and ``fails_items``. Without any of
    them, the response is the one that the call would have had without the rule.
    """

    error: str | None = None
    """The name of an AWS error: ``TooManyRequestsException``, ``SlowDown``..."""
    status: Annotated[int, Field(ge=200, le=599)] | None = None
    """The HTTP status; None for the error's own, or 200."""
    message: str | None = None
    """The message of the error or function error; None for a usual one."""
    extra: dict[str, JsonValue] = Field(default_factory=dict)
    """More members for the JSON body of a Lambda error, such as ``{"retryAfterSeconds": "3"}``."""
    headers: dict[str, str] = Field(default_factory=dict)
    """More headers of the response."""
    function_error: str | None = None
    """The ``errorType`` of a function that failed: status 200, X-Amz-Function-Error Unhandled."""
    body: str | None = None
    """The body of the response, byte for byte (UTF-8)."""
    fails_items: bool = False
    """Whether the response, to S3 Batch Operations, fails the rule's items and no others."""
    wire: Wire = Wire.WHOLE
    runs: bool | None = None
    """Whether the function runs; None: not for an error, a status from 300 or a lost response."""
    delay: Seconds = 0.0
    """Additional seconds before the response; a function that runs keeps running in them."""
    drip_interval: Annotated[float, Field(gt=0, le=3_600)] = 0.1
    """Seconds between two bytes of a dripping body."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = ("error", "function_error", "body", "fails_items")
        given = [name for name in names if getattr(self, name) not in {None, False}]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)}: give at most one of them")
        if self.function_error is not None and self.runs is False:
            raise ValueError("runs=False with function_error: a function that fails has run")
        for name, value in self.headers.items():
            if not name.isascii() or not value.isascii() or {*name, *value} & {"\r", "\n", "\0"}:
                raise ValueError(f"headers: {name!r}: {value!r} must be ASCII on one line")
        return self

    @property
    def executes(self) -> bool:
        """Whether the function runs."""
        if self.runs is not None:
            return self.runs
        fails = self.error is not None or (self.status or 0) >= _FIRST_FAILING_STATUS
        return not fails and self.wire not in {Wire.HANG, Wire.FIN, Wire.RST}


USUAL = Reply()
"""The reply to a call that no rule takes."""


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class Rule:
    """A condition on calls, and the reply to those that meet all of it.

    If a call meets several rules, the first in the script takes it.
    """

    reply: Reply
    operation: Operation = Operation.INVOKE
    resource: str = ""
    """The name of the function or bucket; empty for any."""
    keys: frozenset[str] = frozenset()
    """Item keys, at least one of which must be in the call; empty for any call."""
    arrivals: Ordinals | None = None
    """How often an item has arrived, including this call: 1 for its first call... With ``keys``,
    one of them must have arrived this often; without, any item of the call."""
    calls: Ordinals | None = None
    """Which calls of the operation (and resource), in the order of their arrival."""
    probability: Annotated[float, Field(ge=0, le=1)] = 1.0
    """The share of the calls that meet everything else; the draws are the same each time."""
    above_in_flight: Annotated[int, Field(ge=0)] | None = None
    """Only calls that find this many executions (or more) running."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        error = self.reply.error
        if error is not None and self.reply.status is None:
            known = lambda_errors() if self.operation is Operation.INVOKE else S3_ERRORS
            if error not in known:
                near = get_close_matches(error, known) or sorted(known)
                raise ValueError(
                    f"reply.error: {error!r} is not a known error of {self.operation.value!r};"
                    f" give reply.status too, or one of {', '.join(near)}"
                )
        if self.operation is not Operation.INVOKE:
            fields = {
                "keys": self.keys,
                "arrivals": self.arrivals,
                "above_in_flight": self.above_in_flight,
                "reply.fails_items": self.reply.fails_items,
                "reply.function_error": self.reply.function_error,
            }
            for name, value in fields.items():
                if value:
                    raise ValueError(f"{name}: {value!r} is for the operation 'invoke' only")
        return self


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class Function:
    """A function that the endpoint has; its version 1 is published."""

    name: Annotated[str, Field(pattern=r"\A[a-zA-Z0-9-_]{1,64}\z")] = "scripted"
    timeout_seconds: Annotated[int, Field(ge=1, le=900)] = 60
    """Its timeout, as returned by GetFunctionConfiguration; the endpoint does not enforce it."""
    memory_mb: Annotated[int, Field(ge=128, le=10_240)] = 128
    used_mb: Annotated[int, Field(ge=1, le=10_240)] = 64
    """The most memory that an execution uses, as logged."""
    logs_json: bool = False
    """Whether its log is in JSON."""
    prints: str = ""
    """What its log contains before Lambda's own last line."""


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class S3Object:
    """An object of a bucket, as a listing shows it."""

    key: str
    size: Annotated[int, Field(ge=0)] = 0
    """In bytes."""
    modified_at: datetime = datetime(2024, 1, 1, tzinfo=UTC)
    storage_class: str = "STANDARD"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.modified_at.tzinfo is None:
            moment = self.modified_at.isoformat()
            raise ValueError(f"modified_at: {moment!r} must have a time zone")
        try:
            self.key.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"key: {self.key!r} cannot be encoded in UTF-8") from error
        return self


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class Bucket:
    """A bucket that the endpoint has."""

    name: Annotated[str, Field(pattern=r"\A[a-z0-9.-]{3,63}\z")] = "scripted"
    objects: tuple[S3Object, ...] = ()
    """Its objects, in any order."""
    generated: Annotated[int, Field(ge=0, le=MAX_GENERATED)] = 0
    """How many objects to generate instead: ``data/000000000.json`` and so on."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.objects and self.generated:
            raise ValueError("objects and generated: give only one of them")
        _require_unique("objects", [one.key for one in self.objects])
        return self


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class Script:
    """Everything that the endpoint is to do."""

    functions: tuple[Function, ...] = (Function(),)
    buckets: tuple[Bucket, ...] = (Bucket(),)
    rules: tuple[Rule, ...] = ()
    """The faults."""
    latency: Seconds = 0.05
    """Seconds that an execution of a function takes."""
    seconds_per_mb: Seconds = 0.0
    """Additional seconds for each 1,000,000 bytes of the objects it is called with."""
    list_latency: Seconds = 0.0
    """Seconds that a page of a listing takes."""
    answer: str = "null"
    """The body of a successful response to an invocation."""
    count_items: bool = True
    """Whether to count how often each item arrived. If not, only rules and records read bodies."""
    record_calls: bool = False
    """Whether to keep one record of each of the last invocations."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        _require_unique("functions", [one.name for one in self.functions])
        _require_unique("buckets", [one.name for one in self.buckets])
        return self


_adapter = TypeAdapter(Script)


def parse_script(text: str | bytes) -> Script:
    """Return the script in a JSON text.

    :raises pydantic.ValidationError: with every fault of the text and its place
    """
    return _adapter.validate_json(text)


def render_script(script: Script) -> str:
    """Return the JSON of a script, on one line."""
    return _adapter.dump_json(script).decode()
