"""What a person can ask for: the params of the DAG, their limits, and what is wrong with them."""

import difflib
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticUndefined

from include.retrofill.model.errors import ConfigError

SOURCE = "Data source"
FUNCTION = "Function"
LIMITS = "Limits"
NOTIFICATION = "Notification"
JOB = "Job and connections"

_QUOTED_CHARS = 60
_ONE_ITEM_EVENTS = frozenset({"eventbridge", "s3-batch-1.0", "s3-batch-2.0"})

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_BUCKET = r"[a-z0-9][a-z0-9.\-]{1,61}[a-z0-9]"
# https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html, FunctionName and Qualifier
_QUALIFIER = r"\$LATEST|[a-zA-Z0-9\-_]{1,128}"
_FUNCTION = (
    r"(arn:(?P<partition>aws[a-z\-]*):lambda:(?P<region>[a-z0-9\-]+):)?"
    r"((?P<account>\d{12}):)?(function:)?(?P<name>[a-zA-Z0-9\-_]{1,64})"
    rf"(:(?P<qualifier>{_QUALIFIER}))?"
)
_TOPIC = r"arn:aws[a-z\-]*:sns:[a-z0-9\-]+:\d{12}:[a-zA-Z0-9\-_]{1,256}(\.fifo)?"
_CONN_ID = r"[\w.\-]{1,250}"


def _clean(text: str) -> str:
    if text != text.strip():
        raise ValueError("it begins or ends with white space")
    return _printable(text)


def _printable(text: str) -> str:
    for character in text:
        if ord(character) < ord(" ") or character == "\x7f" or "\ud800" <= character <= "\udfff":
            raise ValueError(f"it holds the control character {character!r}")
    return text


def _matching(pattern: str, allowed: str) -> AfterValidator:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"allowed is {allowed}")
        return text

    return AfterValidator(check)


Text: TypeAlias = Annotated[str, AfterValidator(_clean)]


def _field(section: str, title: str, description: str, **more: Any) -> Any:
    examples = more.pop("examples", None)
    return Field(
        title=title,
        description=description,
        examples=examples,
        json_schema_extra={"section": section},
        **more,
    )


