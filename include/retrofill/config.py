"""What a person can ask for: the params of the DAG, their limits, and what is wrong with them."""

import difflib
import json
import re
import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime
from functools import cache, partial
from typing import Annotated, Any, Literal, NamedTuple, NoReturn, Self, TypeAlias

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    WithJsonSchema,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError, PydanticUndefined

from retrofill.events import (
    BY_WAY,
    MAX_ITEMS,
    OFFERED,
    SHAPES,
    EventShape,
    names_in_words,
    with_arguments,
)
from retrofill.model.blank import BLANK
from retrofill.model.delivery import Contract
from retrofill.model.errors import ConfigError
from retrofill.model.quoting import quoted as _quoted

SOURCE = "Data source"
FUNCTION = "Function"
LIMITS = "Limits"
REDRIVE = "Redrive"
NOTIFICATION = "Notification"
JOB = "Job and connections"

_LONGEST_TEXT = 1_024
_LONGEST_KEY_BYTES = 1_024
_LONGEST_ERROR_TYPE = 200
_LARGEST_OBJECT = 10**15
_LONGEST_ARGUMENTS = 100_000

AUTO = "auto"
"""What a person gives who wants what the live trigger does."""

_EVENTS = (AUTO, *OFFERED)
_ANSWERS = (
    AUTO,
    *(one.value for one in Contract if any(one in shape.answers for shape in OFFERED.values())),
)
_SHAPES_IN_WORDS = ", ".join(dict.fromkeys(shape.words for shape in OFFERED.values()))
_EVENTS_WITH_ARGUMENTS = " and ".join(f"**{one.name}**" for one in reversed(with_arguments()))
_ARGUMENTS_ALLOWED = "".join(
    f"; for {shape.name} {shape.arguments_allowed}"
    for shape in with_arguments()
    if shape.arguments_allowed
)
_NOT_IN_QUARANTINE = (
    "min_size", "max_size", "modified_after", "modified_before", "use_data_interval", "preview",
)  # fmt: skip

# What lies between the last two are halves of characters, which UTF-8 does not have.
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_BUCKET = r"(?!.*\.\.)[a-z0-9][a-z0-9.\-]{1,61}[a-z0-9]"
_NO_BUCKETS = {
    "--x-s3": "a directory bucket, which lists its keys in no order and has no live trigger",
    "--table-s3": "a table bucket, which holds no objects of yours",
    "-s3alias": "the alias of an access point; give the bucket behind it",
    "--ol-s3": "the alias of an Object Lambda access point; give the bucket behind it",
    ".mrap": "a multi-region access point; give one of its buckets",
}
# https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html, FunctionName and Qualifier
_QUALIFIER = r"\$LATEST(\.PUBLISHED)?|[a-zA-Z0-9\-_]{1,128}"
_FUNCTION = (
    r"((arn:aws[a-z\-]*:lambda:[a-z0-9\-]+:)?\d{12}:function:|function:)?"
    rf"(?P<name>[a-zA-Z0-9\-_]{{1,64}})(:(?P<qualifier>{_QUALIFIER}))?"
)
_TOPIC = r"arn:aws[a-z\-]*:sns:[a-z0-9\-]+:\d{12}:[a-zA-Z0-9\-_]{1,256}"
_CONN_ID = r"[a-zA-Z0-9_.\-]{1,200}"
_TIME = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:?\d\d)?"


class Problem(NamedTuple):
    """What is wrong with one param."""

    name: str
    """The param."""

    says: str
    """Its value, and what is allowed."""

    def __str__(self) -> str:
        return f"{self.name}: {self.says}"


def _refuse(why: str) -> NoReturn:
    raise PydanticCustomError("retrofill", "{why}", {"why": why})


def _clean(text: str) -> str:
    if len(text) > _LONGEST_TEXT:
        _refuse(f"it has {len(text):,} characters")
    invisible = _CONTROL.search(text)
    if invisible:
        _refuse(f"it holds the control character {invisible[0]!r}")
    if text != text.strip():
        _refuse("it begins or ends with white space")
    return text


def _key_pattern(text: str) -> str:
    if not all(text.split("|")):
        _refuse("one of its patterns is empty")
    return _beginning(text)


