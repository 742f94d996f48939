"""The embedded stack: what it promises, and what its servers can do."""

import io
import json
import os
import pwd
import re
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psutil
import psycopg2
import pytest
from botocore.exceptions import ClientError

from stack import airflow
from stack.airflow_api import AirflowApi
from stack.private import close_to_others
from stack.services import Postgres, free_port
from stack.settings import REPOSITORY, Ports, Settings, StackError
from stack.supervise import Program, supervised
from stack.up import running_stack, welcome

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient

HANDLER = """
import json, boto3

def handler(event, context):
    if event.get("fail"):
        raise ValueError("as asked")
    for record in event.get("Records", []):
        text = json.dumps(record).encode()
        boto3.client("s3").put_object(Bucket="stack-events", Key="event", Body=text)
    return {"function": context.function_name}
"""
# Ignores signals; has a child in its own process group that overwrites its environment with a
# title, like Airflow's tasks, and a child in its own session.
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
stay = "print('ready', flush=True); time.sleep(600)"
titled = f"import setproctitle, sys, time; setproctitle.setproctitle(sys.argv[1]); {stay}"
subprocess.Popen([sys.executable, "-c", titled, sys.argv[1]], process_group=0)
# What holds memory takes a moment to end, also when it is killed.
large = f"import time; held = bytearray(200_000_000); {stay}"
subprocess.Popen([sys.executable, "-c", large, sys.argv[1]], start_new_session=True)
exec(stay)
"""


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder whose path is short enough for a socket; pytest's are too long on macOS."""
    with tempfile.TemporaryDirectory(prefix="stack-") as folder:
        yield Path(folder).resolve()


@pytest.fixture(scope="module")
def function(lambda_client: "LambdaClient") -> Iterator[str]:
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as file:
        file.writestr("code.py", HANDLER)
    made = lambda_client.create_function(
        FunctionName="stack-function",
        Runtime="python3.11",
        Role="arn:aws:iam::000000000000:role/any",
        Handler="code.handler",
        Code={"ZipFile": package.getvalue()},
    )
    lambda_client.get_waiter("function_active_v2").wait(FunctionName="stack-function")
    yield made["FunctionArn"]
    lambda_client.delete_function(FunctionName="stack-function")


def listening_at(process: psutil.Process) -> set[tuple[str, int]]:
    """Return the addresses at which a process listens, unless it has ended."""
    with suppress(psutil.NoSuchProcess):
        return {
            (connection.laddr.ip, connection.laddr.port)
            for connection in process.net_connections()
            if connection.status == psutil.CONN_LISTEN
        }
    return set()


def eventually(found: Callable[[], bytes | None]) -> bytes:
    """Call until it returns something."""
    for _ in range(1_200):
        if result := found():
            return result
        time.sleep(0.05)
    pytest.fail("it returned nothing")


def test_a_function_runs_and_accepts_dry_runs(lambda_client: "LambdaClient", function: str) -> None:
    version = lambda_client.publish_version(FunctionName=function)
    assert lambda_client.invoke(FunctionName=function, InvocationType="DryRun")["StatusCode"] == 204
    answer = lambda_client.invoke(FunctionName=function, Qualifier=version["Version"], Payload="{}")
    assert json.load(answer["Payload"]) == {"function": "stack-function"}
    assert answer["ExecutedVersion"] == version["Version"]


def test_a_failing_function_returns_its_error(lambda_client: "LambdaClient", function: str) -> None:
    answer = lambda_client.invoke(FunctionName=function, Payload='{"fail": true}')
    assert answer["FunctionError"] == "Unhandled"
    assert json.load(answer["Payload"])["errorMessage"] == "as asked"


def test_a_missing_function_is_refused(lambda_client: "LambdaClient") -> None:
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        lambda_client.invoke(FunctionName="stack-missing", InvocationType="DryRun")