class RunConfig(BaseModel):
    """The configuration of a run: each field is a param of the DAG, with all the form shows."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    bucket: Annotated[
        Text, _matching(_BUCKET, "the bare name of a bucket: 3 to 63 of a-z, 0-9, dot and hyphen")
    ] = _field(
        SOURCE,
        "Bucket",
        "The S3 bucket whose objects are to be processed: its bare name.",
        examples=["my-photos"],
    )
    prefix: Annotated[str, AfterValidator(_printable)] = _field(
        SOURCE,
        "Prefix",
        "Only objects whose key begins so. Leave it empty for the whole bucket.",
        default="",
        max_length=1024,
        examples=["incoming/2025/"],
    )
    whole_bucket: bool = _field(
        SOURCE,
        "The whole bucket",
        "Must be on when the prefix is empty: every object is called.",
        default=False,
    )
    key_glob: Annotated[str, AfterValidator(_printable)] | None = _field(
        SOURCE,
        "Key pattern",
        "Only keys that match this shell pattern: `*` is anything, `?` one character, `[ab]` one"
        " of these. The pattern is for the whole key.",
        default=None,
        min_length=1,
        max_length=1024,
        examples=["*.jpg"],
    )
    min_size: int | None = _field(
        SOURCE,
        "Smallest size",
        "Only objects of at least so many bytes.",
        default=None,
        ge=0,
        examples=[1],
    )
    max_size: int | None = _field(
        SOURCE,
        "Largest size",
        "Only objects of at most so many bytes.",
        default=None,
        ge=0,
        examples=[10_000_000],
    )
    modified_after: AwareDatetime | None = _field(
        SOURCE,
        "Modified from",
        "Only objects last modified at this time or later.",
        default=None,
        examples=["2025-01-01T00:00:00Z"],
    )
    modified_before: AwareDatetime | None = _field(
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
    function: Annotated[
        Text,
        _matching(
            _FUNCTION,
            "a function's name or ARN, such as resize-image, or with a qualifier resize-image:prod",
        ),
    ] = _field(
        FUNCTION,
        "Function",
        "The Lambda function to call: name, partial ARN or ARN.",
        max_length=170,
        examples=["resize-image"],
    )
    qualifier: Annotated[Text, _matching(_QUALIFIER, "a version's number or an alias")] | None = (
        _field(
            FUNCTION,
            "Version or alias",
            "The run calls the version that this means when it is opened. Empty: `$LATEST`.",
            default=None,
            examples=["prod", "7"],
        )
    )
    event: Literal["s3", "eventbridge", "s3-batch-1.0", "s3-batch-2.0", "items"] = _field(
        FUNCTION,
        "Event",
        "What the function receives: `s3` the S3 notification of a live trigger, `eventbridge`"
        " Object Created, `s3-batch-…` the request of S3 Batch Operations, `items` a plain list.",
        default="s3",
    )
    items_per_call: int = _field(
        FUNCTION,
        "Items per call",
        "How many objects one call carries at most. A live S3 trigger sends 1, and many functions"
        " read only the first record.",
        default=1,
        ge=1,
        le=10_000,
        examples=[1, 100],
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
        "The most parts that the bucket is divided into for listing.",
        default=16,
        ge=1,
        le=200,
        examples=[16],
    )
    notify_sns_topic_arn: Annotated[Text, _matching(_TOPIC, "the ARN of an SNS topic")] | None = (
        _field(
            NOTIFICATION,
            "SNS topic",
            "Gets the report at the end: text for people, JSON for queues, functions and HTTP.",
            default=None,
            examples=["arn:aws:sns:us-east-1:123456789012:backfills"],
        )
    )
    notify_conn_id: Annotated[Text, _matching(_CONN_ID, "an Airflow connection id")] | None = (
        _field(
            NOTIFICATION,
            "Apprise connection",
            "An Airflow connection of type Apprise: mail, chat, webhook and many more.",
            default=None,
            examples=["apprise_default"],
        )
    )
    job: Text | None = _field(
        JOB,
        "Job",
        "The name under which it is remembered what was processed. Empty: named from"
        " the source and the function.",
        default=None,
        min_length=1,
        max_length=200,
        examples=["thumbnails"],
    )
    aws_conn_id: Annotated[Text, _matching(_CONN_ID, "an Airflow connection id")] = _field(
        JOB,
        "AWS connection",
        "The Airflow connection for S3, Lambda and SNS.",
        default="aws_default",
        examples=["aws_default"],
    )

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> Self:
        """Return the configuration that a DAG run's params ask for.

        :raises ConfigError: everything that is wrong with them, one sentence each
        """
        try:
            config = cls.model_validate(_with_times(params))
        except ValidationError as error:
            problems = [_sentence(details) for details in error.errors(include_url=False)]
            raise ConfigError(*problems) from None
        problems = config.contradictions()
        if problems:
            raise ConfigError(*problems)
        return config

    @classmethod
    def form_fields(cls, defaults: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Return, for each field, what makes an Airflow ``Param`` of it.

        :param defaults: values that replace the fields' own defaults
        """
        schema = cls.model_json_schema()["properties"]
        return {
            name: _form_field(field, schema[name], defaults.get(name, PydanticUndefined))
            for name, field in cls.model_fields.items()
        }

    @property
    def function_name(self) -> str:
        """The function as asked for, without its qualifier."""
        _, qualifier = self._parsed_function()
        return self.function.removesuffix(f":{qualifier}") if qualifier else self.function

    @property
    def function_qualifier(self) -> str | None:
        """The version or alias asked for, in either field."""
        return self.qualifier or self._parsed_function()[1]

    @property
    def job_name(self) -> str:
        """The job's name: the one given, or one made from the source and the function."""
        return self.job or f"s3://{self.bucket}/{self.prefix} → {self._parsed_function()[0]}"

    def _parsed_function(self) -> tuple[str, str | None]:
        match = re.fullmatch(_FUNCTION, self.function)
        if match is None:
            raise ValueError(self.function)
        return match["name"], match["qualifier"]

    def contradictions(self) -> list[str]:
        """Return a sentence for each two fields that cannot both be meant."""
        problems = []
        if not self.prefix and not self.whole_bucket:
            problems.append(
                "prefix: it is empty, which means every object of the bucket; set whole_bucket to"
                " true if that is meant"
            )
        if self.prefix and self.whole_bucket:
            problems.append(
                f"whole_bucket: it is true, and prefix is {_quoted(self.prefix)}; give one of both"
            )
        if self.min_size and self.max_size is not None and self.min_size > self.max_size:
            problems.append(f"min_size: {self.min_size} is more than max_size, {self.max_size}")
        after, before = self.modified_after, self.modified_before
        if after and before and after >= before:
            problems.append(f"modified_after: {after} is not before modified_before, {before}")
        if self.qualifier and self._parsed_function()[1]:
            problems.append(
                f"qualifier: {_quoted(self.qualifier)} is given, and function names one too:"
                f" {_quoted(self.function)}; give one of both"
            )
        if self.event in _ONE_ITEM_EVENTS and self.items_per_call > 1:
            problems.append(
                f"items_per_call: {self.items_per_call}; an event of shape {self.event} carries 1"
            )
        return problems


