"""The configuration: what is allowed, and how anything else is refused."""

import json
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from retrofill.config import RunConfig, params_for
from retrofill.events import AUTO, SHAPES
from retrofill.model.errors import ConfigError
from retrofill.model.runs import Window
from retrofill.params.maintenance import ForgetParams, MaintenanceParams
from retrofill.sources import Interval

_GOOD = {"bucket": "my-photos", "prefix": "in/", "function": "resize"}
_ARN = "arn:aws:lambda:us-east-1:123456789012:function:resize"


def _config(**params: Any) -> RunConfig:
    return params_for("s3").config({**_GOOD, **params})


def _problems(**params: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        _config(**params)
    return list(caught.value.problems)


def test_three_params_are_enough():
    config = _config()
    assert (config.calls.event, config.calls.items_per_call) == ("auto", None)
    assert config.job_name == "s3://my-photos/in/ → resize"


@pytest.mark.parametrize("blank", [None, ""])
def test_empty_form_fields_are_not_given(blank: str | None):
    nullable = [
        name
        for name, field in params_for("s3").form_fields({}).items()
        if "null" in field["type"] and name != "function"  # required by its kind, unknown to others
    ]
    texts = [
        name for name in nullable if "string" in params_for("s3").form_fields({})[name]["type"]
    ]
    names = texts if blank == "" else nullable
    config = _config(**{**dict.fromkeys(names, blank), "whole_bucket": True})
    assert config == _config(prefix="", whole_bucket=True)


@pytest.mark.parametrize("name", ["bucket", "function"])
@pytest.mark.parametrize("value", [None, ""])
def test_required_params_are_reported_as_missing(name: str, value: str | None):
    [problem] = _problems(**{name: value})
    assert problem.startswith(f"{name}: it is missing; give ")


def test_all_problems_are_reported_at_once():
    problems = _problems(
        bucket="My Photos",
        whole_bucket=True,
        max_concurrency=0,
        min_size=2,
        max_size=1,
        modified_after="2026-01-02T00:00:00Z",
        modified_before="2026-01-01T00:00:00Z",
        prefx="in/",
    )
    assert sorted(problem.partition(":")[0] for problem in problems) == [
        "bucket", "max_concurrency", "min_size", "modified_after", "prefx", "whole_bucket",
    ]  # fmt: skip


def test_a_bad_value_is_reported_once():
    [problem] = _problems(prefix="in/\n")
    assert problem.startswith(
        "prefix: 'in/\\n' is not allowed: it contains the control character '\\n'; give"
    )


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("batchsize", "see the trigger form"),
        ("item_per_call", "did you mean items_per_call?"),
        ("Bucket", "did you mean bucket?"),
        ("x" * 1_000_000, "there is no such param"),
    ],
)
def test_an_unknown_param(name: str, hint: str):
    [problem] = _problems(**{name: 1})
    assert hint in problem
    assert len(problem) < 200


@pytest.mark.parametrize(
    "value", ["5", 5.0, True, 0, -1, 10_001, 10**30, 1e308, float("nan"), [5], {}, "", None]
)
def test_a_number_is_a_whole_number_within_its_limits(value: object):
    [problem] = _problems(max_concurrency=value)
    assert problem.startswith("max_concurrency: ")
    assert problem.endswith("; give a whole number from 1 to 10,000")


@pytest.mark.parametrize("value", [1, 0, "true", "", None, []])
def test_a_switch_is_true_or_false(value: object):
    [problem] = _problems(list_versions=value)
    assert problem.endswith("; give true or false")


_TEXTS = [
    "bucket", "prefix", "key_glob", "function", "qualifier", "notify_sns_topic_arn",
    "notify_conn_id", "job", "aws_conn_id",
]  # fmt: skip


@pytest.mark.parametrize("name", _TEXTS)
@pytest.mark.parametrize(
    "value",
    ["a-good-one\n", "a\0b", "a\tb", " a-good-one", "a-good-one ", "a\x7fb", "\ud800", "a" * 10**7],
)
def test_no_text_with_invisible_or_endless_characters(name: str, value: str):
    [problem] = _problems(**{name: value})
    assert problem.startswith(f"{name}: ")
    assert len(problem) < 300