def test_a_bucket_calls_its_function(
    s3_client: "S3Client", lambda_client: "LambdaClient", function: str
) -> None:
    s3_client.create_bucket(Bucket="stack-live")
    s3_client.create_bucket(Bucket="stack-events")
    lambda_client.add_permission(
        FunctionName=function,
        StatementId="bucket",
        Action="lambda:InvokeFunction",
        Principal="s3.amazonaws.com",
        SourceArn="arn:aws:s3:::stack-live",
    )
    live = {"LambdaFunctionArn": function, "Events": ["s3:ObjectCreated:*"]}
    s3_client.put_bucket_notification_configuration(
        Bucket="stack-live", NotificationConfiguration={"LambdaFunctionConfigurations": [live]}
    )
    s3_client.put_object(Bucket="stack-live", Key="some/key.txt", Body=b"12345")

    def event() -> bytes | None:
        if s3_client.list_objects_v2(Bucket="stack-events")["KeyCount"] == 0:
            return None
        return s3_client.get_object(Bucket="stack-events", Key="event")["Body"].read()

    record = json.loads(eventually(event))
    assert record["eventSource"] == "aws:s3"
    assert record["s3"]["bucket"]["name"] == "stack-live"
    assert record["s3"]["object"]["key"] == "some/key.txt"
    assert record["s3"]["object"]["size"] == 5


def test_a_listing_starts_after_the_given_key(s3_client: "S3Client") -> None:
    s3_client.create_bucket(Bucket="stack-list")
    for number in range(6):
        s3_client.put_object(Bucket="stack-list", Key=f"k/{number}", Body=b"")
    page = s3_client.list_objects_v2(Bucket="stack-list", StartAfter="k/1", MaxKeys=2)
    assert [entry["Key"] for entry in page["Contents"]] == ["k/2", "k/3"]
    assert page["IsTruncated"]


def test_a_topic_reaches_its_queue(sns_client: "SNSClient", sqs_client: "SQSClient") -> None:
    queue = sqs_client.create_queue(QueueName="stack-queue")["QueueUrl"]
    attributes = sqs_client.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    topic = sns_client.create_topic(Name="stack-topic")["TopicArn"]
    endpoint = attributes["Attributes"]["QueueArn"]
    sns_client.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=endpoint)
    sns_client.publish(TopicArn=topic, Message="done")
    (message,) = sqs_client.receive_message(QueueUrl=queue, WaitTimeSeconds=20)["Messages"]
    assert json.loads(message["Body"])["Message"] == "done"


def test_each_database_belongs_to_its_own_role(postgres: Postgres) -> None:
    postgres.ensure_database("stack_owned")
    postgres.ensure_database("stack_owned")
    connection = psycopg2.connect(postgres.dsn("stack_owned", role="stack_owned"))
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('is_superuser'), current_setting('server_encoding')")
        assert cursor.fetchone() == ("off", "UTF8")
        cursor.execute("CREATE SCHEMA mine")
    connection.close()


def test_postgres_asks_for_the_password(postgres: Postgres) -> None:
    stranger = Postgres(postgres.directory, postgres.port, password="wrong")  # noqa: S106
    assert not stranger.accepts()


def test_nothing_outlives_the_supervisor(tmp_path: Path) -> None:
    script = tmp_path / "stubborn.py"
    script.write_text(STUBBORN)
    program = Program("stubborn", [sys.executable, str(script), str(tmp_path)], stop_after_s=1)

    def lives(process: psutil.Process) -> bool:
        with suppress(psutil.NoSuchProcess):
            return process.status() != psutil.STATUS_ZOMBIE
        return False

    log = tmp_path / "logs" / "stubborn.log"
    with supervised(tmp_path, {"group": [program]}) as supervisor:
        supervisor.start("group")
        supervisor.wait("it", lambda: log.exists() and log.read_text().count("ready") == 3)
        processes = [
            process
            for process in psutil.process_iter(["cmdline"])
            if str(tmp_path) in (process.info["cmdline"] or [])
        ]
        assert len(processes) == 3
    assert not any(map(lives, processes))


ABANDONED = """
import sys, time
from pathlib import Path
from stack.supervise import Program, supervised
sleeper = Program("sleeper", [sys.executable, "-c", "import time; time.sleep(600)"])
with supervised(Path(sys.argv[1]), {"group": [sleeper]}) as supervisor:
    supervisor.start("group")
    (program,) = supervisor._call("getAllProcessInfo")
    print(program["pid"], flush=True)
    time.sleep(600)
"""