def _with_times(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the params with times for texts: JSON has none, and strict fields take no text."""
    parsed = dict(params)
    for name in ("modified_after", "modified_before"):
        value = parsed.get(name)
        if isinstance(value, str):
            try:
                parsed[name] = datetime.fromisoformat(value)
            except ValueError:
                continue
    return parsed


def _sentence(details: ErrorDetails) -> str:
    """Say what is wrong with one field: its name, its value and what is allowed."""
    name = str(details["loc"][0])
    if details["type"] == "extra_forbidden":
        close = difflib.get_close_matches(name, RunConfig.model_fields, n=1)
        hint = f"did you mean {close[0]}?" if close else "see the README for all params"
        return f"{_quoted(name)[1:-1]}: there is no such param; {hint}"
    if details["type"] == "missing":
        return f"{name}: it is missing; {RunConfig.model_fields[name].description}"
    message = details["msg"].removeprefix("Value error, ")
    if details["type"] == "timezone_aware":
        message = "allowed is a time with its zone, such as 2026-01-01T00:00:00Z"
    elif details["type"] == "datetime_type":
        message = "allowed is a time, such as 2026-01-01T00:00:00Z"
    else:
        message = message.replace("Input should be", "allowed is")
    return f"{name}: {_quoted(details['input'])}; {message}"


def _quoted(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _QUOTED_CHARS else f"{text[: _QUOTED_CHARS - 1]}…"


def _form_field(field: FieldInfo, schema: dict[str, Any], default: Any) -> dict[str, Any]:
    """Translate one field: Airflow's form understands pydantic's JSON schema, but not nested."""
    options = schema.get("anyOf", [schema])
    merged: dict[str, Any] = {}
    for option in options:
        merged |= option
    types = [option["type"] for option in options]
    if default is PydanticUndefined:
        default = None if field.is_required() else field.default
    # The form of a param that must be filled in begins empty: Airflow marks it with a star.
    form = {
        "default": default.isoformat() if isinstance(default, datetime) else default,
        "type": ["null", types[0]] if len(types) > 1 else types[0],
        "title": field.title,
        "description_md": field.description,
        "section": schema["section"],
    }
    names = ("minimum", "maximum", "enum", "format", "minLength", "maxLength", "pattern")
    form |= {name: merged[name] for name in names if name in merged}
    if field.examples and "enum" not in form:
        form["examples"] = field.examples
    return form