@pytest.mark.parametrize("name", _TEXTS)
@pytest.mark.parametrize("value", [5, True, ["a"], {"a": 1}])
def test_only_text_is_taken_for_a_text(name: str, value: object):
    [problem] = _problems(**{name: value})
    assert problem.startswith(f"{name}: {value!r} is not allowed; give ")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("bucket", "s3://my-photos/out/", "an address whose prefix is not that of this run"),
        ("bucket", "s3://My!Photos/in/", "'My!Photos' is not allowed; give the bare name"),
        ("bucket", "arn:aws:s3:::my-photos", "more than the name"),
        ("bucket", "my-photos/in", "what follows the bucket's name goes into prefix"),
        ("bucket", "My Photos", "'My Photos' is not allowed; give the bare name"),
        ("bucket", "ab", "give the bare name"),
        ("bucket", "m" * 256, "give the bare name"),
        ("bucket", "photos--usw2-az1--x-s3", "a directory bucket"),
        ("bucket", "mine-abc123-s3alias", "the alias of an access point"),
        ("prefix", "s3://my-photos/in/", "goes into bucket"),
        ("prefix", "é" * 513, "more than the 1,024 bytes"),
        ("key_glob", "*.jpg|", "one of its patterns is empty"),
        ("function", "https://abc.lambda-url.us-east-1.on.aws/", "it is a URL"),
        ("function", "arn:aws:lambda:us-east-1:123456789012:layer:l:1", "but of lambda layer"),
        ("function", "arn:aws:iam::123456789012:role/r", "but of iam role/r"),
        ("function", "arn:aws:lambda:us-east-1:1234:function:f", "it is not the ARN of a function"),
        ("function", "re size", "give a function's name or ARN"),
        ("function", "resize:a:b", "give a function's name or ARN"),
        ("function", "f" * 65, "give a function's name or ARN"),
        ("qualifier", "a b", "give a version's number, an alias or $LATEST"),
        ("event", "sqs", "give one of 'auto', 's3'"),
        ("notify_sns_topic_arn", "backfills", "give the ARN of a standard SNS topic"),
        ("notify_sns_topic_arn", "arn:aws:sns:us-east-1:123456789012:t.fifo", "a FIFO topic"),
        ("notify_sns_topic_arn", "arn:aws:sns:us-east-1:123456789012:t:0af3", "standard SNS"),
        ("notify_conn_id", "https://user:secret@169.254.169.254/", "it is a URL"),
        ("aws_conn_id", "{{ conn }}", "give the id of an Airflow connection"),
        ("job", "a\u202eb", "invisible characters"),
        ("job", "e\u0301", "invisible characters"),
        ("job", "j" * 201, "give up to 200 printable characters"),
    ],
)
def test_each_bad_value_has_its_explanation(name: str, value: str, says: str):
    [problem] = _problems(**{name: value})
    assert problem.startswith(f"{name}: ")
    assert says in problem


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05.678+00:00", datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)),
        ("2026-01-02 05:04+02:00", datetime(2026, 1, 2, 3, 4, tzinfo=UTC)),
    ],
)
def test_times(value: str, moment: datetime):
    assert _config(modified_after=value).source.modified_after == moment


@pytest.mark.parametrize(
    "value",
    [
        "2026-01-02",
        "2026-01-02T03:04:05",
        "20260102T030405Z",
        "2026-02-30T00:00:00Z",
        "now",
        0,
        1.5,
    ],
)
def test_a_time_has_a_zone_and_is_written_in_full(value: object):
    [problem] = _problems(modified_after=value)
    assert "give a date and time with its zone" in problem