def test_supervised_programs_end_with_a_killed_stack(tmp_path: Path) -> None:
    with subprocess.Popen(  # noqa: S603  our own code
        [sys.executable, "-c", ABANDONED, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as stack:
        assert stack.stdout is not None
        program = psutil.Process(int(stack.stdout.readline()))
        supervisor = program.parent()
        assert supervisor is not None
        stack.kill()
        _, left = psutil.wait_procs([program, supervisor], timeout=60)
        assert left == []


def test_waiting_shows_the_elapsed_time(tmp_path: Path) -> None:
    program = Program("slow", [sys.executable, "-c", "import time; time.sleep(600)"])
    said: list[str] = []
    with supervised(tmp_path, {"group": [program]}) as supervisor:
        supervisor.start("group")
        supervisor.wait("Slow", lambda: len(said) == 2, say=said.append, say_every_s=0)
    assert all(line.startswith("  Slow is starting: ") for line in said)
    assert str(tmp_path / "logs") in said[0]


def test_the_stack_prints_its_facts_and_the_next_steps(tmp_path: Path) -> None:
    said = welcome(Settings.from_environment({"RETROFILL_STACK_DIR": str(tmp_path)}))
    assert "it runs one call of a function at a time" in said
    assert re.search(r"next  run make demo.*/dags/retrofill_s3", said)


def test_a_program_that_ends_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    program = Program("broken", [sys.executable, "-c", "raise SystemExit('no such thing')"])
    with supervised(tmp_path, {"group": [program]}) as supervisor:
        supervisor.start("group")
        with pytest.raises(StackError, match=r"broken ended(?s:.*)no such thing"):
            supervisor.wait("it", lambda: False, within_s=60)


def test_a_program_gets_its_environment_unchanged(tmp_path: Path) -> None:
    values = {"JSON": '{"a": "b,c=d"}', "PERCENT": "100% %(x)s", "QUOTE": "it's", "EMPTY": ""}
    code = f"import json, os, time; print(json.dumps([os.environ[n] for n in {list(values)}]),"
    code += " flush=True); time.sleep(60)"
    program = Program("printer", [sys.executable, "-c", code], values)
    log = tmp_path / "logs" / "printer.log"
    with supervised(tmp_path, {"group": [program]}) as supervisor:
        supervisor.start("group")
        supervisor.wait("it", lambda: log.exists() and log.read_text() != "", within_s=60)
        assert json.loads(log.read_text()) == list(values.values())


@pytest.mark.parametrize("value", ['it\'s "so"', "a ;b", "a #b", "a\nb"])
def test_values_that_supervisord_would_change_are_refused(tmp_path: Path, value: str) -> None:
    program = Program("garbled", ["true"], {"NAME": value})
    with (
        pytest.raises(StackError, match="supervisord cannot take a value"),
        supervised(tmp_path, {"group": [program]}),
    ):
        pytest.fail("it was started")


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        (
            {"RETROFILL_AWS_PORT": "http"},
            "RETROFILL_AWS_PORT: 'http' is not allowed; give a whole number",
        ),
        (
            {"RETROFILL_AWS_PORT": "65536"},
            "RETROFILL_AWS_PORT: '65536' is not allowed; give a whole number",
        ),
        (
            {"RETROFILL_AWS_PORT": "8080"},
            "RETROFILL_AIRFLOW_PORT and RETROFILL_AWS_PORT are both 8080",
        ),
    ],
)
def test_an_impossible_port_is_refused(environ: dict[str, str], message: str) -> None:
    with pytest.raises(StackError, match=message):
        Ports.from_environment(environ)


def settings_of(directory: Path, **environ: str) -> Settings:
    return Settings.from_environment({"RETROFILL_STACK_DIR": str(directory), **environ})