def _error_pattern(text: str) -> str:
    if not all(text.split("|")):
        _refuse("one of its patterns is empty")
    if len(text) > _LONGEST_ERROR_TYPE:
        _refuse(f"it has more than {_LONGEST_ERROR_TYPE} characters")
    return text


def _beginning(text: str) -> str:
    if len(text.encode()) > _LONGEST_KEY_BYTES:
        _refuse(f"it has more than the {_LONGEST_KEY_BYTES:,} bytes that a key may have")
    return text


def _prefix(text: str) -> str:
    if text.startswith("s3://"):
        _refuse("it begins with s3://; the bucket's name goes into bucket, without s3://")
    if text.startswith("/"):
        _refuse(
            "it begins with a slash, and keys hardly ever do; if yours do, ask for the whole"
            " bucket with the key pattern /*"
        )
    return _beginning(text)


def _bucket(text: str) -> str:
    if text.startswith(("arn:", "s3:")):
        _refuse("it is more than the name")
    if "/" in text:
        _refuse("it holds a slash; what comes behind the bucket's name goes into prefix")
    for ending, kind in _NO_BUCKETS.items():
        if text.endswith(ending):
            _refuse(f"it is the name of {kind}")
    return _match(_BUCKET, text)


def _function(text: str) -> str:
    if text.startswith("arn:") and not re.fullmatch(_FUNCTION, text):
        service, *rest = text.split(":")[2:] or [""]
        kind = rest[2] if len(rest) > 2 else ""  # noqa: PLR2004  region, account, kind
        _refuse(f"it is no ARN of a function, but of {service} {kind}".rstrip())
    if "://" in text:
        _refuse("it is a URL")
    return _match(_FUNCTION, text)


def _topic(text: str) -> str:
    if text.endswith(".fifo"):
        _refuse("it is a FIFO topic, whose messages need a group")
    return _match(_TOPIC, text)


def _conn_id(text: str) -> str:
    if "://" in text:
        _refuse("it is a URL; define an Airflow connection with it, and give that one's id")
    return _match(_CONN_ID, text)


def _qualifier(text: str) -> str:
    return _match(_QUALIFIER, text)


def _match(pattern: str, text: str) -> str:
    if not re.fullmatch(pattern, text):
        _refuse("")
    return text


def _one_of(choices: Collection[str], text: str) -> str:
    if text not in choices:
        _refuse("")
    return text


def _time(value: object) -> object:
    """Read a time as JSON has it, a text; strict fields take none."""
    if not isinstance(value, str):
        return value
    if not re.fullmatch(_TIME, value):
        _refuse("")
    try:
        return datetime.fromisoformat(value)
    except ValueError as error:
        _refuse(str(error))


def _none_is_blank(value: object) -> object:
    return "" if value is None else value


def _job(text: str) -> str:
    if not text.isprintable() or not unicodedata.is_normalized("NFC", text):
        _refuse("it holds characters that cannot be told from others, or not be seen")
    return text


Text: TypeAlias = Annotated[str, AfterValidator(_clean)]
Bucket: TypeAlias = Annotated[Text, AfterValidator(_bucket)]
Prefix: TypeAlias = Annotated[Text, AfterValidator(_prefix), BeforeValidator(_none_is_blank)]
ErrorPattern: TypeAlias = Annotated[Text, AfterValidator(_error_pattern)]
KeyPattern: TypeAlias = Annotated[Text, AfterValidator(_key_pattern)]
Function: TypeAlias = Annotated[Text, AfterValidator(_function)]
Qualifier: TypeAlias = Annotated[Text, AfterValidator(_qualifier)]
Topic: TypeAlias = Annotated[Text, AfterValidator(_topic)]
ConnectionId: TypeAlias = Annotated[Text, AfterValidator(_conn_id)]
Event: TypeAlias = Annotated[
    str,
    AfterValidator(partial(_one_of, _EVENTS)),
    WithJsonSchema({"type": "string", "enum": list(_EVENTS)}),
]
AnswerContract: TypeAlias = Annotated[
    str,
    AfterValidator(partial(_one_of, _ANSWERS)),
    WithJsonSchema({"type": "string", "enum": list(_ANSWERS)}),
]
JobName: TypeAlias = Annotated[Text, AfterValidator(_job)]
Time: TypeAlias = Annotated[AwareDatetime, BeforeValidator(_time)]