@pytest.mark.parametrize(
    ("function", "name", "qualifier"),
    [
        ("resize", "resize", None),
        ("resize:prod", "resize", "prod"),
        ("resize:7", "resize", "7"),
        ("resize:$LATEST", "resize", "$LATEST"),
        ("resize:$LATEST.PUBLISHED", "resize", "$LATEST.PUBLISHED"),
        ("function:resize", "resize", None),
        ("123456789012:function:resize", "123456789012:function:resize", None),
        ("123456789012:function:resize:prod", "123456789012:function:resize", "prod"),
        (_ARN, _ARN, None),
        (f"{_ARN}:prod", _ARN, "prod"),
        (f"{_ARN}:$LATEST", _ARN, "$LATEST"),
        (_ARN.replace("aws", "aws-us-gov", 1), _ARN.replace("aws", "aws-us-gov", 1), None),
    ],
)
def test_the_forms_of_a_function(function: str, name: str, qualifier: str | None):
    config = _config(function=function)
    assert (config.function.name, config.function.asked_qualifier) == (name, qualifier)
    assert config.job_name == "s3://my-photos/in/ → resize"


def test_a_qualifier_of_its_own():
    assert _config(qualifier="prod").function.asked_qualifier == "prod"


def test_two_qualifiers_are_refused_even_if_they_are_the_same():
    [problem] = _problems(function="resize:prod", qualifier="prod")
    assert problem.startswith("qualifier: 'prod' is given, but function names 'prod'")


@pytest.mark.parametrize("event", ["eventbridge", "s3-batch-1.0", "s3-batch-2.0"])
def test_an_event_of_one_item_carries_one_item_per_call(event: str):
    [problem] = _problems(event=event, items_per_call=2)
    assert problem.startswith("items_per_call: 2 is not allowed; give 1")
    assert _config(event=event, items_per_call=1).calls.items_per_call == 1


def test_every_event_offered_can_be_built():
    assert set(params_for("s3").form_fields({})["event"]["enum"]) <= {AUTO, *SHAPES}


@pytest.mark.parametrize("bucket", ["My_Photos", "my..photos", "m" * 255, "123"])
def test_a_bucket_may_have_a_name_from_before_2018(bucket: str):
    assert _config(bucket=bucket).source.label() == f"s3://{bucket}/in/"


def test_keys_may_begin_with_a_slash():
    assert _config(prefix="/in/").source.label() == "s3://my-photos//in/"


def test_the_whole_bucket_needs_an_explicit_yes():
    [problem] = _problems(prefix="")
    assert problem.startswith("prefix: it is empty, which means every object")
    [problem] = _problems(whole_bucket=True)
    assert problem.startswith("whole_bucket: it is true, but prefix is 'in/'")
    assert _config(prefix="", whole_bucket=True).source.prefix == ""


def test_a_range_may_hold_one_size_but_not_one_time():
    assert _config(min_size=5, max_size=5)
    [problem] = _problems(
        modified_after="2026-01-01T00:00:00Z", modified_before="2026-01-01T01:00:00+01:00"
    )
    assert "is not before modified_before" in problem


def test_every_field_has_all_that_the_form_shows():
    for name, field in params_for("s3").form_fields({}).items():
        assert field["title"], name
        assert field["description_md"].endswith("."), name
        assert field["section"] in {
            "Data source", "Function", "Function: Lambda", "Function: HTTP", "Limits", "Redrive",
            "Notification", "Report files", "Job and connections", "Prices", "Canary", "Approval",
        }  # fmt: skip
        assert "default" in field, name
        assert field.get("examples") or "enum" in field or field["type"] == "boolean", name
        if "integer" in field["type"] or "number" in field["type"]:
            assert {"minimum", "maximum"} <= field.keys(), name
        json.dumps(field)


def _of_kind(kind: dict[str, Any], **params: Any) -> RunConfig:
    return _config(**{**kind, **params, **({"function": None} if kind else {})})