def test_secrets_are_created_once_and_kept_private(tmp_path: Path) -> None:
    secrets = settings_of(tmp_path).secrets
    assert settings_of(tmp_path).secrets == secrets
    assert (tmp_path / "secrets.json").stat().st_mode & 0o777 == 0o600


def open_to_others(directory: Path) -> list[str]:
    """Return the folder and its files that others than the owner can access."""
    return [
        f"{stat.filemode(mode)} {path}"
        for path in (directory, *directory.rglob("*"))
        if not stat.S_ISLNK(mode := path.lstat().st_mode) and mode & 0o077
    ]


def test_a_folder_that_was_open_is_closed_to_others(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    inside = tmp_path / "inside"
    (inside / "logs").mkdir(parents=True)
    (inside / "logs" / "a.log").touch()
    (inside / "logs" / "run.sh").touch()
    (inside / "logs" / "run.sh").chmod(0o755)
    (inside / "link").symlink_to(outside)
    for path in (outside, inside, inside / "logs", inside / "logs" / "a.log"):
        path.chmod(0o777)
    close_to_others(inside)
    assert open_to_others(inside) == []
    assert stat.S_IMODE((inside / "logs" / "run.sh").stat().st_mode) == 0o700
    assert stat.S_IMODE(outside.stat().st_mode) == 0o777


def test_a_folder_of_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    mode = tmp_path.stat().st_mode
    with pytest.raises(StackError, match="has files that are not a stack's: set RETROFILL_STACK_D"):
        settings_of(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letters"]
    assert tmp_path.stat().st_mode == mode


def test_aws_is_the_emulator_unless_it_is_set(tmp_path: Path) -> None:
    own = settings_of(tmp_path, RETROFILL_AWS_PORT="4000")
    assert (own.aws_embedded, own.aws_endpoint_url) == (True, "http://127.0.0.1:4000")
    other = settings_of(tmp_path, AWS_ENDPOINT_URL="http://127.0.0.1:9")
    assert (other.aws_embedded, other.aws_endpoint_url) == (False, "http://127.0.0.1:9")
    connected = settings_of(tmp_path, AIRFLOW_CONN_AWS_DEFAULT="aws://")
    assert (connected.aws_embedded, connected.aws_endpoint_url) == (False, "")


def test_given_connections_override_the_stacks(tmp_path: Path) -> None:
    environ = {
        "AIRFLOW_CONN_RETROFILL_STATE": "postgresql://elsewhere/state",
        "AWS_ENDPOINT_URL_LAMBDA": "http://127.0.0.1:9",
    }
    settings = settings_of(tmp_path, **environ)
    assert settings.state_dsn == "postgresql://elsewhere/state"
    variables = airflow.variables(settings, environ)
    assert "AIRFLOW_CONN_RETROFILL_STATE" not in variables
    aws = json.loads(variables["AIRFLOW_CONN_AWS_DEFAULT"])
    assert aws["extra"]["endpoint_url"] == settings.aws_endpoint_url
    assert aws["extra"]["service_config"] == {"lambda": {"endpoint_url": "http://127.0.0.1:9"}}


def test_an_unknown_executor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        StackError, match="RETROFILL_EXECUTOR: 'kubernetes' is not allowed; give local or celery"
    ):
        settings_of(tmp_path, RETROFILL_EXECUTOR="kubernetes")


def test_celery_has_a_broker_and_workers_know_the_api_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(tmp_path, RETROFILL_EXECUTOR="celery")
    variables = airflow.variables(settings, {})
    assert variables["AIRFLOW__CORE__EXECUTOR"] == "CeleryExecutor"
    url = variables["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"]
    assert url == f"{settings.airflow_url}/execution/"
    monkeypatch.setattr("stack.celery.has_provider", lambda: True)
    monkeypatch.setattr("stack.celery.redis_server", lambda: "redis-server")
    groups = airflow.groups(settings)
    assert list(groups) == ["broker", "airflow-api", "airflow", "workers"]
    assert [worker.name for worker in groups["workers"]] == ["worker-1", "worker-2"]


@pytest.mark.parametrize(
    ("lacking", "message"),
    [
        ("has_provider", "has no Celery: start the stack with make up EXECUTOR=celery"),
        ("redis_server", "there is no redis-server in the package"),
    ],
)
def test_missing_packages_of_celery_are_reported_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacking: str, message: str
) -> None:
    monkeypatch.setattr("stack.celery.has_provider", lambda: lacking != "has_provider")
    monkeypatch.setattr("stack.celery.redis_server", lambda: "")
    with pytest.raises(StackError, match=message):
        airflow.groups(settings_of(tmp_path, RETROFILL_EXECUTOR="celery"))
    assert not (tmp_path / "redis").exists()


