from stack.airflow_api import log_lines


def entry(event: str, **more: object):
    return {"timestamp": "2026-01-01T00:00:00Z", "level": "info", "event": event, **more}


def test_an_entry_is_a_line_with_its_level():
    assert list(log_lines(entry("3 partitions to read"))) == ["info    3 partitions to read"]


def test_the_messages_of_exceptions_follow_their_entry():
    errors = [
        {"exc_type": "ConfigError", "exc_value": "bucket: missing\nfunction: missing"},
        {"exc_type": "KeyError", "exc_value": ""},
    ]
    assert list(log_lines(entry("Task failed", level="error", error_detail=errors))) == [
        "error   Task failed",
        "        ConfigError: bucket: missing",
        "        function: missing",
        "        KeyError: ",
    ]


def test_log_lines_of_every_airflow_task_are_left_out():
    said_of_all = [
        {"event": "/somewhere/attempt=1.log"},
        entry("::group::Pre Execute"),
        entry("use something else", logger="py.warnings"),
    ]
    assert [line for said in said_of_all for line in log_lines(said)] == []