def test_an_event_that_the_kind_of_function_cannot_receive_is_refused():
    [problem] = _problems(event="cloudevents")
    assert problem.startswith("event: 'cloudevents' cannot be sent to a Lambda function; with")
    with pytest.raises(ConfigError, match=r"event: 's3' cannot be sent .* items, cloudevents,"):
        _of_kind({"function_kind": "http", "http_conn_id": "f"}, event="s3")


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"http_headers": {"a b": "c"}}, "is not the name of a header"),
        ({"http_headers": {"Content-Length": "3"}}, "Retrofill sets Content-Length itself"),
        ({"http_headers": {"A": "b\r\nC: d"}}, "the value of A is not a text of ASCII in one"),
        ({"http_query": {"a": 1}}, "the value of 'a' is not a text"),
        ({"http_path": "https://h/p"}, "it names a host"),
        ({"http_path": "/p?a=b"}, "it has a query or a fragment"),
        ({"http_method": "GET"}, "give one of 'POST', 'PUT', 'PATCH'"),
        ({"http_timeout_s": 0}, "give a whole number from 1 to 3,600"),
        ({"http_conn_id": "https://h"}, "it is a URL; define an Airflow connection"),
    ],
)
def test_events_that_cannot_be_sent_over_http_are_refused(params: dict[str, Any], says: str):
    [name] = params
    with pytest.raises(ConfigError) as caught:
        _of_kind({"function_kind": "http", "http_conn_id": "f"}, **params)
    assert str(caught.value).startswith(f"{name}: ")
    assert says in str(caught.value)


@pytest.mark.parametrize("params", [{"http_conn_id": "f"}, {"function": "f"}, {}])
def test_params_of_an_unknown_kind_of_function_are_not_checked(params: dict[str, Any]):
    given = {"files": "/data/a.csv", "function_kind": "htttp", **params}
    [problem] = params_for("rows").problems(given)
    assert str(problem) == "function_kind: 'htttp' is not allowed; give one of 'aws_lambda', 'http'"


def test_a_param_of_another_kind_of_function_is_reported_with_that_kind():
    [problem] = _problems(http_conn_id="f", http_headers={})
    assert problem == (
        "http_conn_id: 'f' is not allowed with function_kind 'aws_lambda', which has no such param;"
        " it belongs to 'http'"
    )


@pytest.mark.parametrize(("source", "name"), [("rows", "files"), ("manifest", "manifest")])
def test_a_path_of_report_files_fits_in_a_key(source: str, name: str):
    given = {"bucket": "my-photos"} if source == "manifest" else {}
    problems = params_for(source).problems({**given, "function": "f", name: "/" + "猫" * 342})
    [problem] = problems
    assert problem.name == name
    assert "more than the 1,024 bytes" in problem.text


def test_a_redrive_of_a_manifest_takes_no_status():
    given = {"bucket": "my-photos", "manifest": "s3://lists/m.csv", "function": "f"}
    asked = {**given, "redrive": "quarantine", "task_status": "failed"}
    [problem] = params_for("manifest").problems(asked)
    assert str(problem).startswith("task_status: 'failed' is not allowed with redrive")


def _redrives(name: str) -> str:
    return "quarantine" if name.startswith("redrive_") else "none"