def _field(section: str, title: str, description: str, **more: Any) -> Any:
    """Return a field with all that the form shows.

    :param description: Markdown without code: Airflow's form draws a box around that, which covers
        parts of the lines above and below
    :param allowed: what its value may be, as the end of a sentence; none: its type says it
    :param form: more for the form than the type says
    """
    extra = {"section": section, "allowed": more.pop("allowed", ""), "form": more.pop("form", {})}
    return Field(title=title, description=description, json_schema_extra=extra, **more)


class RunConfig(BaseModel):
    """The configuration of a run: each field is a param of the DAG, with all the form shows."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    bucket: Bucket = _field(
        SOURCE,
        "Bucket",
        "The S3 bucket whose objects are to be processed: its bare name.",
        allowed="the bare name of a bucket: 3 to 63 of a-z, 0-9, dot and hyphen",
        form={"minLength": 3, "maxLength": 63, "pattern": r"^[a-z0-9][a-z0-9.\-]+[a-z0-9]$"},
        examples=["my-photos"],
    )
    prefix: Prefix = _field(
        SOURCE,
        "Prefix",
        "Only objects whose key begins so. It stands for no folder: **in** is the beginning of"
        " **in/a** and of **index**. Empty: the whole bucket, which takes the next switch, too.",
        allowed="the beginning of keys, of up to 1,024 bytes",
        form={"type": ["null", "string"], "default": None, "maxLength": _LONGEST_KEY_BYTES},
        default="",
        examples=["incoming/2025/"],
    )
    whole_bucket: bool = _field(
        SOURCE,
        "The whole bucket",
        "Must be on when the prefix is empty: every object of the bucket is asked for.",
        default=False,
    )
    key_glob: Annotated[KeyPattern | None, BLANK] = _field(
        SOURCE,
        "Key pattern",
        "Only keys that match: * is anything, slashes too, ? is one character, [ab] one of"
        " these, | stands between two patterns. A pattern is for the whole key.",
        allowed="a shell pattern, or some with | between them, of up to 1,024 bytes",
        form={"maxLength": _LONGEST_KEY_BYTES},
        default=None,
        examples=["*.jpg", "*.jpg|*.png"],
    )
    min_size: int | None = _field(
        SOURCE,
        "Smallest size",
        "Only objects of at least so many bytes.",
        default=None,
        ge=0,
        le=_LARGEST_OBJECT,
        examples=[1],
    )
    max_size: int | None = _field(
        SOURCE,
        "Largest size",
        "Only objects of at most so many bytes.",
        default=None,
        ge=0,
        le=_LARGEST_OBJECT,
        examples=[10_000_000],
    )
    modified_after: Annotated[Time | None, BLANK] = _field(
        SOURCE,
        "Modified from",
        "Only objects last modified at this time or later.",
        default=None,
        examples=["2025-01-01T00:00:00Z"],
    )
    modified_before: Annotated[Time | None, BLANK] = _field(
        SOURCE,
        "Modified before",
        "Only objects last modified before this time: such as the moment the live trigger was"
        " attached.",
        default=None,
        examples=["2026-01-01T00:00:00Z"],
    )
    use_data_interval: bool = _field(
        SOURCE,
        "Use the data interval",
        "Only objects last modified within the DAG run's data interval: for schedules and"
        " Airflow's Backfill.",
        default=False,
    )
    list_versions: bool = _field(
        SOURCE,
        "With version ids",
        "List the version id of each object, as the live event of a versioned bucket carries it."
        " Reads noncurrent versions too, so it takes longer. Needs s3:ListBucketVersions.",
        default=False,
    )
    function: Function = _field(
        FUNCTION,
        "Function",
        "The Lambda function to call: its name or ARN, with or without a version or alias.",
        allowed="a function's name or ARN, such as resize-image, or with a version or alias"
        " resize-image:prod",
        form={"minLength": 1, "maxLength": 256, "pattern": r"^[a-zA-Z0-9:$._\-]+$"},
        examples=["resize-image"],
    )
    qualifier: Annotated[Qualifier | None, BLANK] = _field(
        FUNCTION,
        "Version or alias",
        "The run calls the version that this means when it is opened. Empty: **$LATEST**, whose"
        " code may change while the run goes on.",
        allowed="a version's number, an alias or $LATEST",
        form={"maxLength": 128, "pattern": r"^[a-zA-Z0-9$._\-]*$"},
        default=None,
        examples=["prod", "7"],
    )
    event: Event = _field(
        FUNCTION,
        "Event",
        "What the function receives: **auto** what its live trigger on the bucket sends, with that"
        f" trigger's filter and batch size; {_SHAPES_IN_WORDS}.",
        default=AUTO,
    )
    items_per_call: int | None = _field(
        FUNCTION,
        "Items per call",
        "How many objects one call carries at most. Empty: as many as the live trigger sends,"
        " which is 1 but for queues. Many functions read only the first record.",
        default=None,
        ge=1,
        le=MAX_ITEMS,
        examples=[1, 100],
    )
    answer: AnswerContract = _field(
        FUNCTION,
        "Answer",
        "How the function's answer is read: **return** whatever it returns is success,"
        " **batchItemFailures** it lists the items that failed, **s3-batch** it has a result for"
        " each task. **auto**: as Lambda reads it in live use, or as belongs to the event.",
        default="auto",
    )
    arguments: dict[str, JsonValue] | None = _field(
        FUNCTION,
        "Arguments",
        f"Constants for the function, a JSON object: in events {_EVENTS_WITH_ARGUMENTS}, which"
        " have a place for them.",
        allowed=f"a JSON object of up to {_LONGEST_ARGUMENTS:,} characters{_ARGUMENTS_ALLOWED}",
        default=None,
        examples=[{"width": "200"}],
    )
    preview: bool = _field(
        FUNCTION,
        "Preview",
        "Check everything, show in the log of open_run the payload of the first call, and call"
        " nothing.",
        default=False,
    )
    max_concurrency: int = _field(
        LIMITS,
        "Concurrent calls",
        "The most calls in flight at once, over the whole run.",
        default=50,
        ge=1,
        le=10_000,
        examples=[50],
    )
    max_calls_per_second: int | None = _field(
        LIMITS,
        "Calls per second",
        "The most calls to start in a second. Empty: no limit.",
        default=None,
        ge=1,
        le=100_000,
        examples=[100],
    )
    max_attempts: int = _field(
        LIMITS,
        "Attempts",
        "Failures of an object alone after which it is put in quarantine.",
        default=3,
        ge=1,
        le=100,
        examples=[3],
    )
    on_unknown: Literal["retry", "hold"] = _field(
        LIMITS,
        "Without an answer",
        "What becomes of an object when nobody can tell whether its call ran: **retry** calls it"
        " again after the function's timeout, **hold** puts it in quarantine for a person, so that"
        " it is called at most once.",
        default="retry",
    )
    reserve_percent: int | None = _field(
        LIMITS,
        "Reserve for live traffic",
        "Percent of the concurrent executions that are left to others: of the function's reserved"
        " concurrency, or of what the account has unreserved. Empty: this is not looked up.",
        default=None,
        ge=0,
        le=99,
        examples=[50],
    )
    max_calls: int | None = _field(
        LIMITS,
        "Calls in all",
        "The most calls of the whole run; then it stops, and what is left stays for another run."
        " Empty: no limit.",
        default=None,
        ge=1,
        le=1_000_000_000,
        examples=[10_000],
    )
    max_minutes: int | None = _field(
        LIMITS,
        "Minutes in all",
        "Minutes after its opening in which the run lists and calls: then it stops, and what is"
        " left stays for another run. Calls in flight are waited for."
        " Empty: no limit.",
        default=None,
        ge=1,
        le=100_000,
        examples=[480],
    )
    max_failure_percent: int = _field(
        LIMITS,
        "Failures that stop the run",
        "The run stops when more than this percent of the objects it has judged have failed alone."
        " 100: it never does.",
        default=50,
        ge=0,
        le=100,
        examples=[50],
    )
    min_items_judged: int = _field(
        LIMITS,
        "Objects judged before",
        "Objects that must have succeeded or failed before the run may stop for its failures.",
        default=1_000,
        ge=1,
        le=1_000_000_000,
        examples=[1_000],
    )
    max_items_per_set: int = _field(
        LIMITS,
        "Objects per DAG run",
        "The most new objects that one DAG run takes; a larger run goes on in further DAG runs.",
        default=1_000_000,
        ge=1,
        le=10_000_000,
        examples=[1_000_000],
    )
    max_partitions: int = _field(
        LIMITS,
        "Partitions",
        "The most parts that the keys are divided into; each is listed by a task of its own.",
        default=16,
        ge=1,
        le=200,
        examples=[16],
    )
    redrive: bool = _field(
        REDRIVE,
        "Redrive",
        "Call again what is in quarantine, instead of listing the bucket: of the job that the"
        " other fields name, all of it, or what prefix, key pattern and error type select.",
        default=False,
    )
    redrive_error: Annotated[ErrorPattern | None, BLANK] = _field(
        REDRIVE,
        "Error type",
        "Only what is in quarantine with this error type; * is anything, ? one character,"
        " [ab] one of these, | stands between two patterns.",
        allowed="a shell pattern, or some with | between them, of up to 200 characters",
        form={"maxLength": 200},
        default=None,
        examples=["Sandbox.Timedout", "Call.*"],
    )
    notify_sns_topic_arn: Annotated[Topic | None, BLANK] = _field(
        NOTIFICATION,
        "SNS topic",
        "Gets the report at the end: text for people, JSON for queues, functions and HTTP.",
        allowed="the ARN of a standard SNS topic",
        form={"maxLength": 400, "pattern": r"^[a-zA-Z0-9_.:\-]*$"},
        default=None,
        examples=["arn:aws:sns:us-east-1:123456789012:backfills"],
    )
    notify_conn_id: Annotated[ConnectionId | None, BLANK] = _field(
        NOTIFICATION,
        "Apprise connection",
        "An Airflow connection of type Apprise: mail, chat, webhook and many more.",
        allowed="the id of an Airflow connection",
        form={"maxLength": 200, "pattern": r"^[a-zA-Z0-9_.\-]*$"},
        default=None,
        examples=["apprise_default"],
    )
    job: Annotated[JobName | None, BLANK] = _field(
        JOB,
        "Job",
        "The name under which it is remembered what was processed. Empty: named from"
        " the source and the function.",
        allowed="up to 200 printable characters",
        default=None,
        max_length=200,
        examples=["thumbnails"],
    )
    aws_conn_id: ConnectionId = _field(
        JOB,
        "AWS connection",
        "The Airflow connection for S3, Lambda and SNS.",
        allowed="the id of an Airflow connection",
        form={"minLength": 1, "maxLength": 200, "pattern": r"^[a-zA-Z0-9_.\-]+$"},
        default="aws_default",
        examples=["aws_default"],
    )

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> Self:
        """Return the configuration that a DAG run's params ask for.

        :raises ConfigError: everything that is wrong with them, one sentence each
        """
        problems = cls.problems_of(params)
        if problems:
            raise ConfigError(*map(str, problems))
        return cls.model_validate(params)

    @classmethod
    def from_stored(cls, stored: Mapping[str, Any]) -> Self:
        """Return the configuration that a run was opened with, as the state has it."""
        return cls.model_validate(stored)

    @classmethod
    def problems_of(cls, params: Mapping[str, Any]) -> list[Problem]:
        """Return everything that is wrong with a DAG run's params."""
        return cls.salvage(params)[1]

    @classmethod
    def salvage(cls, params: Mapping[str, Any]) -> tuple[Self, list[Problem]]:
        """Return what is right with a DAG run's params, and everything that is wrong with them.

        A param that is wrong has its default; one without a default has a stand-in.
        """
        try:
            config = cls.model_validate(params)
        except ValidationError as error:
            mistakes = error.errors(include_url=False)
        else:
            return config, list(config._contradictions(set()))  # noqa: SLF001  its own
        unsound = {str(details["loc"][0]) for details in mistakes}
        problems = {_problem(details): None for details in mistakes}
        right = {name: value for name, value in params.items() if name not in unsound}
        stand_ins = {name: "stand-in" for name in ("bucket", "function") if name in unsound}
        config = cls.model_validate(right | stand_ins)
        return config, [*problems, *config._contradictions(unsound)]  # noqa: SLF001  its own

    @classmethod
    def form_fields(cls, defaults: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Return, for each field, what makes an Airflow ``Param`` of it, as plain values.

        :param defaults: values that replace the fields' own defaults
        """
        schema = _schema()
        return {
            name: _form_field(field, schema[name], defaults.get(name, PydanticUndefined))
            for name, field in cls.model_fields.items()
        }

    @property
    def function_name(self) -> str:
        """The function as asked for, without its qualifier: a name, a partial ARN or an ARN."""
        found = self._parsed_function()
        end = found.end("name")
        return self.function[:end].removeprefix("function:")

    @property
    def function_qualifier(self) -> str | None:
        """The version or alias asked for, in either field."""
        return self.qualifier or self._parsed_function()["qualifier"]

    @property
    def job_name(self) -> str:
        """The job's name: the one given, or one made from the source and the function."""
        return self.job or f"s3://{self.bucket}/{self.prefix} → {self._parsed_function()['name']}"

    def _parsed_function(self) -> re.Match[str]:
        found = re.fullmatch(_FUNCTION, self.function)
        if found is None:
            raise ValueError(self.function)
        return found

    def _contradictions(self, unsound: Collection[str]) -> Iterator[Problem]:
        """Find each two fields that cannot both be meant.

        :param unsound: fields whose value is not the one that was asked for
        """

        def sound(*names: str) -> bool:
            return not set(names) & set(unsound)

        # To redrive what a job has in quarantine, its name is enough.
        whole = self.whole_bucket or (self.redrive and self.job is not None)
        if sound("prefix", "whole_bucket", "redrive") and not self.prefix and not whole:
            yield Problem(
                "prefix",
                "it is empty, which means every object of the bucket; set whole_bucket to true if"
                " that is meant",
            )
        if sound("prefix", "whole_bucket") and self.prefix and self.whole_bucket:
            yield Problem(
                "whole_bucket",
                f"it is true, and prefix is {_quoted(self.prefix)}; give one of both",
            )
        if sound("min_size", "max_size") and _exceeds(self.min_size, self.max_size):
            yield Problem(
                "min_size",
                f"{self.min_size:,} bytes is more than max_size, {self.max_size:,} bytes",
            )
        after, before = self.modified_after, self.modified_before
        if sound("modified_after", "modified_before") and after and before and after >= before:
            yield Problem("modified_after", f"{after} is not before modified_before, {before}")
        if sound("redrive"):
            yield from self._redrive_contradictions(unsound)
        yield from self._contradictions_of_calls(sound)

    def _contradictions_of_calls(self, sound: Callable[..., bool]) -> Iterator[Problem]:
        if sound("function", "qualifier") and self.qualifier:
            twice = self._parsed_function()["qualifier"]
            if twice:
                yield Problem(
                    "qualifier",
                    f"{_quoted(self.qualifier)} is given, and function names {_quoted(twice)};"
                    " give one of both",
                )
        # What the live trigger sends is not known before it is looked up.
        shape = None if self.event == AUTO else SHAPES[self.event]
        if sound("event", "items_per_call") and (
            shape and shape.max_items == 1 and (self.items_per_call or 1) > 1
        ):
            yield Problem(
                "items_per_call",
                f"{self.items_per_call:,}; allowed is 1, as an event of shape {self.event} carries"
                " one item",
            )
        possible = [shape] if shape else BY_WAY.values()
        if (
            sound("event", "answer")
            and self.answer != AUTO
            and not any(self.answer in one.answers for one in possible)
        ):
            tasks = [one for one in OFFERED.values() if self.answer in one.answers]
            yield Problem(
                "answer",
                f"{self.answer!r} names the tasks of the events {names_in_words(tasks)}, and event"
                f" is {self.event!r}",
            )
        if sound("event", "arguments") and self.arguments:
            yield from self._problems_of_arguments(shape, self.arguments)

    def _problems_of_arguments(
        self, shape: EventShape | None, arguments: Mapping[str, JsonValue]
    ) -> Iterator[Problem]:
        if shape and not shape.takes_arguments:
            yield Problem(
                "arguments",
                f"an event of shape {shape.name} has no place for them; allowed with"
                f" {names_in_words(with_arguments())}",
            )
        length = len(json.dumps(arguments))
        if length > _LONGEST_ARGUMENTS:
            yield Problem(
                "arguments", f"{length:,} characters of JSON; allowed are {_LONGEST_ARGUMENTS:,}"
            )

    def _redrive_contradictions(self, unsound: Collection[str]) -> Iterator[Problem]:
        if not self.redrive:
            if self.redrive_error is not None and "redrive_error" not in unsound:
                yield Problem(
                    "redrive_error",
                    f"{_quoted(self.redrive_error)}; allowed only with redrive, which is false",
                )
            return
        for name in _NOT_IN_QUARANTINE:
            value = getattr(self, name)
            if name not in unsound and value is not None and value is not False:
                yield Problem(
                    name,
                    f"{_quoted(value)}; not allowed with redrive, which selects by"
                    " prefix, key_glob and redrive_error",
                )


@cache
def _schema() -> dict[str, Any]:
    properties: dict[str, Any] = RunConfig.model_json_schema()["properties"]
    return properties


def _exceeds(low: int | None, high: int | None) -> bool:
    return low is not None and high is not None and low > high


def _problem(details: ErrorDetails) -> Problem:
    """Say what is wrong with one field: its name, its value and what is allowed."""
    name = _quoted(str(details["loc"][0]))[1:-1]
    field = RunConfig.model_fields.get(name)
    if field is None:
        close = difflib.get_close_matches(name, RunConfig.model_fields, n=1)
        hint = f"did you mean {close[0]}?" if close else "see the trigger form for all there are"
        return Problem(name, f"there is no such param; {hint}")
    allowed = f"allowed is {_allowed(name, field)}"
    if details["type"] == "missing" or (field.is_required() and details["input"] in (None, "")):
        return Problem(name, f"it is missing; {allowed}")
    why = details["msg"] if details["type"] == "retrofill" else ""
    return Problem(name, "; ".join(filter(None, (_quoted(details["input"]), why, allowed))))


def _allowed(name: str, field: FieldInfo) -> str:
    """Return what a field's value may be, as the end of a sentence."""
    form = _form_field(field, _schema()[name], None)
    if "enum" in form:
        return f"one of {', '.join(map(repr, form['enum']))}"
    if "integer" in form["type"]:
        return f"a whole number from {form['minimum']:,} to {form['maximum']:,}"
    if "boolean" in form["type"]:
        return "true or false"
    if form.get("format") == "date-time":
        return "a date and time with its zone, such as 2026-01-01T00:00:00Z"
    return _extra(field)["allowed"]  # type: ignore[no-any-return]


def _extra(field: FieldInfo) -> dict[str, Any]:
    extra = field.json_schema_extra
    return extra if isinstance(extra, dict) else {}


def _form_field(field: FieldInfo, schema: dict[str, Any], default: Any) -> dict[str, Any]:
    """Translate one field: Airflow's form understands pydantic's JSON schema, but not nested."""
    options = schema.get("anyOf", [schema])
    merged: dict[str, Any] = {}
    for option in options:
        merged |= option
    types = [option["type"] for option in options]
    form = {
        # The form of a param that must be filled in begins empty: Airflow marks it with a star.
        "default": None if field.is_required() else field.default,
        "type": ["null", types[0]] if len(types) > 1 else types[0],
        "title": field.title,
        "description_md": field.description,
        "section": schema["section"],
    }
    names = ("minimum", "maximum", "enum", "format", "minLength", "maxLength")
    form |= {name: merged[name] for name in names if name in merged} | schema["form"]
    if default is not PydanticUndefined:
        form["default"] = default.isoformat() if isinstance(default, datetime) else default
    if field.examples and "enum" not in form:
        form["examples"] = field.examples
    return form