def up(directory: Path, **environ: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "stack.up"],
        cwd=REPOSITORY,
        env={**os.environ, "RETROFILL_STACK_DIR": str(directory), **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_port_in_use_is_reported_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        free = {f"RETROFILL_{name}_PORT": str(free_port()) for name in ("AIRFLOW", "AWS")}
        process = up(tmp_path, **free, RETROFILL_POSTGRES_PORT=str(port))
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert len(output.splitlines()) == 1
    assert f"port {port} is not free" in output
    assert "PostgreSQL" in output
    assert "RETROFILL_POSTGRES_PORT" in output
    assert not (tmp_path / "logs").exists()


def assert_private(directory: Path) -> None:
    """Check that only the user, and root's Postgres, can access a stack's folder."""
    left_open = open_to_others(directory)
    if os.geteuid() == 0:
        assert left_open.pop(0) == f"drwx--x--- {directory}"
        assert directory.stat().st_gid == pwd.getpwnam("nobody").pw_gid
    assert left_open == []


@pytest.mark.faults
@pytest.mark.stack
@pytest.mark.timeout(400)
def test_the_whole_stack_starts_privately_on_loopback_and_leaves_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("AIRFLOW", "POSTGRES", "AWS")
    environ = ports = {f"RETROFILL_{name}_PORT": str(free_port()) for name in names}
    for name in ("HOME", "TMPDIR"):
        (tmp_path / name).mkdir()
        environ = {**environ, name: str(tmp_path / name)}
    directory = tmp_path / "stack"
    settings = settings_of(directory, **environ)
    (directory / "logs").mkdir()
    (directory / "logs" / "airflow.log").touch()
    for path in (directory, *directory.rglob("*")):
        path.chmod(0o777)  # as an earlier version of the stack may have left it
    process = up(directory, **environ)
    try:
        assert process.stdout is not None
        output = []
        for line in process.stdout:
            output.append(line)
            if line.startswith("Ctrl-C"):
                break
        assert airflow.healthy(settings), "".join(output)
        login = {"username": settings.user, "password": settings.password}
        httpx.post(f"{settings.airflow_url}/auth/token", json=login).raise_for_status()
        second, _ = up(directory, **environ).communicate(timeout=120)
        assert "is already running" in second
        monkeypatch.setenv("RETROFILL_STACK_DIR", str(directory))
        with running_stack() as joined:
            assert joined.ports == settings.ports
        expected = {("127.0.0.1", int(port)) for port in ports.values()}
        for _ in range(600):
            # A program may be starting another process.
            started = psutil.Process(process.pid).children(recursive=True)
            listening = set().union(*map(listening_at, started))
            assert listening <= expected
            if listening == expected:
                break
            time.sleep(0.1)
        assert listening == expected
        with AirflowApi(settings) as api:
            api.unpause("retrofill_forget", within_s=60)
            api.trigger("retrofill_forget", "private", {"job": "none"})
            while api.run_state("retrofill_forget", "private") in {"queued", "running"}:
                time.sleep(0.5)
        assert list(directory.glob("airflow/logs/**/task_id=forget_job/*.log"))
        assert_private(directory)
    finally:
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=120)
    assert (process.returncode, rest.splitlines()[-1]) == (0, "stopped")
    _, left = psutil.wait_procs(started, timeout=60)
    assert left == []
    assert_private(directory)
    assert sorted(path.name for path in tmp_path.rglob("*") if directory not in path.parents) == [
        "HOME",
        "TMPDIR",
        "stack",
    ]