@pytest.mark.parametrize("name", params_for("s3").form_fields({}))
def test_defaults_and_examples_are_allowed(name: str):
    field = params_for("s3").form_fields({})[name]
    values = list(field.get("examples", []))
    if name not in {"bucket", "function", "prefix", "http_conn_id"}:
        values.append(field["default"])
    # An HTTP function has its own params.
    kind = {"function_kind": "http", "http_conn_id": "f"} if name.startswith("http_") else {}
    for value in values:
        asked = {} if value is None else {name: value}
        config = _of_kind(kind if asked else {}, **{"redrive": _redrives(name), **asked})
        if value is not None and not name.startswith("modified"):
            assert config.as_json()[name] == value
        schema = {key: field[key] for key in field.keys() - {"default", "examples", "section"}}
        jsonschema.validate(value, schema)


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"redrive_error": "X*"}, ["redrive_error: 'X*' is allowed only with redrive"]),
        (
            {"redrive": "quarantine", "redrive_error": "X||Y"},
            ["redrive_error: 'X||Y' is not allowed: one of its"],
        ),
        (
            {"redrive": "quarantine", "min_size": 0, "use_data_interval": True},
            ["min_size: 0 is not allowed with redrive", "use_data_interval: True is not allowed"],
        ),
        ({"redrive": "quarantine", "prefix": ""}, ["prefix: it is empty"]),
        ({"redrive": "quarantine", "prefix": "", "job": "mine"}, []),
        (
            {"redrive": True},
            ["redrive: True is not allowed; give one of 'none', 'quarantine', 'successes'"],
        ),
        (
            {"redrive_unsure": "only", "redrive_note": "why"},
            [
                "redrive_unsure: 'only' is allowed only with",
                "redrive_note: 'why' is allowed only with",
            ],
        ),
        ({"redrive": "successes"}, ["redrive: 'successes' needs redrive_key, redrive_version"]),
        ({"redrive": "successes", "redrive_key": "*", "min_size": 1}, []),
        (
            {"redrive": "successes", "redrive_version": "7", "redrive_error": "X"},
            ["redrive_error: 'X' is allowed only with redrive 'quarantine'"],
        ),
        (
            {"redrive": "successes", "redrive_key": "*", "prefix": "", "job": "mine"},
            ["prefix: it is empty"],
        ),
        (
            {
                "redrive": "quarantine",
                "redrive_after": "2026-01-02T00:00:00Z",
                "redrive_before": "2026-01-01T00:00:00Z",
            },
            ["redrive_after: 2026-01-02 00:00:00+00:00 is not before redrive_before"],
        ),
        (
            {"reserve_percent": 100},
            ["reserve_percent: 100 is not allowed; give a whole number from 0 to 99"],
        ),
        (
            {"on_unknown": "drop"},
            ["on_unknown: 'drop' is not allowed; give one of 'retry', 'hold'"],
        ),
    ],
)
def test_the_values_of_redrive_and_limits_are_checked(params: dict[str, Any], says: list[str]):
    problems = [str(problem) for problem in params_for("s3").problems({**_GOOD, **params})]
    assert len(problems) == len(says)
    for problem, begins in zip(problems, says, strict=True):
        assert problem.startswith(begins)


@pytest.mark.parametrize(
    ("params", "after"),
    [
        ({}, datetime(2026, 1, 1, tzinfo=UTC)),
        ({"reach_back_hours": 0}, datetime(2026, 1, 2, tzinfo=UTC)),
        ({"reach_back_hours": 48}, datetime(2025, 12, 31, tzinfo=UTC)),
        ({"modified_after": "2026-01-01T12:00:00Z"}, datetime(2026, 1, 1, 12, tzinfo=UTC)),
    ],
)
def test_a_window_reaches_back_one_day_by_default(params: dict[str, Any], after: datetime):
    start, end = datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 3, tzinfo=UTC)
    window = _config(use_data_interval=True, **params).source.window(Interval(start, end))
    assert window == Window(after=after, before=end, start=start)
    assert _config().source.window(Interval(start, end)) == Window(after=None, before=None)


def test_defaults_may_be_replaced():
    form = params_for("s3").form_fields(
        {"bucket": "b-b", "max_size": 7, "modified_after": datetime(2026, 1, 1, tzinfo=UTC)}
    )
    assert form["bucket"]["default"] == "b-b"
    assert form["max_size"]["default"] == 7
    assert form["modified_after"]["default"] == "2026-01-01T00:00:00+00:00"
    assert form["max_partitions"]["default"] == 16


def test_it_is_immutable_and_survives_json():
    config = _config(modified_after="2026-01-02T03:04:05Z", max_size=5, job="thumbs")
    with pytest.raises(ValueError, match="frozen"):
        config.source.bucket = "other"
    assert RunConfig.from_stored(json.loads(json.dumps(config.as_json()))) == config


def test_a_run_opened_by_another_version_can_be_read() -> None:
    """Older code ignores params that it does not know; newer code adds its defaults."""
    config = _config(job="thumbs")
    stored = config.as_json()
    assert RunConfig.from_stored(stored | {"of_newer_code": 1}) == config
    del stored["max_cost"]
    assert RunConfig.from_stored(stored) == config


def test_form_descriptions_contain_no_code_boxes() -> None:
    for fields in (
        params_for("s3").form_fields({}),
        MaintenanceParams.form_fields(),
        ForgetParams.form_fields(),
    ):
        assert [name for name, field in fields.items() if "`" in field["description_md"]] == []


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@settings(deadline=None)
@given(
    params=st.dictionaries(
        st.sampled_from(list(params_for("s3").form_fields({}))) | st.text(), _VALUES
    )
)
def test_any_bad_params_raise_a_config_error(params: dict[str, Any]):
    problems = params_for("s3").problems(params)
    assert all(len(str(problem)) < 400 for problem in problems)
    with pytest.raises(ConfigError) if problems else nullcontext():
        params_for("s3").config(params)


def test_an_address_with_a_bad_prefix_is_reported():
    params = {"bucket": "s3://my-photos/20", "prefix": 2025, "function": "f"}
    problems = map(str, params_for("s3").problems(params))
    assert any(problem.startswith("prefix: 2025") for problem in problems)


@pytest.mark.parametrize("empty", [None, "", {}, []])
def test_params_of_another_kind_of_function_are_empty_in_the_form(empty: object):
    assert _config(http_headers=empty, http_conn_id=empty).function_kind.name == "aws_lambda"
    [problem] = _problems(http_headers={"A": "b"})
    assert problem.startswith("http_headers: {'A': …} is not allowed with function_kind 'aws_lam")


@pytest.mark.parametrize(
    ("bucket", "prefix", "found"),
    [
        ("s3://my-photos/in/2025/", None, "in/2025/"),
        ("s3://my-photos/in/", "", "in/"),
        ("s3://my-photos/in/", "in/2025/", "in/2025/"),
        ("s3://my-photos", "in/", "in/"),
        ("s3://my-photos/", "in/", "in/"),
    ],
)
def test_an_address_in_bucket_is_split(bucket: str, prefix: str | None, found: str):
    config = params_for("s3").config({"bucket": bucket, "prefix": prefix, "function": "f"})
    assert config.source.label() == f"s3://my-photos/{found}"


def test_a_time_without_a_zone_is_quoted_as_typed():
    [problem] = _problems(modified_after="2025-01-01 00:00")
    assert problem.startswith(
        "modified_after: '2025-01-01 00:00' is not allowed: it has no zone; give a date"
    )


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ({"canary": 0}, "canary: 0 is not allowed; give a whole number from 1 to 10,000"),
        ({"canary": 10_001}, "canary: 10001 is not allowed; give a whole number from 1 to 10,000"),
        (
            {"canary": 2_000, "preview": True},
            "canary: 2,000 is not allowed with preview, which calls nothing",
        ),
        (
            {"canary": 5, "redrive": "quarantine"},
            (
                "canary: 5 is not allowed with redrive: a canary is sampled from items that no call"
                " has carried"
            ),
        ),
    ],
)
def test_a_canary_needs_a_run_that_lists_and_calls(params: dict[str, Any], problem: str):
    asked = {"bucket": "photos", "prefix": "p/", "function": "f", **params}
    assert list(map(str, params_for("s3").problems(asked))) == [problem]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"timedout": 5}, "there is no cause 'timedout'; did you mean timed_out?"),
        (
            {"bored": 5},
            "there is no cause 'bored'; give a JSON object of percentages",
        ),
        ({"unknown": 101}, "unknown: 101 is not a percentage"),
        ({"unknown": -1}, "unknown: -1 is not a percentage"),
        ({"unknown": "5"}, "unknown: '5' is not a number"),
        ({"unknown": True}, "unknown: True is not a number"),
        ([], "give a JSON object of percentages from 0 to 100 by cause; causes are"),
    ],
)
def test_a_bad_percent_by_cause_is_refused(given: Any, says: str):
    [problem] = _problems(max_percent_by_cause=given)
    assert problem.startswith("max_percent_by_cause: ")
    assert says in problem


def test_a_run_can_have_a_ramp_and_limits_by_cause():
    config = _config(max_percent_by_cause={"timed_out": 5, "unknown": 0.5}, ramp_minutes=10)
    limits = RunConfig.from_stored(json.loads(json.dumps(config.as_json()))).limits.of_run(None)
    assert limits.max_percent_by_cause == {"timed_out": 5, "unknown": 0.5}
    assert limits.ramp_minutes == 10
    usual = _config().limits.of_run(None)
    assert (usual.max_percent_by_cause, usual.ramp_minutes) == ({}, None)
